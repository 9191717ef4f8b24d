"""A database restored from before the last payouts: nothing is paid twice, the books agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chain.anvil import Anvil
from chain.send import SendResult
from ledger.journal import Journal
from ledger.journal_records import Record
from ledger.leases import LONGEST
from ledger.postings import AccountKind
from ledger.schema import batches, payouts
from tests.chain.settlement.clients import SpyingClient
from tests.chain.settlement.crashing import Crash, dies_before_it_signs
from tests.chain.settlement.lying import beside_a_liar
from tests.chain.settlement.restoring import (
    Backup,
    has_final_batches,
    journal_of,
    promised,
    promised_to,
    restored,
    restored_and_run,
    run_on,
)
from tests.chain.settlement.scenes import AMOUNT, ONE_DATABASE, gift, stolen, until_sent
from tests.chain.settlement.world import World, recipient
from tests.support.fault_proxy import Fault, Kind


@ONE_DATABASE
async def test_f05_restored__one_of_two_providers_shows_no_logs__sweep_and_payout_booked(
    world: World, copy: Backup, anvil: Anvil
) -> None:
    """Without a journal only logs tell, they are looked at once, and the first in line has none."""
    payout = await promised(world, 1001)
    url = await copy(world)
    await world.settle(world.service(), world.all_are("paid", payout))

    silent = Fault(Kind.empty_logs)
    async with beside_a_liar(world, anvil, silent, first=True) as client:
        old = await restored_and_run(replace(world, client=client), url, None, 15)
    assert silent.struck > 0
    assert await old.status(payout) == "paid"
    assert await world.held("USDC", recipient(1001)) == AMOUNT
    await replace(old, client=world.client).agrees()


@pytest.mark.parametrize("with_journal", [True, False], ids=["journal", "chain_only"])
async def test_f20_database_from_before_the_last_payouts__nothing_twice_and_books_agree(
    world: World, copy: Backup, journal: Journal, with_journal: bool
) -> None:
    kept = journal if with_journal else None
    first = await promised(world, 1001)
    await world.settle(world.service(journal=kept), world.all_are("paid", first))
    second = await promised(world, 1002)
    url = await copy(world)
    service = world.service(journal=kept)
    world.clock.advance(11)
    await world.settle(service, world.all_are("paid", second))
    third = await promised(world, 1003)
    await world.settle(service, world.all_are("paid", third))

    old = await restored_and_run(world, url, kept)
    for number in (1001, 1002, 1003):
        assert await old.held("USDC", recipient(number)) == AMOUNT
    assert await old.status(second) == "paid"
    await old.agrees()
    fourth = await promised(old, 1004)
    if with_journal:
        assert await old.status(third) == "paid"
        await old.settle(old.service(journal=kept), old.all_are("paid", fourth))
        assert await old.held("USDC", recipient(1004)) == AMOUNT
        return
    # The third went to nobody whom these books know: named, and this token's payouts stop.
    assert await old.booked(AccountKind.SUSPENSE_OUT) == AMOUNT
    assert await old.pauses() == ["payouts:anvil/USDC"]
    await old.release((await old.holds("breaker"))[0])
    world.clock.advance(11)
    await old.settle(old.service(journal=kept), old.all_are("paid", fourth))
    assert await old.held("USDC", recipient(1004)) == AMOUNT


@ONE_DATABASE
async def test_f20_no_journal__looks_again_and_again_while_more_leaves__a_lost_sweep_is_booked_once(
    world: World, copy: Backup
) -> None:
    await run_on(world, world.service(), 3)  # a block is compared
    payout = await promised(world, 1001)
    url = await copy(world)
    world.clock.advance(LONGEST.seconds + 1)
    service = world.service()
    await world.settle(service, world.all_are("paid", payout))
    merchant = await world.merchant(recipient(1002))
    await world.deposited(merchant, "USDC", AMOUNT)
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


class TornJournal:
    """Of a process that dies while it writes: what follows the first record is a stump."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __getattr__(self, name: str) -> object:
        return getattr(self._journal, name)

    def append(self, *records: Record) -> None:
        self._journal.append(records[0])
        raise Crash


