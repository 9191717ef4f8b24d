"""A database restored from before the last payouts: nothing is paid twice, the books agree."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import sqlalchemy as sa

from chain.anvil import Anvil, DevRpc
from chain.client import ChainClient, SendResult
from chain.rpc.pool import RpcPool
from chain.rpc.transport import AiohttpTransport
from config.units import Address
from ledger.attempts import open_attempts
from ledger.books import totals_of
from ledger.holds import open_holds, release_hold
from ledger.installation import installation_id, raise_index
from ledger.journal import Journal, open_journal
from ledger.journal_records import Record
from ledger.lanes import get_lane
from ledger.leases import LONGEST
from ledger.pauses import active_pauses
from ledger.postings import AccountKind, AccountRef, balance
from ledger.schema import batches, payouts
from ledger.store import Ledger, make_engine
from tests.chain.settlement.test_breaker import stolen
from tests.chain.settlement.world import (
    CHAIN_ID,
    Crash,
    SpyingClient,
    World,
    build_world,
    recipient,
)
from tests.support.database import copy_sqlite, sqlite_url
from tests.support.fault_proxy import Fault, FaultProxy, Kind
from tests.support.postgres import PostgresCluster

AMOUNT = 5_000001

Backup = Callable[[World], object]


@pytest.fixture
def copy(request: pytest.FixtureRequest, database_backend: str, tmp_path: Path) -> Backup:
    """Copies a world's database; returns the copy's URL."""
    made: list[str] = []

    async def make(world: World) -> str:
        await world.ledger.dispose()
        made.append("")
        if database_backend == "sqlite":
            source = Path(sa.make_url(world.url_of_books).database or "")
            target = tmp_path / f"backup-{len(made)}.db"
            copy_sqlite(source, target)
            return sqlite_url(target)
        cluster: PostgresCluster = request.getfixturevalue("postgres")
        name = sa.make_url(world.url_of_books).database
        return cluster.url(cluster.create_database(template=name))

    return make


async def journal_of(world: World, path: Path) -> Journal:
    async with world.ledger.transaction() as tx:
        name = await installation_id(tx)
    return open_journal(path, name)


async def restored(world: World, url: str) -> World:
    """The same chain and clock over another copy of the database."""
    old = world.ledger
    ledger = Ledger(
        make_engine(url),
        clock=old.clock,
        entropy=old.entropy,
        catalogue=old.catalogue,
        public_url=old.public_url,
    )
    async with ledger.transaction() as tx:
        if world.journal is not None:
            await raise_index(tx, world.journal.next_index)
    return replace(world, ledger=ledger, url_of_books=url)


async def restored_and_run(
    world: World, url: str, journal: Journal | None, rounds: int = 25, *, between: int = 0
) -> World:
    """:func:`restored`, looked at, with the former leader's lease over, and ticked."""
    old = await restored(world, url)
    await old.watch()
    old.clock.advance(LONGEST.seconds + 1)
    await run_on(old, old.service(journal=journal), rounds, between=between)
    return old


async def promised(world: World, number: int) -> str:
    return await promised_to(world, await world.merchant(recipient(number)), recipient(number))


async def promised_to(world: World, merchant: str, destination: Address) -> str:
    await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    return await world.promise(merchant, "USDC", AMOUNT, destination)


def has_final_batches(world: World, count: int) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        async with world.ledger.reading() as tx:
            query = sa.select(sa.func.count()).where(batches.c.status == "final")
            return await tx.conn.scalar(query) == count

    return look


