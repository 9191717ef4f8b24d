"""Logs: shape, and no secret by any way in."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from config.credentials import Secrets
from config.log import configure_logging, get_logger
from config.redact import MASK, Redactor, redact_url, redactor_for
from config.settings import LogSettings, parse_settings

WORDS = "legal winner thank year wave sausage worth useful legal winner thank yellow"
SECRETS = Secrets(
    admin_key=SecretStr("adm-5f2c9e"),
    mnemonic=SecretStr(WORDS),
    keystore_passphrase=SecretStr("correct horse"),
)
RPC = "https://rpc.example/v2/aBc123"
HEADS = "wss://heads.example/ws/dEf456"
SETTINGS = parse_settings(
    {
        "database": {"url": "postgresql+asyncpg://u:hush@db:5432/bursar"},
        "chains": [{"chain": "base", "rpc_urls": [RPC], "ws_urls": [HEADS]}],
    }
)
REDACTOR = redactor_for(SETTINGS, SECRETS)


class FixedClock:
    def now(self) -> datetime:
        return datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def fail(message: str) -> None:
    raise ValueError(message)


def stream(form: Literal["json", "console"] = "json", level: Any = "info") -> io.StringIO:
    out = io.StringIO()
    configure_logging(LogSettings(format=form, level=level), REDACTOR, FixedClock(), out)
    return out


def test_log__json__one_object_a_line_with_the_injected_time() -> None:
    out = stream()
    get_logger("watcher.scan").info("block_scanned", chain="base", block=7, hash=b"\xab" * 32)
    get_logger("watcher.scan").debug("not told")
    assert json.loads(out.getvalue()) == {
        "event": "block_scanned",
        "chain": "base",
        "block": 7,
        "hash": "0x" + "ab" * 32,
        "level": "info",
        "logger": "watcher.scan",
        "timestamp": "2026-01-02T03:04:05.000+00:00",
    }


def test_log__configured_twice__tells_each_line_once() -> None:
    stream()
    out = stream()
    logging.getLogger("library").warning("from %s", "a library")
    assert json.loads(out.getvalue())["event"] == "from a library"


@pytest.mark.parametrize("form", ["json", "console"])
def test_log__secrets_by_every_way_in__none_comes_out(form: Any) -> None:
    out = stream(form)
    log = get_logger("x")
    held = "adm-5f2c9e"
    log.info("a", words=WORDS, url=RPC, nested={"deep": [RPC, {"passphrase": "p4ss"}]})
    log.info("key is %s", held, authorization="Bearer zzzzzzzz", private_key=b"\x77" * 32)
    log.bind(secret="s3cr3t").warning(f"to {RPC}?x=1", thing=SecretStr("s3cr3t"))
    logging.getLogger("lib").error("with %r", {"m": WORDS}, extra={"api_key": "s3cr3t"})
    try:
        fail(f"{RPC} {held} {SETTINGS.database.url}")
    except ValueError:
        log.exception("b")
        logging.getLogger("lib").exception("c")
    for secret in (held, "winner", "aBc123", "p4ss", "zzzzz", "7777", "s3cr3t", "hush", "horse"):
        assert secret not in out.getvalue()
    assert f"key is {MASK}" in out.getvalue()
    assert "Traceback" in out.getvalue()
    assert "https://rpc.example" in out.getvalue()


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ"),
        ("bk_yl_IejzFGumqQnfNtd_iHXW-RV2elIrjL3kaS3L_eQo", "IejzF"),
        ("https://user:pw12@host/x", "pw12"),
        ("https://eth.example/v3/0123456789abcdef0123456789abcdef failed", "89abcdef"),
        ("https://eth.example/?apikey=0123456789abcdef0123", "89abcdef"),
        ("private key: 0x" + "5" * 64, "5555"),
        ("{'password': 'pw12'}", "pw12"),
        ("Authorization: Bearer abc.def.ghi", "abc.def"),
        ("xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKm", "s21Zr"),
        (f"phrase {WORDS}.", "sausage"),
    ],
)
def test_redact__by_shape__without_knowing_the_secret(text: str, secret: str) -> None:
    assert secret not in Redactor().text(text)
    assert MASK in Redactor().text(text)


@pytest.mark.parametrize(
    "text",
    [
        "0x" + "ab" * 32,
        "https://pay.example/i/inv_01jabcdefghjkmnpqrstvwxyz0",
        "chain base: head 1,234 is 3 blocks behind the head of the other provider",
        "eip155:8453/erc20:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
        "http://127.0.0.1:8545",
    ],
)
def test_redact__what_operators_need__stays(text: str) -> None:
    assert Redactor().text(text) == text


@pytest.mark.parametrize("name", ["token", "token_symbol", "idempotency_key_id", "seeded", "none"])
def test_redact__ordinary_field_names__stay(name: str) -> None:
    assert Redactor().value("USDC", name) == "USDC"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (RPC, "https://rpc.example"),
        (HEADS, "wss://heads.example"),
        ("http://u:p@127.0.0.1:8545/k", "http://127.0.0.1:8545"),
        ("ws://[::1]:9/k", "ws://[::1]:9"),
        ("postgresql+asyncpg://u:p@db/bursar", "postgresql+asyncpg://db"),
        ("sqlite+aiosqlite:///x.db", "sqlite+aiosqlite:"),
        ("http://x:notaport/secret", MASK),
        ("secret", MASK),
    ],
)
def test_redact_url__any__shows_scheme_and_host(url: str, shown: str) -> None:
    assert redact_url(url) == shown


@given(st.text("abc.:/@-_ %?#[]", max_size=60).map("https://".__add__))
def test_redact_url__any_text__never_fails(url: str) -> None:
    assert isinstance(redact_url(url), str)


@given(st.recursive(st.none() | st.text() | st.binary() | st.integers(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_redact__any_value__becomes_json(value: Any) -> None:
    json.dumps(REDACTOR.value(value))
