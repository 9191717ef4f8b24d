"""What must hold before any task runs; each refusal is one line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from bursar.addresses import own_addresses
from bursar.chain_checks import check_chain
from bursar.compose import House
from bursar.supervision import Work
from chain.rpc.errors import RpcError
from config.chains import ChainSettings
from config.errors import BursarError, ConfigError
from config.log import get_logger
from config.settings import Secrets, Settings
from config.units import Address, checksum
from ledger.addresses import newest_in_use
from ledger.cursors import get_cursor
from ledger.deposit_factories import FactorySource, found_factories
from ledger.installation import installation_id, raise_index
from ledger.journal import LOST_INDEXES, PRESIGNED_STEP, Journal, open_journal, succeed_journal
from ledger.known_contracts import booked_contracts, check_contracts
from ledger.left_out import left_out
from ledger.migrate import require_current, upgrade
from ledger.presigned import (
    PresignedSource,
    mark_lost,
    next_index_of,
    presigned_sets_of,
    was_started,
)
from ledger.schema import deposit_addresses, merchants
from ledger.sources import Derive, Source
from ledger.store import sqlite_path
from wallets.create2 import CloneDeriver
from wallets.derivation import DepositDeriver
from wallets.keyring import deposit_xpub

log = get_logger(__name__)

PUT_BACK: Final = "put it back into the configuration until it is settled"
FIRST_LOOK_SECONDS: Final = 5.0
"""How long a start waits for the chains' answers; readiness within 20 s leaves no more."""


async def prepare_database(house: House) -> None:
    """Refuse an old or unknown schema, but make an embedded database that does not exist yet.

    An empty SQLite file has nothing that a migration could harm and nobody else who
    might be reading it, so a first start needs no second command. Everywhere else the
    moment of a migration is the operator's.

    :raises DatabaseError: not reachable, or not at this program's schema.
    """
    path = sqlite_path(house.settings.database.url)
    if path is not None and await _is_empty(house):
        await upgrade(house.settings.database.url)
        log.info("database_created", path=path)
    await require_current(house.ledger.engine)


async def tell_left_out(house: House) -> None:
    """Say which chains and tokens have something open and are not configured any more."""
    async with house.ledger.reading() as tx:
        found = await left_out(tx)
    for one in found:
        log.error("left_out", chain=one.chain, what=one.text, remedy=PUT_BACK)


def check_approver(settings: Settings, secrets: Secrets) -> None:
    """Refuse a second pair of eyes that is nobody's, or the first one's.

    :raises ConfigError: something waits for approvals and nobody can give them, or the
        approver's key is the admin's.
    """
    admin, approver = secrets.admin_key, secrets.approver_key
    if approver is None:
        if settings.security.approvals:
            raise ConfigError(
                "approvals are asked for, but BURSAR_APPROVER_KEY is not set",
                where="security",
                remedy="give a second person's key, or take out approve_…",
            )
    elif admin is not None and admin.get_secret_value() == approver.get_secret_value():
        raise ConfigError(
            "is the same as BURSAR_ADMIN_KEY", where="BURSAR_APPROVER_KEY", remedy="use another"
        )


async def prepare_journal(house: House) -> Journal:
    """Open the journal, and never hand out again an address index that it says is used.

    :raises JournalError: it belongs to another database, is damaged, or cannot be written.
    """
    async with house.ledger.transaction() as tx:
        name = await installation_id(tx)
        is_new = not await tx.conn.scalar(sa.select(sa.exists().where(merchants.c.id.is_not(None))))
    opening = succeed_journal if is_new else open_journal
    journal = await asyncio.to_thread(opening, journal_path(house), name)
    await _make_up_for_lost_marks(house, journal, is_new=is_new)
    await asyncio.to_thread(journal.mark)
    async with house.ledger.transaction() as tx:
        raised = await raise_index(tx, journal.next_index)
    log.info("journal_open", path=str(journal.path), index_raised=raised)
    return journal


async def check_deposit_xpub(house: House) -> None:
    """Refuse an xpub whose addresses are not those that people are paying to.

    Handed out by a gateway that was given another keystore, they could be swept by nobody; and
    with another keystore at settlement, those handed out before could not.

    :raises ConfigError: the newest address is of other keys; or no xpub is known here.
    """
    if house.settings.wallets.deposits != "hd":
        return
    async with house.ledger.reading() as tx:
        newest, factories = await newest_in_use(tx), await found_factories(tx)
    if newest is None:
        return
    index, address = newest
    known = {DepositDeriver(deposit_xpub(house.settings, house.secrets)).address(index)}
    known |= {CloneDeriver(f.factory, f.forwarder).address(index) for f in factories}
    if address not in known:
        raise ConfigError(
            f"deposit address {index}, {checksum(address)}, is of another seed: what arrives "
            "there could not be swept",
            where="deposit xpub",
            remedy="bring the keystore or xpub that it is of; for a new seed, cancel the invoices "
            "that are open and let what they were paid be swept first",
        )