@ONE_DATABASE
async def test_f20_journal_ends_with_a_sweep_that_was_never_sent__the_comparison_ends(
    world: World, copy: Backup, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gift makes a start wait until nothing more comes; the sweep came again at each look."""
    payout = await promised(world, 1001)
    with dies_before_it_signs(monkeypatch):
        await run_on(world, world.service(journal=journal))
    url = await copy(world)
    world.clock.advance(LONGEST.seconds + 1)
    with pytest.raises(Crash):
        await run_on(world, world.service(journal=TornJournal(journal)))
    await gift(world, 77)
    old = await restored_and_run(world, url, journal, 12, between=10)
    await old.settle(old.service(journal=journal), old.all_are("paid", payout))
    assert await old.held("USDC", recipient(1001)) == AMOUNT
    await old.agrees()


@pytest.mark.parametrize("configured", [{"supports_7702": False}], ids=["no_7702"])
@pytest.mark.parametrize("again", [False, True], ids=["once", "and_once_more"])
async def test_f20_no_journal_no_7702__an_address_sent_by_itself_after_the_backup__its_sweep_is_booked(
    world: World, copy: Backup, again: bool
) -> None:
    """No lane that the books know has moved, nothing left the treasury: only the inflow tells."""
    merchant = await world.merchant(recipient(1001))
    address = await world.deposited(merchant, "USDC", AMOUNT)
    first = await world.promise(merchant, "USDC", AMOUNT, recipient(1001))
    service = world.service()
    await service.tick()  # the gas for it is sent
    url = await copy(world)
    await world.settle(service, has_final_batches(world, 2), audit=False)
    if again:
        await world.pay("USDC", address, AMOUNT)
        await world.watch(mine=4)
        await world.settle(service, has_final_batches(world, 4), audit=False)

    old = await restored_and_run(world, url, None)
    await old.settle(old.service(), old.all_are("paid", first))
    assert await old.held("USDC", recipient(1001)) == AMOUNT
    await old.agrees()
    found = await old.batches()
    assert [h for h in await old.holds() if h.kind == "batch"] == []
    assert ("payout", "final") in found
    assert {status for _, status in found} == {"final"}
    await old.ledger.dispose()


async def test_f20_no_journal__backup_from_before_the_first_comparison__sweep_since_is_booked(
    world: World, copy: Backup
) -> None:
    """No lane and no mark tell where to begin, and what is final moves on while a start waits."""
    merchant = await world.merchant(recipient(1001))
    await world.deposited(merchant, "USDC", AMOUNT)
    url = await copy(world)
    await world.settle(world.service(), has_final_batches(world, 1), audit=False)
    await world.watch(mine=20)
    old = await restored_and_run(world, url, None)
    await old.agrees()
    assert ("sweep", "final") in await old.batches()
    payout = await old.promise(merchant, "USDC", AMOUNT, recipient(1001))
    await old.settle(old.service(), old.all_are("paid", payout))
    assert await old.held("USDC", recipient(1001)) == AMOUNT
    await old.ledger.dispose()


async def test_f20_backup_between_signing_and_noting_that_it_was_sent__no_money_booked_twice(
    world: World, copy: Backup, journal: Journal
) -> None:
    """The sweep is mined since, and signed in the backup; a payout was drawn on what it brought."""
    client = SpyingClient(world.client)
    backups: list[str] = []

    async def back_up_and_send(raw: bytes) -> SendResult:
        if not backups:
            backups.append(await copy(world))
        return await world.client.send_raw(raw)

    client.answer = back_up_and_send
    payout = await promised(world, 1001)
    service = world.service(journal=journal, client=client)
    await world.settle(service, world.all_are("paid", payout))

    old = await restored_and_run(world, backups[0], journal)
    assert await old.status(payout) == "paid"
    assert await old.booked(AccountKind.SUSPENSE_IN) == 0
    await old.agrees()


async def test_f20_many_sweeps_of_lost_invoices__written_again_together_not_one_by_one(
    world: World, copy: Backup, journal: Journal
) -> None:
    """A day's sweeps are hundreds of batches; each by itself waits for some ticks."""
    merchant = await world.merchant(recipient(1003))
    url = await copy(world)
    service = world.service(journal=journal)
    for swept in range(1, 4):
        await world.deposited(merchant, "USDC", AMOUNT)
        await world.settle(service, has_final_batches(world, swept))

    old = await restored_and_run(world, url, journal, 10)
    assert await has_final_batches(old, 3)()
    await old.agrees()


async def test_f20_leases_that_lapse_at_every_tick__waiting_for_what_is_lost_ends(
    world: World, copy: Backup, journal: Journal
) -> None:
    """A slow machine's: the journal names a payout whose invoice is lost, and nobody else led."""
    merchant = await world.merchant(recipient(1003))
    url = await copy(world)
    lost = await promised_to(world, merchant, recipient(1003))
    await world.settle(world.service(journal=journal), world.all_are("paid", lost))

    old = await restored_and_run(world, url, journal, between=LONGEST.seconds + 1)
    assert await old.status(lost) == "paid"
    await old.agrees()


async def test_f20_sent_after_the_backup_and_not_mined__same_batch_goes_on(
    world: World, copy: Backup, tmp_path: Path
) -> None:
    journal = await journal_of(world, tmp_path / "j")
    payout = await promised(world, 1001)
    service = world.service(journal=journal)
    url = await copy(world)
    await until_sent(world, service, "payouts")
    old = await restored(world, url)
    await old.watch()
    world.clock.advance(11)
    await old.settle(old.service(journal=journal), old.all_are("paid", payout), audit=False)
    assert await old.held("USDC", recipient(1001)) == AMOUNT
    ids = [row.onchain_id for row in await old.rows(batches)]
    lane = await old.lane("payouts")
    assert sorted(i for i in ids if i is not None) == [0]
    assert len(await old.rows(payouts)) == 1
    assert (lane.next_nonce, lane.halted_reason) == (1, None)
    await old.agrees()


async def test_f20_while_the_comparison_waits__nothing_is_sent_of_what_could_be(
    world: World, copy: Backup, journal: Journal
) -> None:
    url = await copy(world)
    lost = await promised(world, 1001)
    service = world.service(journal=journal)
    await world.settle(service, world.all_are("paid", lost))

    old = await restored(world, url)
    merchant = await old.merchant(recipient(1002))
    await old.deposited(merchant, "DAI", AMOUNT)
    ready = await old.promise(merchant, "DAI", AMOUNT, recipient(1002))
    world.clock.advance(11)
    spy = SpyingClient(world.client)
    again = old.service(journal=journal, client=spy)
    waited = 0
    while await old.status(ready) == "queued" and waited < 60:
        before = old.observer.count("not_compared_yet")
        await again.tick()
        if old.observer.count("not_compared_yet") > before:
            waited += 1
            assert spy.sends == 0
        await old.watch(mine=1)
    assert waited > 2
    await old.settle(again, old.all_are("paid", ready))
    assert await old.status(lost) == "paid", "made again under its own id"
    assert await old.held("USDC", recipient(1001)) == AMOUNT
