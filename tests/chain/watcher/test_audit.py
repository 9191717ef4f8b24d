"""Balances of deposit addresses against the books: what no reading has shown is found or named."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from chain.anvil import Anvil
from chain.artifacts import load_artifact
from chain.erc20 import encode_transfer
from chain.multicall import MULTICALL3
from config.units import Address, Amount, to_hex
from ledger.chain_checks import check_runs
from ledger.coverage import Coverage, coverage
from ledger.cursors import Cursor
from ledger.findings import open_findings
from ledger.holds import open_holds, release_hold
from ledger.store import Tx
from tests.chain.watcher.lying import lie
from tests.chain.watcher.scenes import ask_to_reread
from tests.chain.watcher.world import PAYER, Invoice, World
from tests.support.dev_chain import address_of
from tests.support.fault_proxy import Fault, FaultProxy, Kind
from watcher import upkeep
from watcher.status import Outcome


async def go_round(world: World) -> None:
    """Let a round of the audit, and all that comes of it, take place."""
    world.clock.advance(world.settings.balance_audit.total_seconds())
    results = await world.follow()
    assert Outcome.AUDITED in {result.outcome for result in results}


async def pay_both(world: World, first: Invoice, second: Invoice, units: int = 10_000_000) -> None:
    """One transaction, so that the block's bloom and answer hold a log of ours either way."""
    await world.disperse((first.address, units), (second.address, units))
    await world.mine(3)


async def test_f05_one_log_left_out__balance_audit_finds_it_at_the_other_provider(
    world: World, session: aiohttp.ClientSession, anvil: Anvil
) -> None:
    """Bloom and parent hashes agree; only the balance tells."""
    async with FaultProxy(anvil.rpc_url) as second:
        omitting = lie(world, session, [anvil.rpc_url, second.url])
        await world.follow()
        shown, hidden = await world.invoices(2)
        omitting.omitted = {hidden.address}
        await pay_both(world, shown, hidden)
        await world.follow()
        assert await world.status(shown) == "paid"
        assert await world.status(hidden) == "new"
        await go_round(world)
    assert await world.status(hidden) == "paid"
    assert [(t, f) for t, _, f in world.observer.rescans if f] == [("audit", 1)]
    async with world.ledger.reading() as tx:
        assert await open_findings(tx) == []
        assert await open_holds(tx) == []
    await world.agrees()


@pytest.mark.parametrize("multicall", [True, False], ids=["multicall3", "batches"])
async def test_balance_audit__agrees__one_call_or_a_batch__nothing_written(
    world: World, session: aiohttp.ClientSession, anvil: Anvil, multicall: bool
) -> None:
    if multicall:
        code = load_artifact("Multicall").runtime
        await world.rpc.call("anvil_setCode", to_hex(MULTICALL3), to_hex(code))
    seen = lie(world, session, [anvil.rpc_url])
    await world.follow()
    invoices = await world.invoices(3)
    await world.pay(invoices[0].address, 10_000_000)
    await world.pay(invoices[1].address, 4_000_000)
    await world.pay(invoices[1].address, 10**18, "DAI")
    await world.settle()
    seen.asked.clear()
    await go_round(world)
    methods = [method for _, method in seen.asked]
    # Three addresses of four tokens and native coin.
    assert methods.count("eth_call") == (1 if multicall else 1 + 12)
    assert methods.count("eth_getBalance") == (0 if multicall else 3)
    async with world.ledger.reading() as tx:
        assert await open_findings(tx) == []
        run = (await check_runs(tx, "anvil"))["balance_audit"]
    assert run.round_done is not None and not run.under_way
    assert run.block == await world.head()


