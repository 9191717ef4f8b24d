"""Settings: the file, the environment, and every refusal on one line."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.environment import overrides
from config.errors import ConfigError
from config.example import example_toml
from config.problems import InvalidConfigError
from config.settings import Finality, Settings, load_settings, parse_settings

USDC = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
OTHER = "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512"


def document(**changes: Any) -> dict[str, Any]:
    token = {"symbol": "USDC", "address": USDC, "decimals": 6, "currency": "USD"}
    chain = {
        "name": "anvil",
        "chain_id": 31337,
        "rpc_urls": ["http://127.0.0.1:8545"],
        "finality": {"confirmations": 3},
        "tokens": [token],
    }
    return {"chains": [{**chain, **changes.pop("chain", {})}], **changes}


def refusal(doc: dict[str, Any], env: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_settings(doc, overrides(env or {}), source="f.toml")
    return str(caught.value)


def load(path: Path, **env: str) -> Settings:
    return load_settings(path, {f"BURSAR_{key}": value for key, value in env.items()})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "bursar.toml"
    path.write_text(example_toml())
    return path


def test_example__as_it_stands__loads_with_the_documented_values(file: Path) -> None:
    settings = load_settings(file, {})
    chain = settings.chains[0]
    assert (chain.name, chain.chain_id, chain.is_test) == ("anvil", 31337, True)
    assert chain.poll_interval == timedelta(milliseconds=500)
    assert (chain.fee_cap.max_fee_per_gas, chain.fee_cap.batch_native) == (200 * 10**9, 5 * 10**17)
    assert chain.finality == Finality(confirmations=3)
    assert settings.invoices.expires_in == timedelta(minutes=30)
    assert settings.settlement.minimum_payout == "1.00"
    assert settings.security.destination_cooling_off == timedelta(hours=24)


def test_example__file_in_the_root__is_the_one_that_init_writes() -> None:
    root = Path(__file__).parents[3]
    assert (root / "bursar.example.toml").read_text() == example_toml()


def test_example__against_defaults__says_what_the_defaults_are(file: Path) -> None:
    given_, default = load_settings(file, {}), parse_settings(document())
    for section in ("database", "http", "wallets", "invoices", "settlement", "security"):
        assert getattr(given_, section) == getattr(default, section)


@pytest.mark.parametrize(
    ("variable", "value", "read"),
    [
        ("HTTP__PORT", "9000", lambda s: s.http.port == 9000),
        ("HTTP__HOST", "0", lambda s: s.http.host == "0"),
        ("CHAINS__0__POLL_INTERVAL", "2s", lambda s: s.chains[0].poll_interval.seconds == 2),
        ("CHAINS__0__FINALITY", "finalized", lambda s: s.chains[0].finality.tag == "finalized"),
        ("CHAINS__0__FINALITY", "{confirmations=7}", lambda s: s.chains[0].finality.confirmations == 7),
        ("CHAINS__0__FINALITY__CONFIRMATIONS", "9", lambda s: s.chains[0].finality.confirmations == 9),
        ("CHAINS__0__START_BLOCK", "17", lambda s: s.chains[0].start_block == 17),
        ("CHAINS__0__START_BLOCK", "latest", lambda s: s.chains[0].start_block == "latest"),
        ("CHAINS__0__SUPPORTS_7702", "false", lambda s: s.chains[0].supports_7702 is False),
        ("CHAINS__0__RPC_URLS", '["http://a", "http://b"]', lambda s: len(s.chains[0].rpc_urls) == 2),
        ("CHAINS__0__RPC_URLS__1", "http://b", lambda s: s.chains[0].rpc_urls[1] == "http://b"),
        ("CHAINS__0__WS_URLS", '["wss://a", "ws://b"]', lambda s: s.chains[0].head_urls == ("wss://a", "ws://b")),
        ("CHAINS__0__WS_URLS", "[]", lambda s: s.chains[0].head_urls == ()),
        ("CHAINS__0__WS_URLS", "auto", lambda s: s.chains[0].head_urls == ("ws://127.0.0.1:8545",)),
        ("SETTLEMENT__MINIMUM_PAYOUT", "5", lambda s: s.settlement.minimum_payout == "5"),
        ("SETTLEMENT__SCHEDULE", "every 10s", lambda s: s.settlement.schedule == "every 10s"),
        ("SECURITY__ALLOW_PRIVATE_WEBHOOKS", "true", lambda s: s.security.allow_private_webhooks),
        ("INVOICES__TOLERANCE__ABSOLUTE", "0.05", lambda s: s.invoices.tolerance.absolute == 50_000),
        ("INVOICES__TOLERANCE", "{ bps = 5 }", lambda s: s.invoices.tolerance.bps == 5),
        ("CHAINS__0__FEE_CAP__GWEI", "3", lambda s: s.chains[0].fee_cap.gwei == 3),
        ("CHAINS__1", '{chain="base", rpc_urls=["http://b"]}', lambda s: s.chains[1].chain_id == 8453),
    ],
)  # fmt: skip
def test_environment__key_of_any_type__overrides_the_file(
    file: Path, variable: str, value: str, read: Any
) -> None:
    assert read(load(file, **{variable: value}))


@pytest.mark.parametrize(
    "key", ["daily_limit", "merchant_daily_limit", "payout_limit", "transaction_limit"]
)
def test_environment__limit_of_a_token__keeps_its_case(key: str) -> None:
    items = overrides({f"BURSAR_SETTLEMENT__{key.upper()}__USDC": "250000"})
    assert getattr(parse_settings(document(), items).settlement, key) == {"USDC": "250000"}
    wrong = overrides({f"BURSAR_SETTLEMENT__{key.upper()}__USCD": "1"})
    with pytest.raises(InvalidConfigError, match=f"settlement.{key}"):
        parse_settings(document(), wrong)


def test_sweep_policy__off_by_default__gwei_as_text_in_wei__refused_where_it_means_nothing() -> (
    None
):
    plain = parse_settings(document(), {}, source="f.toml")
    assert plain.chains[0].sweep_max_gwei is None
    assert plain.settlement.sweep_max_cost_bps == 0
    assert plain.settlement.sweep_max_age == timedelta(0)
    given = document(
        chain={"sweep_max_gwei": "0.05"},
        settlement={"sweep_max_cost_bps": 100, "sweep_max_age": "14d"},
    )
    settings = parse_settings(given, {}, source="f.toml")
    assert settings.chains[0].sweep_max_gwei == 5 * 10**7
    assert settings.settlement.sweep_max_age == timedelta(days=14)
    assert "sweep_max_gwei" in refusal(document(chain={"sweep_max_gwei": "0"}))
    assert "sweep_max_gwei" in refusal(document(chain={"sweep_max_gwei": 5}))
    assert "sweep_max_cost_bps" in refusal(document(settlement={"sweep_max_cost_bps": 10_001}))


def test_reuse_of_addresses__off_by_default__an_hour_at_least__own_keys_only() -> None:
    assert parse_settings(document(), {}, source="f.toml").invoices.reuse is None
    given = document(invoices={"reuse_addresses_after": "30d"})
    assert parse_settings(given, {}, source="f.toml").invoices.reuse == timedelta(days=30)
    assert '"1h"' in refusal(document(invoices={"reuse_addresses_after": "59m"}))
    presigned = document(
        invoices={"reuse_addresses_after": "30d"}, wallets={"deposits": "presigned"}
    )
    assert 'deposits = "hd"' in refusal(presigned)


def test_environment__native_price__by_currency_in_micros() -> None:
    items = overrides({"BURSAR_CHAINS__0__NATIVE_PRICE__USD": "2500.5"})
    (chain,) = parse_settings(document(), items).chains
    assert chain.native_price == {"USD": 2500_500000}


def test_environment__value_from_a_file__is_read(file: Path, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql+asyncpg://u:pw@db/bursar\n")
    settings = load(file, DATABASE__URL_FILE=str(tmp_path / "url"))
    assert settings.database.url == "postgresql+asyncpg://u:pw@db/bursar"
    assert "pw" not in repr(settings)


def test_environment__secrets_and_harness_variables__are_no_keys(file: Path) -> None:
    load(file, ADMIN_KEY="x", MNEMONIC="y", DATA_KEY_FILE="z", CONFIG="w", TEST_POSTGRES="v")


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("HTPP__PORT", "1", "BURSAR_HTPP__PORT: unknown key 'htpp' (did you mean 'http'?)"),
        ("HTTP__PROT", "1", "BURSAR_HTTP__PROT: unknown key 'prot' (did you mean 'port'?)"),
        ("HTTP__PORT", "x", "BURSAR_HTTP__PORT: must be a whole number, like 3"),
        ("CHAINS__5__NAME", "x", "BURSAR_CHAINS__5__NAME: index 5 is beyond the end of a list of 1"),
        ("CHAINS__NAME", "x", "BURSAR_CHAINS__NAME: names 'name' inside a list (lists take numbers from 0)"),
        ("HTTP__", "x", "BURSAR_HTTP__: is not a configuration key"),
        ("CHAINS__0__START_BLOCK", "-1", 'BURSAR_CHAINS__0__START_BLOCK: must be "latest" or a block number'),
        ("DATABASE__URL_FILE", "/nonexistent", "BURSAR_DATABASE__URL_FILE: cannot read /nonexistent: No such file"),
        ("CHAINS__0__TOKENS__0__ADDRESS", USDC[:-1] + "4", "fails its EIP-55 checksum"),
    ],
)  # fmt: skip
def test_environment__wrong__names_the_variable(variable: str, value: str, line: str) -> None:
    text = refusal(document(), {f"BURSAR_{variable}": value})
    assert line in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("doc", "line"),
    [
        ({**document(), "htpp": {}}, "f.toml: htpp: unknown key 'htpp' (did you mean 'http'?)"),
        (document(chain={"rcp_urls": []}), "f.toml: chains[0].rcp_urls: unknown key 'rcp_urls' (did you mean 'rpc_urls'?)"),
        (document(chain={"finality": {"confirmation": 3}}), "unknown key 'confirmation' (did you mean 'confirmations'?)"),
        (document(http={"port": "80"}), "f.toml: http.port: must be a whole number"),
        (document(http={"port": 80.0}), "f.toml: http.port: must be a whole number"),
        (document(http={"port": True}), "f.toml: http.port: must be a whole number"),
        (document(http={"port": 65536}), "f.toml: http.port: must be less than or equal to 65535"),
        (document(http=3), "f.toml: http: must be a table"),
        (document(http={"public_url": "pay.example.com"}), "f.toml: http.public_url: is not a URL"),
        (document(database={"url": "mysql://x"}), 'must start with "sqlite+aiosqlite:///"'),
        (document(chain={"finality": "sure"}), "f.toml: chains[0].finality.tag: must be 'safe' or 'finalized'"),
        (document(chain={"finality": {}}), 'f.toml: chains[0].finality: must be { confirmations = N }, "safe" or "finalized"'),
        (document(chain={"finality": {"confirmations": 0}}), "must be greater than or equal to 1"),
        (document(chain={"rpc_urls": []}), "f.toml: chains[0].rpc_urls"),
        (document(chain={"rpc_urls": "http://x"}), "f.toml: chains[0].rpc_urls: must be a list"),
        (document(chain={"ws_urls": ["https://x"]}), "f.toml: chains[0].ws_urls: is not a URL that starts with ws:// or wss://"),
        (document(chain={"ws_urls": "ws://x"}), 'f.toml: chains[0].ws_urls: must be "auto" or a list of ws:// or wss:// URLs'),
        (document(chain={"ws_urls": [7]}), "f.toml: chains[0].ws_urls: must be text in quotes"),
        (document(chain={"ws_urls": ["ws://u:hush@x", "ws://u:hush@x"]}), "f.toml: chains[0].ws_urls: the same value stands twice"),
        (document(chain={"poll_interval": "fast"}), "is not a duration"),
        (document(chain={"poll_interval": "0s"}), "must be longer than zero"),
        (document(chain={"poll_interval": 5}), "must be text in quotes"),
        (document(chain={"fee_cap": {"batch_native": "-1"}}), "is not an amount"),
        (document(chain={"fee_cap": {"batch_native": 0.5}}), "must be text in quotes"),
        (document(chain={"tokens": [{"symbol": "X", "decimals": 6, "currency": "USD"}]}), "f.toml: chains[0].tokens[0].address: is missing"),
        (document(chain={"chain_id": 0}), "f.toml: chains[0].chain_id"),
        (document(chain={"chain_id": []}), "f.toml: chains[0].chain_id: must be a whole number"),
        (document(chain={"name": "Anvil"}), "is not a chain name"),
        (document(chain={"chain": "bsae"}), "f.toml: chains[0].chain: 'bsae' is not in the registry (did you mean 'base'?)"),
        (document(chain={"chain": 3}), "f.toml: chains[0].chain: '3' is not in the registry"),
        (document(settlement={"schedule": "daily"}), "f.toml: settlement.schedule: 'daily' is not a schedule"),
        (document(settlement={"schedule": "61 * * * *"}), "f.toml: settlement.schedule"),
        (document(settlement={"minimum_payout": "1e3"}), "is not an amount"),
        (document(settlement={"fee_bps": 10_001}), "less than or equal to 10000"),
        (document(settlement={"daily_limit": {"USCD": "1"}}), "no configured chain has a token 'USCD' (did you mean 'USDC'?)"),
        (document(security={"approve_payouts_above": {"USCD": "1"}}), "f.toml: security.approve_payouts_above: no configured chain has a token 'USCD'"),
        (document(wallets={"signer": "ledger"}), "f.toml: wallets.signer: must be 'keystore', 'mnemonic' or 'kms'"),
        (document(wallets={"owner": "0x" + "0" * 40}), "the zero address is nobody's"),
        (document(wallets={"deposit_xpub": "xpub123"}), "is not an extended public key"),
        (document(security={"destination_cooling_off": "99999d"}), "is longer than ten years"),
        ({"chains": []}, "f.toml: chains: no chain is configured"),
        ({"chains": {"name": "x"}}, "f.toml: chains: must be a list"),
        ({"chains": ["base"]}, "f.toml: chains[0]: must be a table"),
    ],
)  # fmt: skip
def test_document__one_mistake__one_line_with_file_and_key(doc: dict[str, Any], line: str) -> None:
    text = refusal(doc)
    assert line in text
    assert "\n" not in text


def token(**changes: Any) -> dict[str, Any]:
    return {"symbol": "A", "address": OTHER, "decimals": 6, "currency": "USD", **changes}


@pytest.mark.parametrize(
    ("doc", "line"),
    [
        ({"chains": document()["chains"] * 2}, "chain anvil stands twice, at 0 and 1"),
        ({"chains": [*document()["chains"], *document(chain={"name": "b"})["chains"]]}, "chain_id 31337 stands twice"),
        (document(chain={"tokens": [token(), token(address=USDC)]}), "token A stands twice"),
        (document(chain={"tokens": [token(), token(symbol="B", address=OTHER.lower())]}), "token address 0xe7f1"),
        (document(chain={"rpc_urls": ["http://u:hush@x", "http://u:hush@x"]}), "the same value stands twice"),
        (document(chain={"finality_tiers": [{"above": "5", "finality": "safe"}] * 2}), "two tiers above the same amount"),
        (document(chain={"finality": "safe", "finality_tiers": [{"above": "5", "finality": {"confirmations": 3}}]}), "must not get weaker"),
        (document(chain={"chain": "base", "chain_id": 8453, "is_test": True, "name": "b"}), "holds real money"),
    ],
)  # fmt: skip
def test_document__keys_that_disagree__are_refused(doc: dict[str, Any], line: str) -> None:
    text = refusal(doc)
    assert line in text
    assert "hush" not in text


def test_document__several_mistakes__all_reported_a_line_each() -> None:
    doc = document(http={"port": "x"}, chain={"tokens": [token(address="0x12")], "finality": 3})
    assert len(refusal(doc, {"BURSAR_INVOICES__DUST": "-1"}).splitlines()) == 4


@pytest.mark.parametrize("name", ["admin_key", "mnemonic", "keystore_passphrase", "data_key"])
@pytest.mark.parametrize("section", ["", "wallets"])
def test_document__secret_in_the_file__refused_without_showing_it(name: str, section: str) -> None:
    secret = {name: "correct horse"}
    text = refusal(document(**(secret if not section else {section: secret})))
    assert f"BURSAR_{name.upper()}" in text
    assert "horse" not in text


def test_document__url_with_credentials_refused__shows_none_of_it() -> None:
    assert "hush" not in refusal(document(chain={"rpc_urls": ["ftp://u:hush@x/hush"]}))


def test_chain__heads_by_default__only_from_nodes_on_this_machine() -> None:
    urls = ["https://rpc.example/key", "http://localhost:8545", "http://[::1]:1/x"]
    chain = parse_settings(document(chain={"rpc_urls": urls})).chains[0]
    assert chain.head_urls == ("ws://localhost:8545", "ws://[::1]:1/x")


def test_settings__shown__hold_no_endpoint_or_database_secret() -> None:
    doc = document(
        chain={"rpc_urls": ["https://rpc/hush"], "ws_urls": ["wss://rpc/hush"]},
        database={"url": "postgresql+asyncpg://u:hush@h/d"},
    )
    assert "hush" not in f"{parse_settings(doc)!r} {parse_settings(doc)}"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"[http\n", "is not valid TOML"),
        (b"a = 1\na = 2\n", "is not valid TOML"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"#" * (4 * 1024 * 1024 + 1), "larger than 4 MiB"),
    ],
)
def test_file__unreadable_content__one_line(tmp_path: Path, content: bytes, line: str) -> None:
    path = tmp_path / "b.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=line):
        load_settings(path, {})


def test_file__missing_or_a_directory__one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_settings(tmp_path / "no.toml", {})
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(tmp_path, {})


def test_path__option_then_variable_then_here__in_this_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, port in (("bursar.toml", 1), ("variable.toml", 2), ("option.toml", 3)):
        text = example_toml().replace("port = 8080", f"port = {port}")
        (tmp_path / name).write_text(text)
    environ = {"BURSAR_CONFIG": str(tmp_path / "variable.toml")}
    assert load_settings(None, {}).http.port == 1
    assert load_settings(None, environ).http.port == 2
    assert load_settings(tmp_path / "option.toml", environ).http.port == 3


def test_path__none_at_all__environment_alone_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="bursar init"):
        load_settings(None, {})
    environ = {"BURSAR_CHAINS__0__CHAIN": "base", "BURSAR_CHAINS__0__RPC_URLS": '["http://x"]'}
    assert load_settings(None, environ).chains[0].chain_id == 8453


def test_settings__frozen__cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse_settings(document()).http.port = 1  # type: ignore[misc]


def test_finality_for__cumulative_amount__takes_the_tier_it_passes() -> None:
    tiers = [{"above": "10000", "finality": "finalized"}, {"above": "1000", "finality": "safe"}]
    chain = parse_settings(document(chain={"finality_tiers": tiers})).chains[0]
    assert chain.finality_for(1000 * 10**6) == Finality(confirmations=3)
    assert chain.finality_for(1000 * 10**6 + 1) == Finality(tag="safe")
    assert chain.finality_for(10**12) == chain.hard_finality == Finality(tag="finalized")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(
    path=st.sampled_from(["http", "chains", "wallets", "settlement", "http.port", "chains.0",
                          "chains.0.chain", "chains.0.finality", "chains.0.tokens",
                          "chains.0.tokens.0", "chains.0.rpc_urls", "chains.0.chain_id",
                          "chains.0.fee_cap", "settlement.daily_limit", "invoices.tolerance"]),
    value=JSON,
)  # fmt: skip
def test_document__any_value_anywhere__loads_or_is_a_config_error(path: str, value: Any) -> None:
    doc: Any = document(http={}, wallets={}, settlement={}, invoices={})
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    node = doc
    for part in parents:
        node = node[part]
    node[last] = value
    try:
        parse_settings(doc)
    except ConfigError as error:
        assert str(error)


@given(
    name=st.text("ABHTPCINS0_", min_size=1, max_size=20)
    | st.sampled_from(["HTTP__PORT", "CHAINS__0", "CHAINS", "CHAINS__0__TOKENS", "CHAINS__1"]),
    value=st.text(max_size=20) | st.sampled_from(["{}", "[]", "[1]", "{a=1}", "1979-05-27", "1.5"]),
)
def test_environment__any_variable__loads_or_is_a_config_error(name: str, value: str) -> None:
    try:
        parse_settings(document(), overrides({f"BURSAR_{name}": value}))
    except ConfigError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("chain_id", "url", "is_test"),
    [
        (31338, "http://127.0.0.1:8546", True),
        (31338, "https://node.example", False),
        (100, "http://127.0.0.1:8546", False),
    ],
)
def test_is_test__second_local_development_node__needs_no_saying(
    chain_id: int, url: str, is_test: bool
) -> None:
    chain = {
        "name": "local",
        "chain_id": chain_id,
        "rpc_urls": [url],
        "finality": {"confirmations": 3},
    }
    assert parse_settings({"chains": [chain]}).chains[0].is_test is is_test
