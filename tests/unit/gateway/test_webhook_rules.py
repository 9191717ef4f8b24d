"""The pure parts of webhooks: targets, backoff, vault."""

from __future__ import annotations

import ipaddress
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.errors import ConfigError
from config.settings import Secrets
from gateway.webhooks.backoff import FIRST_RETRY, GIVE_UP_AFTER, LONGEST_RETRY, next_attempt
from gateway.webhooks.targets import is_public
from gateway.webhooks.vault import Vault, key_file, load_data_key, new_secret
from tests.support.clock import SeededEntropy

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1", False),
        ("fc00::1", False),
        ("fec0::1", False),
        ("fd00:ec2::254", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d822", True),
    ],
)
def test_f27_is_public__address_and_what_is_inside_it__judged(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


def test_next_attempt__failing_for_three_days__waits_grow_then_it_is_dead() -> None:
    now, attempts, waits = START, 0, []
    while True:
        attempts += 1
        due = next_attempt(attempts, START, now, 1.0)
        if due is None:
            break
        assert due > now or now == START + GIVE_UP_AFTER
        waits.append(due - now)
        now = due
    assert now == START + GIVE_UP_AFTER
    assert waits[0] == FIRST_RETRY
    assert max(waits) == LONGEST_RETRY
    assert sorted(waits[:-1]) == waits[:-1]
    assert 20 < attempts < 40


def test_next_attempt__jitter__stays_within_a_quarter() -> None:
    early = next_attempt(5, START, START, 0.0)
    late = next_attempt(5, START, START, 1.0)
    assert early is not None
    assert late is not None
    assert (early - START) == (late - START) * 0.75


def test_vault__other_owner_or_key__does_not_open() -> None:
    entropy = SeededEntropy()
    secret = new_secret(entropy)
    sealed = Vault(b"a" * 32).seal(secret, "we_1", entropy)
    assert Vault(b"a" * 32).open(sealed, "we_1") == secret
    for vault, owner, text in [
        (Vault(b"a" * 32), "we_2", sealed),
        (Vault(b"b" * 32), "we_1", sealed),
        (Vault(b"a" * 32), "we_1", sealed[:-4] + "AAA="),
        (Vault(b"a" * 32), "we_1", "v1.nonsense"),
    ]:
        with pytest.raises(ConfigError, match="another data key"):
            vault.open(text, owner)


def test_load_data_key__no_key_given__a_private_file_made_once(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/bursar.db"
    first = load_data_key(Secrets(), url, SeededEntropy(1))
    assert load_data_key(Secrets(), url, SeededEntropy(2)) == first
    assert [p.name for p in tmp_path.iterdir()] == ["bursar.db.data-key"]
    path = key_file(url)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="may be read by others"):
        load_data_key(Secrets(), url, SeededEntropy(3))


def test_load_data_key__given_or_too_short__used_or_refused() -> None:
    given = Secrets(data_key=SecretStr("0123456789abcdef"))
    assert load_data_key(given, "postgresql+asyncpg://x/y", SeededEntropy()) == load_data_key(
        given, "sqlite+aiosqlite:///elsewhere.db", SeededEntropy()
    )
    with pytest.raises(ConfigError, match="shorter"):
        load_data_key(
            Secrets(data_key=SecretStr("short")), "sqlite+aiosqlite:///x.db", SeededEntropy()
        )


def test_next_attempt__made_after_the_last_hour__is_not_in_the_past() -> None:
    now = START + GIVE_UP_AFTER - timedelta(seconds=1)
    assert next_attempt(30, START, now, 0.5) == START + GIVE_UP_AFTER
