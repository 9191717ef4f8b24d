"""Keystore file and key ring: opening, refusing, and showing nothing."""

from __future__ import annotations

import builtins
import json
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from config.clock import SystemEntropy
from config.credentials import Secrets, load_secrets
from config.errors import BursarError, ConfigError, WalletError
from config.models import Settings
from config.settings import parse_settings
from config.units import checksum
from wallets.derivation import DepositDeriver
from wallets.keyring import (
    KeyRing,
    deposit_xpub,
    keyring_from_entropies,
    keyring_from_mnemonic,
    mnemonic_of,
    new_keystore,
    open_keyring,
)
from wallets.keystore import SeedEntropies, create_keystore, open_keystore, read_clear
from wallets.signer import LocalSigner

WORDS = "test test test test test test test test test test test junk"
COST = 2**4
PASS = Secrets(keystore_passphrase=SecretStr("correct horse battery"))
SEEDS = SeedEntropies(b"\x01" * 32, b"\x02" * 32, b"\x03" * 32)

Account.enable_unaudited_hdwallet_features()


def configured(chain_id: int = 31337, **wallets: Any) -> Settings:
    chain = {
        "name": "c",
        "chain_id": chain_id,
        "rpc_urls": ["http://x"],
        "finality": {"confirmations": 1},
    }
    return parse_settings({"chains": [chain], "wallets": wallets})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keystore.json"


@pytest.fixture
def ring(path: Path) -> KeyRing:
    return new_keystore(configured(keystore=str(path)), PASS, SystemEntropy(), cost=COST)


def addresses(ring: KeyRing) -> list[str]:
    signers = [ring.treasury_signer(), ring.sponsor("sweeps"), ring.sponsor("payouts")]
    return [checksum(signer.address) for signer in [*signers, ring.deposit_signer(3)]]


def test_mnemonic__documented_paths__are_those_of_eth_account() -> None:
    paths = ("2'/0/0", "1'/0/0", "1'/0/1", "0'/0/3")
    theirs = [Account.from_mnemonic(WORDS, account_path=f"m/44'/60'/{path}") for path in paths]
    ring = keyring_from_mnemonic(f"  {WORDS.replace(' ', '  ')}\n")
    assert addresses(ring) == [account.address for account in theirs]


def test_deposit__address_of_the_xpub__is_the_signer_s() -> None:
    for ring in (keyring_from_mnemonic(WORDS), keyring_from_entropies(SEEDS)):
        deriver = DepositDeriver(ring.deposit_xpub)
        assert deriver.address(41) == ring.deposit_signer(41).address


def test_entropies__each_branch__has_a_seed_of_its_own() -> None:
    ring = keyring_from_entropies(SEEDS)
    other = keyring_from_entropies(SeedEntropies(b"\x09" * 32, SEEDS.sponsor, SEEDS.treasury))
    assert addresses(ring)[:3] == addresses(other)[:3]
    assert ring.deposit_xpub != other.deposit_xpub
    theirs = Account.from_mnemonic(mnemonic_of(SEEDS.treasury), account_path="m/44'/60'/2'/0/0")
    assert addresses(ring)[0] == theirs.address


@pytest.mark.parametrize("words", ["", "test " * 12, WORDS + " test", "hush " * 12, "é" * 40])
def test_mnemonic__not_a_phrase__is_refused_and_not_repeated(words: str) -> None:
    with pytest.raises(WalletError) as caught:
        keyring_from_mnemonic(words)
    shown = "".join(traceback.format_exception(caught.value))
    assert "hush hush" not in shown
    assert "test test" not in shown


@pytest.mark.parametrize("index", [-1, 2**31])
def test_deposit_signer__hardened_or_negative_index__is_refused(index: int) -> None:
    with pytest.raises(WalletError, match="outside"):
        keyring_from_mnemonic(WORDS).deposit_signer(index)


