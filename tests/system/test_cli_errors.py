"""What people type wrong: one line on stderr, the right exit status, never a traceback."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from eth_account.hdaccount import seed_from_mnemonic

from bursar.actions import invoices
from bursar.actions.invoices import BATCH, WORTH_A_PROCESS
from bursar.cli import run
from chain.anvil import Anvil
from config.units import checksum
from tests.support.postgres import free_port
from wallets.derivation import DepositDeriver
from wallets.private import PrivateNode

MNEMONIC = "legal winner thank year wave sausage worth useful legal winner thank yellow"
CONFIG = """
[database]
url = "sqlite+aiosqlite:///{folder}/bursar.db"
[wallets]
signer = "mnemonic"
[[chains]]
name = "anvil"
chain_id = {chain_id}
rpc_urls = ["{rpc}"]
finality = {{ confirmations = 3 }}
is_test = true
"""
TOKEN = """
[[chains.tokens]]
symbol = "USDC"
address = "{address}"
decimals = 6
currency = "USD"
"""
MANY = WORTH_A_PROCESS + BATCH // 2
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def bursar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs a command line in this process: starting one takes seconds on a busy machine."""
    for name in [name for name in os.environ if name.startswith("BURSAR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BURSAR_MNEMONIC", MNEMONIC)
    monkeypatch.chdir(tmp_path)

    def run_here(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            status = run(arguments)
        told = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, told.out, told.err)

    return run_here


def configure(folder: Path, *, rpc: str = "", chain_id: int = 31337, extra: str = "") -> None:
    rpc = rpc or f"http://127.0.0.1:{free_port()}"
    text = CONFIG.format(folder=folder, rpc=rpc, chain_id=chain_id)
    (folder / "bursar.toml").write_text(text + extra)


def refused(
    done: subprocess.CompletedProcess[str], *words: str, status: int = 1, lines: int = 1
) -> None:
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert len(done.stderr.strip().splitlines()) == lines, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["nonsense"], "nonsense"),
        (["run", "--nonsense"], "--nonsense"),
        (["run", "--role", "king"], "king"),
        (["pause", "--only", "everything"], "everything"),
        (["rescan", "--chain", "anvil", "--from", "soon"], "--from"),
        (["rescan", "--from", "1"], "--chain"),
        (["merchants", "create"], "--name"),
        (["invoices", "import"], "FILE"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else None,
)
def test_usage__wrong__exit_2_and_one_line(bursar: Run, arguments: list[str], word: str) -> None:
    refused(bursar(*arguments), word, status=2)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("[http]\nprot = 1\n", ("http", "unknown key 'prot'", "did you mean 'port'?")),
        ('[http]\nport = "eighty"\n', ("http.port", "whole number")),
        (TOKEN.format(address="0x123"), ("tokens[0].address", "is not an address")),
        (
            TOKEN.format(address="0xa0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"),
            ("tokens[0].address", "checksum"),
        ),
        ("[http\n", ("not valid TOML",)),
    ],
    ids=["unknown key", "wrong type", "bad address", "bad checksum", "not TOML"],
)
def test_config__wrong__one_line_naming_key_and_remedy(
    bursar: Run, tmp_path: Path, extra: str, words: tuple[str, ...]
) -> None:
    configure(tmp_path, extra=extra)
    refused(bursar("doctor"), "bursar.toml", *words)


def test_config__missing__says_how_to_get_one(bursar: Run) -> None:
    refused(bursar("doctor"), "bursar init")


def test_config__debug__shows_the_traceback(bursar: Run) -> None:
    done = bursar("--debug", "doctor")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_secret__in_an_error__never_shown(bursar: Run, tmp_path: Path) -> None:
    configure(tmp_path)
    wrong = MNEMONIC.replace("yellow", "zebra")
    done = bursar("wallets", "show", BURSAR_MNEMONIC=wrong)
    refused(done, "BIP-39")
    assert "zebra" not in done.stderr + done.stdout


def test_wallets_show__rpc_unreachable__one_line(bursar: Run, tmp_path: Path) -> None:
    configure(tmp_path)
    refused(bursar("wallets", "show", "--json"), "anvil/127.0.0.1", "connection failed")


def test_doctor__rpc_unreachable__one_line_and_exit_1(bursar: Run, tmp_path: Path) -> None:
    configure(tmp_path)
    bursar("migrate")
    done = bursar("doctor", BURSAR_ADMIN_KEY="a-long-enough-admin-key")
    assert done.returncode == 1
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert len(failed) == 1, done.stdout
    assert "connection failed" in failed[0]
    assert done.stderr == ""