async def run_on(world: World, service: object, rounds: int = 25, *, between: int = 0) -> None:
    """Ticks with blocks, and ``between`` seconds, in between."""
    for _ in range(rounds):
        world.clock.advance(between)
        await service.tick()  # type: ignore[attr-defined]
        await world.watch(mine=1)


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_f05_restored__one_of_two_providers_shows_no_logs__sweep_and_payout_booked(
    world: World, copy: Backup, anvil: Anvil
) -> None:
    """Without a journal only logs tell, they are looked at once, and the first in line has none."""
    payout = await promised(world, 1001)
    url = await copy(world)  # type: ignore[misc]
    await world.settle(world.service(), world.all_are("paid", payout))

    async with FaultProxy(anvil.rpc_url) as liar, aiohttp.ClientSession() as session:
        silent = liar.add(Fault(Kind.empty_logs))
        pool = RpcPool(
            "anvil", CHAIN_ID, [liar.url, anvil.rpc_url], transport=AiohttpTransport(session),
            clock=world.clock, entropy=world.ledger.entropy,
        )  # fmt: skip
        old = replace(world, client=ChainClient(pool))
        old = await restored_and_run(old, url, None, 15)
    assert silent.struck > 0
    assert (await old.payout(payout))["status"] == "paid"
    assert await world.held("USDC", recipient(1001)) == AMOUNT
    await replace(old, client=world.client).agrees()