def test_keystore__made_and_opened__is_the_same_ring(path: Path, ring: KeyRing) -> None:
    again = open_keyring(configured(keystore=str(path)), PASS)
    assert addresses(again) == addresses(ring)
    assert read_clear(path) == ring.clear_part()
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_keystore__exists_already__is_not_touched(path: Path, ring: KeyRing) -> None:
    before = path.read_bytes()
    with pytest.raises(WalletError, match="not overwritten"):
        create_keystore(path, SEEDS, ring.clear_part(), "x", SystemEntropy(), cost=COST)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_keystore__directory_missing_or_passphrase_empty__is_refused(tmp_path: Path) -> None:
    clear = keyring_from_entropies(SEEDS).clear_part()
    with pytest.raises(WalletError, match="cannot be written"):
        create_keystore(tmp_path / "no" / "k", SEEDS, clear, "x", SystemEntropy(), cost=COST)
    with pytest.raises(WalletError, match="passphrase is empty"):
        create_keystore(tmp_path / "k", SEEDS, clear, "", SystemEntropy(), cost=COST)


def test_f30_keystore__wrong_passphrase__one_line(path: Path, ring: KeyRing) -> None:
    with pytest.raises(WalletError, match="passphrase is wrong"):
        open_keystore(path, "correct horse batter")


@given(cut=st.integers(0, 10_000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_f30_keystore__truncated_anywhere__one_line(path: Path, cut: int) -> None:
    if not path.exists():
        new_keystore(configured(keystore=str(path)), PASS, SystemEntropy(), cost=COST)
    whole = path.read_bytes()
    broken = path.with_name("broken.json")
    broken.write_bytes(whole[: cut % (len(whole) - 1)])
    with pytest.raises(WalletError, match="truncated or damaged"):
        open_keystore(broken, "correct horse battery")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 3}, "version 3"),
        ({"version": 2}, "damaged"),
        ({"version": 2, "deposit_xpub": None}, "file was changed"),
        ({"kind": "other"}, "not a keystore"),
        ({"deposit_xpub": keyring_from_mnemonic(WORDS).deposit_xpub}, "file was changed"),
        ({"addresses": {"treasury": "0x" + "11" * 20}}, "file was changed"),
        ({"addresses": None}, "damaged"),
        ({"cipher": {}}, "damaged"),
        ({"kdf": {"name": "scrypt", "n": 2**30, "r": 8, "p": 1, "salt": "00"}}, "damaged"),
        ({"kdf": {"name": "scrypt", "n": 15, "r": 8, "p": 1, "salt": "00"}}, "damaged"),
        ({"kdf": {"name": "scrypt", "n": "16", "r": 8, "p": 1, "salt": "00"}}, "damaged"),
        ({"extra": 1}, "file was changed"),
    ],
)
def test_keystore__changed_by_somebody__does_not_open(
    path: Path, ring: KeyRing, change: dict[str, Any], reason: str
) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(WalletError, match=reason):
        open_keystore(path, "correct horse battery")