@pytest.mark.parametrize("command", ["run", "doctor"])
def test_chain_id__is_another__refused_in_one_line(
    bursar: Run, tmp_path: Path, anvil: Anvil, command: str
) -> None:
    configure(tmp_path, rpc=anvil.rpc_url, chain_id=31338)
    bursar("migrate")
    done = bursar(command, BURSAR_HTTP__PORT="0", BURSAR_LOG__LEVEL="error")
    assert done.returncode == 1, done.stdout
    told = [line for line in (done.stdout + done.stderr).splitlines() if "31338" in line]
    assert len(told) == 1
    assert "serves chain id 31337, not 31338" in told[0]
    assert "Traceback" not in done.stderr


def test_run__no_contract_at_the_tokens_address__refused_in_one_line(
    bursar: Run, tmp_path: Path, anvil: Anvil
) -> None:
    nobody = "0x" + "ab" * 20
    configure(tmp_path, rpc=anvil.rpc_url, extra=TOKEN.format(address=nobody))
    done = bursar("run", BURSAR_HTTP__PORT="0", BURSAR_LOG__LEVEL="error")
    refused(done, "token USDC", "no contract is at this address")


def test_run__old_schema__refused_with_the_remedy(
    bursar: Run, tmp_path: Path, postgres: object
) -> None:
    url = postgres.url(postgres.create_database())  # type: ignore[attr-defined]
    configure(tmp_path)
    refused(bursar("run", BURSAR_DATABASE__URL=url, BURSAR_LOG__LEVEL="error"), "bursar migrate")


def test_run__database_of_somebody_else__not_written_into(bursar: Run, tmp_path: Path) -> None:
    import sqlite3

    configure(tmp_path)
    other = sqlite3.connect(tmp_path / "bursar.db")
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    refused(bursar("run", BURSAR_LOG__LEVEL="error"), "bursar migrate")


def test_run__port_taken__refused_in_one_line(bursar: Run, tmp_path: Path, anvil: Anvil) -> None:
    configure(tmp_path, rpc=anvil.rpc_url)
    taken = anvil.rpc_url.rsplit(":", 1)[1]
    done = bursar("run", BURSAR_HTTP__PORT=taken, BURSAR_LOG__LEVEL="error")
    refused(done, "the port is taken", "http.port")


def test_run__keystore_without_passphrase__refused_in_one_line(bursar: Run, tmp_path: Path) -> None:
    assert bursar("init", BURSAR_KEYSTORE_PASSPHRASE="correct horse").returncode == 0
    refused(bursar("run", BURSAR_LOG__LEVEL="error"), "BURSAR_KEYSTORE_PASSPHRASE")
    wrong = bursar("run", BURSAR_KEYSTORE_PASSPHRASE="wrong", BURSAR_LOG__LEVEL="error")
    refused(wrong, "passphrase is wrong")


def test_init__fresh_folder__writes_both_and_prints_addresses_to_fund(
    bursar: Run, tmp_path: Path
) -> None:
    done = bursar("init", BURSAR_KEYSTORE_PASSPHRASE="correct horse")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("sponsor of") == 2
    assert "correct horse" not in done.stdout + (tmp_path / "keystore.json").read_text()
    assert (tmp_path / "keystore.json").stat().st_mode & 0o077 == 0
    assert (tmp_path / "bursar.toml").read_text().startswith("#")
    again = bursar("init", BURSAR_KEYSTORE_PASSPHRASE="correct horse")
    refused(again, "exists already")


def test_init__keystore_is_there__neither_is_touched(bursar: Run, tmp_path: Path) -> None:
    (tmp_path / "keystore.json").write_text("precious")
    refused(bursar("init", BURSAR_KEYSTORE_PASSPHRASE="correct horse"), "keystore.json")
    assert (tmp_path / "keystore.json").read_text() == "precious"
    assert not (tmp_path / "bursar.toml").exists()


def test_init__no_passphrase_and_no_terminal__one_line(bursar: Run) -> None:
    refused(bursar("init"), "BURSAR_KEYSTORE_PASSPHRASE")


def test_init__in_another_folder__its_files_are_found_from_anywhere(
    bursar: Run, tmp_path: Path
) -> None:
    (tmp_path / "etc").mkdir()
    where = tmp_path / "etc" / "bursar.toml"
    done = bursar("--config", str(where), "init", BURSAR_KEYSTORE_PASSPHRASE="correct horse")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "etc" / "keystore.json").exists()
    assert bursar("--config", str(where), "migrate").returncode == 0
    assert (tmp_path / "etc" / "bursar.db").exists()