@pytest.mark.parametrize("with_journal", [True, False], ids=["journal", "chain_only"])
async def test_f20_database_from_before_the_last_payouts__nothing_twice_and_books_agree(
    world: World, copy: Backup, tmp_path: Path, with_journal: bool
) -> None:
    journal = await journal_of(world, tmp_path / "j")
    world.journal = journal
    kept = journal if with_journal else None
    first = await promised(world, 1001)
    await world.settle(world.service(journal=kept), world.all_are("paid", first))
    second = await promised(world, 1002)
    url = await copy(world)  # type: ignore[misc]
    service = world.service(journal=kept)
    world.clock.advance(11)
    await world.settle(service, world.all_are("paid", second))
    third = await promised(world, 1003)
    await world.settle(service, world.all_are("paid", third))

    old = await restored_and_run(world, url, kept)
    for number in (1001, 1002, 1003):
        assert await old.held("USDC", recipient(number)) == AMOUNT
    assert (await old.payout(second))["status"] == "paid"
    await old.agrees()
    fourth = await promised(old, 1004)
    if with_journal:
        assert (await old.payout(third))["status"] == "paid"
        await old.settle(old.service(journal=kept), old.all_are("paid", fourth))
        assert await old.held("USDC", recipient(1004)) == AMOUNT
        return
    # The third went to nobody whom these books know: named, and this token's payouts stop.
    async with old.ledger.transaction() as tx:
        ref = AccountRef(AccountKind.SUSPENSE_OUT, "anvil", "USDC")
        assert balance(ref.kind, (await totals_of(tx, [ref]))[ref]) == AMOUNT
        assert [p.scope for p in await active_pauses(tx)] == ["payouts:anvil/USDC"]
        breaker = [h for h in await open_holds(tx) if h.object_type == "breaker"]
        await release_hold(tx, breaker[0].id)
    world.clock.advance(11)
    await old.settle(old.service(journal=kept), old.all_are("paid", fourth))
    assert await old.held("USDC", recipient(1004)) == AMOUNT


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_f20_no_journal__looks_again_and_again_while_more_leaves__a_lost_sweep_is_booked_once(
    world: World, copy: Backup
) -> None:
    await run_on(world, world.service(), 3)  # a block is compared
    payout = await promised(world, 1001)
    url = await copy(world)  # type: ignore[misc]
    world.clock.advance(LONGEST.seconds + 1)
    service = world.service()
    await world.settle(service, world.all_are("paid", payout))
    merchant = await world.merchant(recipient(1002))
    await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    await world.promise(merchant, "USDC", AMOUNT // 2, recipient(1002))
    await world.settle(service, has_final_batches(world, 4), audit=False)
    old = await restored(world, url)
    await old.watch()
    old.clock.advance(LONGEST.seconds + 1)
    service = old.service()
    for turn in range(40):
        await service.tick()
        if turn < 28:
            await stolen(old, 1)  # what is final is booked while the start waits for this
        await old.watch(mine=1)
    await old.agrees()


async def dies(*_: object, **__: object) -> object:
    """In the place of what a process would do next."""
    raise Crash


class TornJournal:
    """Of a process that dies while it writes: what follows the first record is a stump."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __getattr__(self, name: str) -> object:
        return getattr(self._journal, name)

    def append(self, *records: Record) -> None:
        self._journal.append(records[0])
        raise Crash


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_f20_journal_ends_with_a_sweep_that_was_never_sent__the_comparison_ends(
    world: World, copy: Backup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gift makes a start wait until nothing more comes; the sweep came again at each look."""
    journal = await journal_of(world, tmp_path / "j")
    world.journal = journal
    payout = await promised(world, 1001)
    with monkeypatch.context() as patched, pytest.raises(Crash):
        patched.setattr("settlement.lanes.dispatch.sign_batch", dies)
        await run_on(world, world.service(journal=journal))
    url = await copy(world)  # type: ignore[misc]
    world.clock.advance(LONGEST.seconds + 1)
    with pytest.raises(Crash):
        await run_on(world, world.service(journal=TornJournal(journal)))
    await world.pay("USDC", world.contracts.treasury, 77)
    old = await restored_and_run(world, url, journal, 12, between=10)
    await old.settle(old.service(journal=journal), old.all_are("paid", payout))
    assert await old.held("USDC", recipient(1001)) == AMOUNT
    await old.agrees()


@pytest.mark.parametrize("again", [False, True], ids=["once", "and_once_more"])
async def test_f20_no_journal_no_7702__an_address_sent_by_itself_after_the_backup__its_sweep_is_booked(
    anvil: Anvil,
    dev_rpc: DevRpc,
    client: ChainClient,
    migrated_url: str,
    copy: Backup,
    again: bool,
) -> None:
    """No lane that the books know has moved, nothing left the treasury: only the inflow tells."""
    world = await build_world(dev_rpc, anvil.rpc_url, client, migrated_url, supports_7702=False)
    merchant = await world.merchant(recipient(1001))
    address = await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    first = await world.promise(merchant, "USDC", AMOUNT, recipient(1001))
    service = world.service()
    await service.tick()  # the gas for it is sent
    url = await copy(world)  # type: ignore[misc]
    await world.settle(service, has_final_batches(world, 2), audit=False)
    if again:
        await world.pay("USDC", address, AMOUNT)
        await world.watch(mine=4)
        await world.settle(service, has_final_batches(world, 4), audit=False)

    old = await restored_and_run(world, url, None)
    await old.settle(old.service(), old.all_are("paid", first))
    assert await old.held("USDC", recipient(1001)) == AMOUNT
    await old.agrees()
    async with old.ledger.reading() as tx:
        query = sa.select(batches.c.purpose, batches.c.status).order_by(batches.c.id)
        found = sorted(tuple(row) for row in await tx.conn.execute(query))
        assert [h for h in await open_holds(tx) if h.kind == "batch"] == []
    assert ("payout", "final") in found
    assert {status for _, status in found} == {"final"}
    await old.ledger.dispose()
    await world.ledger.dispose()


async def test_f20_backup_between_signing_and_noting_that_it_was_sent__no_money_booked_twice(
    world: World, copy: Backup, tmp_path: Path
) -> None:
    """The sweep is mined since, and signed in the backup; a payout was drawn on what it brought."""
    journal = await journal_of(world, tmp_path / "j")
    world.journal = journal
    client = SpyingClient(world.client)
    backups: list[str] = []

    async def back_up_and_send(raw: bytes) -> SendResult:
        if not backups:
            backups.append(await copy(world))  # type: ignore[misc]
        return await world.client.send_raw(raw)

    client.answer = back_up_and_send
    payout = await promised(world, 1001)
    service = world.service(journal=journal, client=client)
    await world.settle(service, world.all_are("paid", payout))

    old = await restored_and_run(world, backups[0], journal)
    assert (await old.payout(payout))["status"] == "paid"
    async with old.ledger.reading() as tx:
        ref = AccountRef(AccountKind.SUSPENSE_IN, "anvil", "USDC")
        assert balance(ref.kind, (await totals_of(tx, [ref]))[ref]) == 0
    await old.agrees()


async def test_f20_many_sweeps_of_lost_invoices__written_again_together_not_one_by_one(
    world: World, copy: Backup, tmp_path: Path
) -> None:
    """A day's sweeps are hundreds of batches; each by itself waits for some ticks."""
    journal = await journal_of(world, tmp_path / "j")
    world.journal = journal
    merchant = await world.merchant(recipient(1003))
    url = await copy(world)  # type: ignore[misc]
    service = world.service(journal=journal)
    for swept in range(1, 4):
        await world.paid_invoice(merchant, "USDC", AMOUNT)
        await world.watch(mine=4)
        await world.settle(service, has_final_batches(world, swept))

    old = await restored_and_run(world, url, journal, 10)
    assert await has_final_batches(old, 3)()
    await old.agrees()


async def test_f20_leases_that_lapse_at_every_tick__waiting_for_what_is_lost_ends(
    world: World, copy: Backup, tmp_path: Path
) -> None:
    """A slow machine's: the journal names a payout whose invoice is lost, and nobody else led."""
    journal = await journal_of(world, tmp_path / "j")
    world.journal = journal
    merchant = await world.merchant(recipient(1003))
    url = await copy(world)  # type: ignore[misc]
    lost = await promised_to(world, merchant, recipient(1003))
    await world.settle(world.service(journal=journal), world.all_are("paid", lost))

    old = await restored_and_run(world, url, journal, between=LONGEST.seconds + 1)
    assert (await old.payout(lost))["status"] == "paid"
    await old.agrees()


async def test_f20_sent_after_the_backup_and_not_mined__same_batch_goes_on(
    world: World, copy: Backup, tmp_path: Path
) -> None:
    journal = await journal_of(world, tmp_path / "j")
    payout = await promised(world, 1001)
    service = world.service(journal=journal)
    url = await copy(world)  # type: ignore[misc]
    await world.rpc.call("evm_setAutomine", True)
    for _ in range(30):
        await service.tick()
        async with world.ledger.reading() as tx:
            sent = await open_attempts(tx, "anvil", "payouts")
        if sent:
            break
        await world.watch(mine=1)
    assert sent
    old = await restored(world, url)
    await old.watch()
    world.clock.advance(11)
    await old.settle(old.service(journal=journal), old.all_are("paid", payout), audit=False)
    assert await old.held("USDC", recipient(1001)) == AMOUNT
    async with old.ledger.reading() as tx:
        ids = [row.onchain_id for row in await tx.conn.execute(sa.select(batches.c.onchain_id))]
        count = await tx.conn.scalar(sa.select(sa.func.count()).select_from(payouts))
        lane = await get_lane(tx, "anvil", "payouts")
    assert sorted(i for i in ids if i is not None) == [0]
    assert count == 1
    assert lane is not None
    assert (lane.next_nonce, lane.halted_reason) == (1, None)
    await old.agrees()


async def test_f20_while_the_comparison_waits__nothing_is_sent_of_what_could_be(
    world: World, copy: Backup, tmp_path: Path
) -> None:
    world.journal = await journal_of(world, tmp_path / "j")
    url = await copy(world)  # type: ignore[misc]
    lost = await promised(world, 1001)
    service = world.service(journal=world.journal)
    await world.settle(service, world.all_are("paid", lost))

    old = await restored(world, url)
    merchant = await old.merchant(recipient(1002))
    await old.paid_invoice(merchant, "DAI", AMOUNT)
    await old.watch(mine=4)
    ready = await old.promise(merchant, "DAI", AMOUNT, recipient(1002))
    world.clock.advance(11)
    spy = SpyingClient(world.client)
    again = old.service(journal=world.journal, client=spy)
    waited = 0
    while (await old.payout(ready))["status"] == "queued" and waited < 60:
        before = old.observer.count("not_compared_yet")
        await again.tick()
        if old.observer.count("not_compared_yet") > before:
            waited += 1
            assert spy.sends == 0
        await old.watch(mine=1)
    assert waited > 2
    await old.settle(again, old.all_are("paid", ready))
    assert (await old.payout(lost))["status"] == "paid", "made again under its own id"
    assert await old.held("USDC", recipient(1001)) == AMOUNT
