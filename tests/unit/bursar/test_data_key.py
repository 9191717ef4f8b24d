"""Hosts that share a database share its webhook secrets only if they have one data key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from bursar.compose import House, open_house
from bursar.data_key import data_key_finding
from bursar.metrics.families import Families
from bursar.roles import Roles
from config.models import Settings
from config.settings import Secrets
from gateway.webhooks.vault import Vault, load_data_key, new_secret
from ledger.merchants import create_merchant
from ledger.webhooks import NewEndpoint, create_endpoint, delete_endpoint
from wallets.keyring import keyring_from_mnemonic

WORDS = "test test test test test test test test test test test junk"


@asynccontextmanager
async def host(url: str, folder: Path, key: str | None = None) -> AsyncIterator[House]:
    """A host with the API: its working directory and its secrets are its own."""
    settings = Settings.model_validate(
        {
            "database": {"url": url},
            "wallets": {"deposit_xpub": keyring_from_mnemonic(WORDS).deposit_xpub},
            "settlement": {"journal": str(made(folder) / "test.journal")},
        }
    )
    secrets = Secrets(data_key=None if key is None else SecretStr(key))
    with pytest.MonkeyPatch.context() as here:
        here.chdir(made(folder))
        async with open_house(settings, secrets, chains=[]) as house:
            yield house


def made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


async def subscribed(house: House) -> tuple[str, str]:
    """A merchant and his endpoint, made at this host."""
    key = load_data_key(house.secrets, house.settings.database.url, house.entropy)
    async with house.ledger.transaction() as tx:
        merchant, endpoint = await create_merchant(tx, "Shop"), tx.new_id("we")
        sealed = Vault(key).seal(new_secret(tx.entropy), endpoint, tx.entropy)
        await create_endpoint(
            tx, merchant, endpoint, NewEndpoint("https://x.example", None, sealed)
        )
    return merchant, endpoint


async def said_at_start(house: House) -> list[str]:
    with capture_logs() as logs:
        await Roles.prepare(house, "gateway", Families())
    said = [line for line in logs if "data_key" in line["event"] or "secrets" in line["event"]]
    assert all("BURSAR_DATA_KEY" in line["remedy"] for line in said)
    return [line["event"] for line in said]


async def test_data_key__other_than_the_one_that_sealed__doctor_fails_and_the_start_says_so(
    migrated_url: str, tmp_path: Path
) -> None:
    first, other = "the key of the first host", "the key of another host"
    async with host(migrated_url, tmp_path / "a", first) as house:
        assert (await data_key_finding(house)).good
        merchant, endpoint = await subscribed(house)
        assert (await data_key_finding(house)).good
        assert await said_at_start(house) == []
    async with host(migrated_url, tmp_path / "b", other) as house:
        finding = await data_key_finding(house)
        assert not finding.good
        assert "1 of 1 webhook secrets" in finding.text
        assert "BURSAR_DATA_KEY" in finding.text
        assert other not in finding.text
        assert await said_at_start(house) == ["webhook_secrets_unreadable"]
        async with house.ledger.transaction() as tx:
            await delete_endpoint(tx, merchant, endpoint)
        assert (await data_key_finding(house)).good, "nothing is sent there any more"
        assert await said_at_start(house) == []


@pytest.mark.parametrize("database_backend", ["postgresql"], indirect=True)
async def test_data_key__in_a_file_and_the_database_is_shared__told_before_there_is_another_host(
    migrated_url: str, tmp_path: Path
) -> None:
    async with host(migrated_url, tmp_path / "a") as house:
        assert "none on this host" in (await data_key_finding(house)).text
        assert not list((tmp_path / "a").glob("*.data-key")), "a doctor makes nothing"
        assert await said_at_start(house) == ["data_key_of_this_host_alone"]
        await subscribed(house)
        finding = await data_key_finding(house)
        assert finding.good
        assert "which other hosts do not have" in finding.text
        assert "BURSAR_DATA_KEY" in finding.text
    async with host(migrated_url, tmp_path / "b") as house:
        assert await said_at_start(house) == ["webhook_secrets_unreadable"]
        assert not (await data_key_finding(house)).good
    remedy = (tmp_path / "a" / "bursar.data-key").read_text()
    async with host(migrated_url, tmp_path / "c", remedy) as house:
        assert (await data_key_finding(house)).good
        assert await said_at_start(house) == []