@given(content=st.binary(max_size=200) | st.sampled_from([b"[]", b"{}", b"null", b"[" * 9999]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_keystore__any_content__is_a_wallet_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "k"
    path.write_bytes(content)
    with pytest.raises(WalletError):
        read_clear(path)


def test_keystore__missing__names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(WalletError, match="bursar init"):
        read_clear(tmp_path / "none.json")


def test_open__no_passphrase__names_the_variable(path: Path, ring: KeyRing) -> None:
    with pytest.raises(ConfigError, match="BURSAR_KEYSTORE_PASSPHRASE"):
        open_keyring(configured(keystore=str(path)), Secrets())


def test_open__xpub_of_another_wallet__is_refused(path: Path, ring: KeyRing) -> None:
    xpub = keyring_from_mnemonic(WORDS).deposit_xpub
    with pytest.raises(WalletError, match="is not the signer's"):
        open_keyring(configured(keystore=str(path), deposit_xpub=xpub), PASS)


def test_open__mnemonic_on_a_chain_with_real_money__is_refused() -> None:
    secrets = Secrets(mnemonic=SecretStr(WORDS))
    assert open_keyring(configured(signer="mnemonic"), secrets)
    with pytest.raises(ConfigError, match="test chains only"):
        open_keyring(configured(1, signer="mnemonic"), secrets)
    with pytest.raises(ConfigError, match="test chains only"):
        deposit_xpub(configured(1, signer="mnemonic"), secrets)
    with pytest.raises(ConfigError, match="BURSAR_MNEMONIC"):
        open_keyring(configured(signer="mnemonic"), Secrets())


def test_new_keystore__deposit_addresses_without_keys__holds_no_deposit_seed(path: Path) -> None:
    settings = configured(keystore=str(path), deposits="create2")
    ring = new_keystore(settings, PASS, SystemEntropy(), cost=COST)
    seeds, clear = open_keystore(path, "correct horse battery")
    assert (seeds.deposit, clear.deposit_xpub, ring.deposit_xpub) == (None, None, None)
    opened = open_keyring(settings, PASS)
    assert opened.treasury_signer().address == ring.treasury_signer().address
    with pytest.raises(WalletError, match="not on this machine"):
        opened.deposit_signer(0)
    with pytest.raises(ConfigError, match="holds no deposit keys"):
        deposit_xpub(configured(keystore=str(path)))


@pytest.mark.parametrize("deposits", ["create2", "presigned"])
def test_open__deposit_seed_that_is_not_needed__is_refused(
    path: Path, ring: KeyRing, deposits: str
) -> None:
    with pytest.raises(WalletError, match="must stay offline"):
        open_keyring(configured(keystore=str(path), deposits=deposits), PASS)
    with pytest.raises(ConfigError, match="take it out"):
        configured(keystore=str(path), deposits=deposits, deposit_xpub=ring.deposit_xpub)


def test_open__kms__needs_its_keys_and_they_need_it() -> None:
    keys = {name: {"key": name} for name in ("treasury", "sponsor_sweeps", "sponsor_payouts")}
    with pytest.raises(ConfigError, match=r"needs \[wallets\.kms\]"):
        configured(signer="kms")
    with pytest.raises(ConfigError, match='no use without signer = "kms"'):
        configured(kms=keys)
    assert configured(signer="kms", kms=keys).wallets.kms is not None


def test_deposit_xpub__configured__reads_no_file(
    monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    xpub = keyring_from_mnemonic(WORDS).deposit_xpub
    chosen = configured(keystore=str(path), deposit_xpub=xpub)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr(builtins, "open", refuse)
    monkeypatch.setattr(Path, "open", refuse)
    assert deposit_xpub(chosen) == xpub


def test_deposit_xpub__keystore__needs_no_passphrase(path: Path, ring: KeyRing) -> None:
    assert deposit_xpub(configured(keystore=str(path))) == ring.deposit_xpub


def test_deposit_xpub__mnemonic_without_secrets__asks_for_the_xpub() -> None:
    with pytest.raises(ConfigError, match=r"wallets\.deposit_xpub"):
        deposit_xpub(configured(signer="mnemonic"))
    secrets = Secrets(mnemonic=SecretStr(WORDS))
    assert deposit_xpub(configured(signer="mnemonic"), secrets).startswith("xpub")


def shown(thing: object) -> Iterator[str]:
    yield repr(thing)
    yield str(thing)
    if isinstance(thing, KeyRing | LocalSigner):
        yield repr(vars(thing))


def test_secrets__shown_anywhere__are_not_seen(path: Path, ring: KeyRing) -> None:
    private = ring.deposit_signer(0)
    things = (SEEDS, ring, private, PASS, Secrets(mnemonic=SecretStr(WORDS)), path.read_text())
    text = " ".join(part for thing in things for part in shown(thing))
    for secret in (SEEDS.deposit.hex(), repr(SEEDS.deposit), "correct horse", "junk"):
        assert secret not in text


def test_secrets__error_while_opening__traceback_shows_none(path: Path, ring: KeyRing) -> None:
    path.write_text(path.read_text().replace('"n": 16', '"n": 32'))
    with pytest.raises(BursarError) as caught:
        open_keyring(configured(keystore=str(path)), PASS)
    assert "correct horse" not in "".join(traceback.format_exception(caught.value))


def test_load_secrets__variable_or_file__not_both(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("hush\r\n")
    loaded = load_secrets({"BURSAR_ADMIN_KEY_FILE": str(file), "BURSAR_MNEMONIC": WORDS})
    assert loaded.admin_key is not None
    assert loaded.admin_key.get_secret_value() == "hush"
    for environ, reason in (
        ({"BURSAR_ADMIN_KEY": "a", "BURSAR_ADMIN_KEY_FILE": "b"}, "both set"),
        ({"BURSAR_ADMIN_KEY": " "}, "is empty"),
        ({"BURSAR_ADMIN_KEY_FILE": str(tmp_path)}, "cannot read"),
        ({"BURSAR_ADMIN_KEY_FILE": str(tmp_path / "none")}, "No such file"),
    ):
        with pytest.raises(ConfigError, match=reason):
            load_secrets(environ)