async def test_balance_above__no_provider_shows_a_transfer__named_by_a_hold_until_it_is_found(
    world: World, session: aiohttp.ClientSession, anvil: Anvil
) -> None:
    omitting = lie(world, session, [anvil.rpc_url])
    await world.follow()
    shown, hidden = await world.invoices(2)
    omitting.omitted = {hidden.address}
    await pay_both(world, shown, hidden)
    await world.follow()
    await go_round(world)
    async with world.ledger.reading() as tx:
        (finding,) = await open_findings(tx)
        (found,) = await open_holds(tx)
    assert (finding.kind, finding.status) == ("above", "open")
    assert (finding.expected, finding.found) == (0, 10_000_000)
    assert found.object_type == "address" and "10000000 base units more" in found.reason
    assert world.observer.findings == {"above": 1, "below": 0}
    assert await world.status(hidden) == "new"
    # An operator takes note; the difference stays counted, and no second hold is opened.
    async with world.ledger.transaction() as tx:
        await release_hold(tx, found.id)
    await go_round(world)
    async with world.ledger.reading() as tx:
        assert (await open_holds(tx), len(await open_findings(tx))) == ([], 1)
    # The provider is replaced, the range read again: credited, and the finding is over.
    omitting.omitted = set()
    await ask_to_reread(world, 1, await world.head())
    await world.follow()
    assert await world.status(hidden) == "paid"
    await go_round(world)
    async with world.ledger.reading() as tx:
        assert await open_findings(tx) == []
    assert world.observer.findings == {"above": 0, "below": 0}
    await world.agrees()


async def test_balance_below__money_left_an_address__named_by_a_hold(
    world: World, session: aiohttp.ClientSession, anvil: Anvil
) -> None:
    omitting = lie(world, session, [anvil.rpc_url])
    await world.follow()
    invoice, other = await world.invoices(2)
    await world.pay(invoice.address, 10_000_000)
    await world.settle()
    await take_away(world, invoice.address, 3_000_000)
    await world.follow()
    await go_round(world)
    async with world.ledger.reading() as tx:
        (finding,) = await open_findings(tx)
        (found,) = await open_holds(tx)
    assert (finding.kind, finding.expected, finding.found) == ("below", 10_000_000, 7_000_000)
    assert "3000000 base units less" in found.reason
    assert world.observer.findings == {"above": 0, "below": 1}
    # It comes back without a payment: over, and so is the hold.
    omitting.omitted = {invoice.address}
    await pay_both(world, other, invoice, 3_000_000)
    await world.follow()
    await go_round(world)
    async with world.ledger.reading() as tx:
        assert (await open_findings(tx), await open_holds(tx)) == ([], [])


async def take_away(world: World, owner: Address, units: int) -> None:
    """Money leaves a deposit address without a sweep of ours."""
    await world.rpc.call("anvil_setBalance", to_hex(owner), hex(10**18))
    await world.rpc.call("anvil_impersonateAccount", to_hex(owner))
    sent = {
        "from": to_hex(owner),
        "to": to_hex(world.tokens["USDC"]),
        "data": to_hex(encode_transfer(address_of(PAYER), Amount(units))),
    }
    before = await world.balance_of(owner, "USDC")
    await world.rpc.call("eth_sendTransaction", sent)
    for _ in range(2_000):  # automine is not synchronous
        if await world.balance_of(owner, "USDC") == before - units:
            break
        await asyncio.sleep(0.002)
    await world.rpc.call("anvil_setBalance", to_hex(owner), "0x0")
    await world.mine(2)


async def test_lying_balance__one_of_two__refuted_and_nothing_named(
    world: World, session: aiohttp.ClientSession, anvil: Anvil
) -> None:
    async with FaultProxy(anvil.rpc_url) as second:
        # The second provider of the scan is the first to be asked for balances.
        omitting = lie(world, session, [second.url, anvil.rpc_url], anvil.rpc_url)
        await world.follow()
        await world.invoice()
        omitting.balance = 77
        await world.mine()
        await world.follow()
        await go_round(world)
    async with world.ledger.reading() as tx:
        findings, holds = await open_findings(tx), await open_holds(tx)
    assert (findings, holds) == ([], [])


async def test_native_coin__lies_at_the_address__labelled_then_gone(
    world: World, session: aiohttp.ClientSession, anvil: Anvil
) -> None:
    lie(world, session, [anvil.rpc_url])
    await world.follow()
    invoice, other = await world.invoices(2)
    await world.rpc.call("anvil_setBalance", to_hex(invoice.address), hex(15 * 10**17))
    await world.mine()
    await world.follow()
    await go_round(world)
    view = await world.view(invoice)
    assert view["exceptions"] == ["native_coin"]
    assert view["native_coin"] == [{"chain": "anvil", "symbol": "ETH", "amount": "1.50"}]
    assert (await world.view(other))["exceptions"] == []
    assert world.observer.with_coin == 1
    assert "invoice.exception" in await world.event_types()
    await world.rpc.call("anvil_setBalance", to_hex(invoice.address), "0x0")
    await world.mine()
    await world.follow()
    await go_round(world)
    view = await world.view(invoice)
    assert (view["exceptions"], view["native_coin"]) == ([], [])
    assert world.observer.with_coin == 0


