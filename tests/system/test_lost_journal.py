"""The journal is lost, perhaps with the database: which indexes are handed out from then on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bursar.actions.presigned import DelegateParts, import_in, presign
from bursar.compose import House, open_house
from bursar.startup import prepare_journal
from config.errors import InvalidInputError
from config.settings import Secrets, parse_settings
from config.units import Address, Hash32
from ledger.installation import installation_id, raise_index
from ledger.journal import INDEX_STEP, LOST_INDEXES, open_journal
from ledger.merchants import create_merchant
from ledger.migrate import upgrade
from ledger.presigned import next_index_of
from ledger.schema import address_counter, presigned_sets
from tests.support.database import sqlite_url
from tests.support.world import MNEMONIC


@asynccontextmanager
async def house_with(folder: Path, handed_out: int, **wallets: str) -> AsyncIterator[House]:
    """A house whose books say that so many indexes were handed out, and that has no journal."""
    url = sqlite_url(folder / "books.db")
    await upgrade(url)
    chain = {"name": "dev", "chain_id": 31337, "rpc_urls": ["https://rpc.example/"]}
    settings = parse_settings({
        "database": {"url": url}, "chains": [{**chain, "finality": {"confirmations": 3}}],
        "wallets": {"signer": "mnemonic", **wallets},
    })  # fmt: skip
    secrets = Secrets.model_validate({"mnemonic": MNEMONIC})
    async with open_house(settings, secrets, chains=[]) as house:
        async with house.ledger.transaction() as tx:
            await raise_index(tx, handed_out)
        yield house


async def next_index(house: House) -> int:
    async with house.ledger.reading() as tx:
        return await next_index_of(tx)


async def test_f20_journal_lost__a_million_indexes_left_out__once(tmp_path: Path) -> None:
    async with house_with(tmp_path, 6) as house:
        first = await prepare_journal(house)
        assert await next_index(house) == first.next_index == 6 + LOST_INDEXES
        await prepare_journal(house)
        assert await next_index(house) <= 6 + LOST_INDEXES + INDEX_STEP


async def test_f20_journal_lost__died_before_the_mark_was_written__left_out_all_the_same(
    tmp_path: Path,
) -> None:
    async with house_with(tmp_path, 6) as house:
        async with house.ledger.transaction() as tx:
            open_journal(tmp_path / "books.journal", await installation_id(tx))
        await prepare_journal(house)
        assert await next_index(house) == 6 + LOST_INDEXES


async def test_journal_of_a_new_database__nothing_left_out(tmp_path: Path) -> None:
    async with house_with(tmp_path, 0) as house:
        await prepare_journal(house)
        assert await next_index(house) == 0


@pytest.mark.parametrize("died", [False, True])
async def test_f20_journal_lost__backup_from_before_the_first_invoice__a_million_left_out_once(
    tmp_path: Path, died: bool
) -> None:
    """The books have handed nothing out: what they do not know of was opened since."""
    async with house_with(tmp_path, 0) as house:
        async with house.ledger.transaction() as tx:
            await create_merchant(tx, "Shop")
        (tmp_path / "books.journal").unlink(missing_ok=True)
        if died:  # before the mark was written
            async with house.ledger.transaction() as tx:
                open_journal(tmp_path / "books.journal", await installation_id(tx))
        await prepare_journal(house)
        assert await next_index(house) == LOST_INDEXES
        await prepare_journal(house)
        assert await next_index(house) == LOST_INDEXES


async def test_first_start_after_the_first_merchant__no_invoice_yet__nothing_left_out(
    tmp_path: Path,
) -> None:
    async with house_with(tmp_path, 0) as house:
        async with house.ledger.transaction() as tx:
            await tx.conn.execute(address_counter.delete())
            await create_merchant(tx, "Shop")
        for _ in range(3):
            await prepare_journal(house)
        assert await next_index(house) == 0


async def test_f20_journal_lost__addresses_signed_offline__all_imported_ones_are_left_out(
    tmp_path: Path,
) -> None:
    """A million signatures nobody has; whoever needs more is told so, and signs more."""
    async with house_with(tmp_path, 6, deposits="presigned") as house:
        async with house.ledger.transaction() as tx:
            row = {
                "chain_id": 1, "delegate": Address(bytes(20)), "code_hash": Hash32(bytes(32)),
                "first_index": 0, "next_index": 50,
            }  # fmt: skip
            await tx.conn.execute(presigned_sets.insert().values(row))
        await prepare_journal(house)
        assert await next_index(house) == 50


def signed(house: House, folder: Path, first: int, count: int) -> Path:
    """A file that an offline machine would have written."""
    file = folder / f"{first}-{count}.jsonl"
    presign(
        house.settings, house.secrets,
        chains=["dev"], first=first, count=count, output=file, parts=DelegateParts(),
    )  # fmt: skip
    return file


async def test_first_start__addresses_imported_from_a_higher_index__none_is_left_out(
    tmp_path: Path,
) -> None:
    """Another installation of the same seed has the lower ones: nothing was lost here."""
    async with house_with(tmp_path, 0, deposits="presigned") as house:
        await import_in(house, signed(house, tmp_path, 1000, 3))
        await prepare_journal(house)
        assert await next_index(house) == 1000


async def test_f20_journal_lost__imported_since_the_backup__handed_out_from_where_a_person_says(
    tmp_path: Path,
) -> None:
    """The backup knows of three addresses; three more were imported and given to people."""
    async with house_with(tmp_path, 0, deposits="presigned") as house:
        await import_in(house, signed(house, tmp_path, 0, 3))
        async with house.ledger.transaction() as tx:
            await raise_index(tx, 1)
        await prepare_journal(house)
        again = signed(house, tmp_path, 3, 6)
        with pytest.raises(InvalidInputError, match="hand-out-from"):
            await import_in(house, again)
        assert await next_index(house) == 3
        await import_in(house, again, hand_out_from=6)
        assert await next_index(house) == 6
        await import_in(house, signed(house, tmp_path, 9, 2))
        assert await next_index(house) == 6