async def _make_up_for_lost_marks(house: House, journal: Journal, *, is_new: bool) -> None:
    """A journal without a mark, where indexes were handed out: the one that had them is lost.

    So is it where it was never counted from, and these books were: a backup from before the first
    invoice knows of none that was opened since.

    The database may be a restored one: what was handed out since its backup nobody knows. Where
    addresses were signed offline, all that were imported may have been.
    """
    if journal.next_index:
        return
    presigned = house.settings.wallets.deposits == "presigned"
    async with house.ledger.reading() as tx:
        known, sets = await next_index_of(tx), await presigned_sets_of(tx)
        used = await tx.conn.scalar(sa.select(sa.exists(sa.select(deposit_addresses.c.address))))
        had_one = not (journal.marked or is_new or presigned) and await was_started(tx)
    # The first import raises the counter to its first index, and hands nothing out.
    imported_from = min((s.first_index for s in sets), default=0) if presigned else 0
    if known <= imported_from and not used and not had_one:
        return
    skipped = LOST_INDEXES
    if presigned:
        skipped = max((s.next_index for s in sets), default=known) - known
        async with house.ledger.transaction() as tx:
            await mark_lost(tx)  # before the mark: a start that finds one does not come here
    await asyncio.to_thread(journal.reserve_indexes, known, max(skipped, 0), step=0)
    log.warning("journal_lost", path=str(journal.path), known=known, skipped=skipped)


def _as_asked(deriver: DepositDeriver) -> Derive:
    return deriver.addresses


def address_source(
    settings: Settings,
    secrets: Secrets,
    journal: Journal,
    *,
    deriving: Callable[[DepositDeriver], Derive] = _as_asked,
) -> Source:
    """Where deposit addresses come from, each index marked in the journal first.

    :param deriving: how addresses of an xpub are derived, for somebody who needs many.
    :raises ConfigError: no xpub is known here.
    """
    if settings.wallets.deposits == "presigned":
        return PresignedSource(partial(journal.reserve_indexes, step=PRESIGNED_STEP))
    if settings.wallets.deposits == "create2":
        return FactorySource(_clones, journal.reserve_indexes, _own_factory(settings, secrets))
    return journal.guarding(deriving(DepositDeriver(deposit_xpub(settings, secrets))))


def _clones(factory: Address, forwarder: Address, first: int, count: int) -> list[Address]:
    return CloneDeriver(factory, forwarder).addresses(first, count)


def _own_factory(settings: Settings, secrets: Secrets) -> Address | None:
    """A gateway on a machine without the keystore does not know it, and need not."""
    try:
        return own_addresses(settings, secrets).contracts.factory
    except BursarError:
        return None


def journal_path(house: House) -> Path:
    """Where the journal is: as configured, else beside the SQLite file, else here."""
    configured = house.settings.settlement.journal
    if configured is not None:
        return configured
    database = sqlite_path(house.settings.database.url)
    if database is not None:
        return Path(database).with_suffix(".journal")
    # Named after the database: two that are run from one folder do not share a journal.
    name = sa.make_url(house.settings.database.url).database or "default"
    return Path(f"bursar-{name}.journal")


async def _is_empty(house: House) -> bool:
    """No table at all: a file of somebody else's is not ours to write into."""
    async with house.ledger.reading() as tx:
        tables = await tx.conn.scalar(sa.text("SELECT count(*) FROM sqlite_master"))
    return not tables


class ChainGate:
    """Holds back a chain's tasks until the chain is known to be the configured one."""

    def __init__(self, house: House, chain: ChainSettings) -> None:
        self._house = house
        self._chain = chain
        self.reason: str | None = "not checked yet"
        """Why nothing runs on the chain; ``None`` once it was checked."""

    async def check(self) -> None:
        """Look once, unless it passed before.

        :raises ConfigError: definitely another chain, or other tokens than configured.
        :raises RpcError: nobody answers now.
        """
        if self.reason is None:
            return
        try:
            await self._known_books()
            tokens = self._house.catalogue.tokens(self._chain.name)
            await check_chain(self._chain, tokens, self._house.chains[self._chain.name])
        except BursarError as error:
            self.reason = str(error)
            raise
        self.reason = None

    def guarding(self, work: Work) -> Work:
        """``work`` that begins only once the check has passed; its failure is the task's."""

        async def guarded(stop: asyncio.Event) -> None:
            await self.check()
            await work(stop)

        return guarded

    async def _known_books(self) -> None:
        """The same name must not come to mean another chain or token: books would be mixed."""
        async with self._house.ledger.reading() as tx:
            cursor = await get_cursor(tx, self._chain.name)
            booked = await booked_contracts(tx, self._chain.name)
        if cursor is not None and cursor.chain_id != self._chain.chain_id:
            raise ConfigError(
                f"the books hold it as chain id {cursor.chain_id}, not {self._chain.chain_id}",
                where=f"chain {self._chain.name}",
                remedy="give the other chain another name",
            )
        check_contracts(self._house.catalogue, self._chain.name, booked)


async def first_look(gates: Sequence[ChainGate]) -> None:
    """Check all chains at once; a chain that does not answer is left for later.

    :raises ConfigError: the first definite disagreement.
    """
    looks = [asyncio.create_task(gate.check()) for gate in gates]
    if not looks:
        return
    done, late = await asyncio.wait(looks, timeout=FIRST_LOOK_SECONDS)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    for task in done:
        error = task.exception()
        if isinstance(error, RpcError):
            log.warning("chain_unreachable", error=str(error))
        elif error is not None:
            raise error