def test_merchants__create_and_list__json_alone_and_the_key_once(
    bursar: Run, tmp_path: Path
) -> None:
    configure(tmp_path)
    bursar("migrate")
    made = bursar("merchants", "create", "--name", "Ünï ☂", "--json")
    assert made.stderr == ""
    merchant = json.loads(made.stdout)
    assert merchant["api_key"].startswith("bk_")
    listed = bursar("merchants", "list", "--json")
    assert [row["id"] for row in json.loads(listed.stdout)] == [merchant["id"]]
    assert merchant["api_key"] not in listed.stdout
    assert merchant["api_key"].encode() not in (tmp_path / "bursar.db").read_bytes()
    refused(bursar("merchants", "create", "--name", "\x00"[:0] + " "), "--name")


def test_database__of_a_newer_program__one_line_that_helps(bursar: Run, tmp_path: Path) -> None:
    configure(tmp_path)
    bursar("migrate")
    with sqlite3.connect(tmp_path / "bursar.db") as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    for command in (["migrate"], ["merchants", "list"], ["run"]):
        refused(bursar(*command), "9999", "newer Bursar")


def test_api_keys__lost__a_new_one_once_and_the_old_refused(bursar: Run, tmp_path: Path) -> None:
    configure(tmp_path)
    bursar("migrate")
    merchant = json.loads(bursar("merchants", "create", "--name", "A", "--json").stdout)["id"]
    done = bursar("api-keys", "create", "--merchant", merchant, "--revoke-others", "--json")
    made = json.loads(done.stdout)
    listed = bursar("api-keys", "list", "--merchant", merchant, "--json")
    old, new = json.loads(listed.stdout)
    assert (old["revoked_at"] is None, new["revoked_at"], new["id"]) == (False, None, made["id"])
    assert made["revoked"] == [old["id"]]
    assert made["api_key"] not in listed.stdout
    assert made["api_key"].encode() not in (tmp_path / "bursar.db").read_bytes()
    assert bursar("api-keys", "revoke", made["id"]).stdout.startswith(f"revoked: {made['id']}")
    refused(bursar("api-keys", "create", "--merchant", "mer_0"), "mer_0", "merchants list")
    refused(bursar("api-keys", "list", "--merchant", "mer_0"), "mer_0", "merchants list")
    refused(bursar("api-keys", "revoke", "key_0"), "key_0", "api-keys list")
    refused(bursar("api-keys", "create", "--merchant", merchant, "--name", "\x1b[2J"), "--name")
    refused(bursar("api-keys", "create"), "--merchant", status=2)


def test_invoices_import__good_file__an_id_and_address_a_line(bursar: Run, tmp_path: Path) -> None:
    configure(tmp_path, extra=TOKEN.format(address="0x" + "ab" * 20))
    bursar("migrate")
    bursar("merchants", "create", "--name", "A")
    rows = [json.dumps({"amount": f"{n}.50", "currency": "USD"}) for n in range(1, MANY + 1)]
    (tmp_path / "many.jsonl").write_text("\n".join(rows) + "\n\n")
    done = bursar("invoices", "import", "many.jsonl")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == MANY
    seed = seed_from_mnemonic(MNEMONIC, "")
    derived = DepositDeriver(PrivateNode.from_seed(seed).derive("44'/60'/0'/0").xpub())
    assert [a for _, a in lines] == [checksum(a) for a in derived.addresses(0, MANY)]
    assert all(i.startswith("inv_") and a.startswith("0x") for i, a in lines)
    assert f"{MANY} of {MANY}" in done.stderr
    (tmp_path / "few.jsonl").write_text("\n".join(rows[:600]))
    as_json = bursar("invoices", "import", "few.jsonl", "--json")
    assert len(json.loads(as_json.stdout)) == 600