async def test_restart__round_goes_on_and_checks_are_remembered(
    world: World,
    session: aiohttp.ClientSession,
    anvil: Anvil,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("watcher.auditor.KEEP_EVERY", 1)
    monkeypatch.setattr("watcher.auditor.page_size", lambda _: 2)
    lie(world, session, [anvil.rpc_url])
    await world.follow()
    await world.invoices(5)
    await world.mine()
    await world.follow()
    world.clock.advance(world.settings.balance_audit.total_seconds())
    first = await world.watcher.tick()
    assert first.outcome is Outcome.AUDITED
    async with world.ledger.reading() as tx:
        begun = (await check_runs(tx, "anvil"))["balance_audit"]
    assert (begun.position, begun.under_way) == (1, True)
    world.observer.checks.clear()
    world.restart()
    results = await world.follow()
    assert [r.outcome for r in results].count(Outcome.AUDITED) == 2
    async with world.ledger.reading() as tx:
        done = (await check_runs(tx, "anvil"))["balance_audit"]
    assert done.round_began == begun.round_began and not done.under_way
    # What an earlier process checked is told by this one too.
    world.clock.advance(61)
    await world.mine()
    await world.follow()
    world.observer.checks.clear()
    world.restart()
    await world.follow()
    assert {"linked", "balance_audit"} <= set(world.observer.checks)
    assert {"linked", "balance_audit"} <= set(world.watcher.status().checks)
    first_block, last, hashes, gaps = world.observer.coverage or (0, 0, 0, 0)
    assert (last, gaps) == (await world.head(), 0)
    assert 0 < hashes <= last - first_block + 2


async def test_nobody_tells_balances__chain_is_followed_all_the_same(
    world: World, session: aiohttp.ClientSession, anvil: Anvil
) -> None:
    async with FaultProxy(anvil.rpc_url) as proxy:
        lie(world, session, [proxy.url])
        await world.follow()
        invoice = await world.invoice()
        proxy.add(
            Fault(
                Kind.error,
                methods={"eth_call", "eth_getBalance"},
                value=(-32000, "missing trie node"),
            )
        )
        await world.pay(invoice.address, 10_000_000)
        await world.mine(3)
        world.clock.advance(world.settings.balance_audit.total_seconds())
        await world.follow()
        assert await world.status(invoice) == "paid"
        assert world.watcher.status().ready
        assert "balance_audit" not in world.watcher.status().checks
        proxy.clear()
        await go_round(world)
    assert "balance_audit" in world.watcher.status().checks


async def test_f05_one_log_left_out__single_provider__second_reading_by_proof_finds_it(
    world: World, session: aiohttp.ClientSession, anvil: Anvil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receipts give the header's root; the answer without the log is not asked for."""
    monkeypatch.setattr("watcher.rereader.backup_due.__defaults__", (10,))
    world.settings = world.settings.model_copy(update={"receipts_proof": True})
    omitting = lie(world, session, [anvil.rpc_url])
    await world.follow()
    shown, hidden = await world.invoices(2)
    omitting.omitted = {hidden.address}
    await pay_both(world, shown, hidden)
    await world.follow()
    assert await world.status(hidden) == "new"
    await world.mine(20)
    await world.follow()
    assert await world.status(hidden) == "paid"
    assert [(t, f) for t, _, f in world.observer.rescans if f] == [("backup", 1)]
    await world.agrees()


async def test_coverage__takes_thirty_seconds__not_looked_through_each_minute(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept grows with the payments: an hour's work must not become a minute's."""
    looked: list[int] = []

    async def slow(tx: Tx, cursor: Cursor, widest: int) -> Coverage:
        looked.append(cursor.cursor.number)
        world.clock.advance(30)
        return await coverage(tx, cursor, widest)

    monkeypatch.setattr(upkeep, "coverage", slow)
    await world.follow()
    assert len(looked) == 1
    for minutes, times in ((1, 1), (10, 1), (40, 2)):
        world.clock.advance(60 * minutes)
        await world.follow()
        assert len(looked) == times, minutes