def test_invoices_import__bad_last_line__nothing_was_opened(bursar: Run, tmp_path: Path) -> None:
    configure(tmp_path, extra=TOKEN.format(address="0x" + "ab" * 20))
    bursar("migrate")
    bursar("merchants", "create", "--name", "A")
    good = json.dumps({"amount": "1.50", "currency": "USD"})
    for bad, words in [
        ("{", ("bad.jsonl:3", "is not JSON")),
        ("[1]", ("bad.jsonl:3", "not a JSON object")),
        ('{"amount": 1.5, "currency": "USD"}', ("bad.jsonl:3", "amount")),
        ('{"amount": "1.5", "currency": "XYZ"}', ("bad.jsonl:3", "currency")),
        ('{"amount": "1.5", "currency": "USD", "x": 1}', ("bad.jsonl:3", "x")),
    ]:
        (tmp_path / "bad.jsonl").write_text(f"{good}\n{good}\n{bad}\n")
        refused(bursar("invoices", "import", "bad.jsonl"), *words)
    (tmp_path / "bad.jsonl").write_text(good)
    done = bursar("invoices", "import", "bad.jsonl", "--json")
    assert len(json.loads(done.stdout)) == 1
    refused(bursar("invoices", "import", "missing.jsonl"), "missing.jsonl", "cannot be read")


def test_invoices_import__no_room_for_a_copy__says_where_and_opens_nothing(
    bursar: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(tmp_path, extra=TOKEN.format(address="0x" + "ab" * 20))
    bursar("migrate")
    bursar("merchants", "create", "--name", "A")
    (tmp_path / "good.jsonl").write_text(json.dumps({"amount": "1.50", "currency": "USD"}))
    with monkeypatch.context() as patch:
        patch.setattr(invoices, "TemporaryFile", partial(Path("/dev/full").open, "r+b"))
        refused(bursar("invoices", "import", "good.jsonl"), "temporary folder", "TMPDIR")
    done = bursar("invoices", "import", "good.jsonl", "--json")
    assert len(json.loads(done.stdout)) == 1


def test_pause__kept_and_resumed__by_scope(bursar: Run, tmp_path: Path) -> None:
    configure(tmp_path)
    bursar("migrate")
    assert bursar("pause", "--only", "payouts", "--chain", "anvil").stdout == (
        "paused: payouts:anvil\n"
    )
    assert "paused: all" in bursar("pause", "--reason", "drill").stdout
    partly = bursar("resume", "--only", "payouts").stdout
    assert "resumed: payouts:anvil" in partly
    assert "still paused: all" in partly
    assert "resumed: all" in bursar("resume").stdout
    refused(bursar("pause", "--chain", "anvli"), "anvli", "did you mean 'anvil'?")


def test_chain_clear__not_halted__one_line(bursar: Run, tmp_path: Path) -> None:
    configure(tmp_path)
    bursar("migrate")
    refused(bursar("chain", "clear", "anvil"), "is not halted")
    refused(bursar("holds", "release", "hold_x"), "no hold")


def test_help__every_command__is_there(bursar: Run) -> None:
    text = bursar("--help").stdout
    for command in [
        "demo",
        "init",
        "doctor",
        "migrate",
        "run",
        "wallets",
        "contracts",
        "merchants",
        "api-keys",
        "invoices",
        "payouts",
        "reconcile",
        "rescan",
        "pause",
        "resume",
    ]:
        assert f" {command} " in text, command
        assert bursar(command, "--help").returncode == 0


def test_command__interrupted__exit_130_and_one_line(
    bursar: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    configure(tmp_path)
    monkeypatch.setattr("bursar.actions.merchants.show_all", interrupted)
    refused(bursar("merchants", "list"), "interrupted", status=130)


def test_process__thread_after_the_end__says_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, threading, bursar.cli as cli\n"
        "def late(text): raise RuntimeError(text)\n"
        "def run(_):\n"
        "    for text in ('Event loop is closed', 'another matter'):\n"
        "        threading.Thread(target=late, args=(text,)).start()\n"
        "    return 1\n"
        "cli.run = run\n"
        "cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "loop is closed" not in done.stderr
    assert "another matter" in done.stderr


def test_process__unexpected_error__one_line_without_its_text(tmp_path: Path) -> None:
    code = (
        "import sys, bursar.cli as cli\n"
        "def boom(): raise ValueError('a secret')\n"
        "cli.build_app = boom\n"
        "cli.main()\n"
    )
    for arguments, shown in (([], False), (["--debug"], True)):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert ("a secret" in done.stderr) is shown
        assert ("Traceback" in done.stderr) is shown
        assert shown or len(done.stderr.splitlines()) == 1


def test_process__help__answers_without_loading_the_house(tmp_path: Path) -> None:
    code = (
        "import sys, bursar.cli as cli\n"
        "cli.run(['--help'])\n"
        "heavy = {'sqlalchemy', 'aiohttp', 'web3', 'eth_account', 'alembic'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
