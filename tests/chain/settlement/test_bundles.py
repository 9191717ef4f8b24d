"""Anyone may run a signed batch, together with whatever else he likes, in one transaction."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode

from chain.abi import selector
from chain.erc20 import encode_transfer
from chain.multicall import Question
from chain.send import SendOutcome, SendResult
from config.units import Address, Amount, Hash32, checksum
from ledger.batches import open_batches
from ledger.books import totals_of
from ledger.holds import open_holds
from ledger.leases import LONGEST
from ledger.pauses import active_pauses
from ledger.postings import AccountKind, AccountRef, balance
from settlement.finish import finish_batch
from tests.chain.settlement.clients import SpyingClient
from tests.chain.settlement.restoring import Backup, restored, run_on
from tests.chain.settlement.scenes import AMOUNT, ONE_DATABASE, minutes, treasury_filled
from tests.chain.settlement.world import World, recipient
from tests.support.dev_chain import dev_account

pytestmark = ONE_DATABASE


class Stranger(SpyingClient):
    """Runs the open batches himself as soon as the house sends ``at_once`` of them, in one
    transaction with other calls."""

    def __init__(self, world: World, contract: Address, at_once: int, *more: Question) -> None:
        super().__init__(world.client)
        self._world, self._contract, self._at_once, self._more = world, contract, at_once, more
        self.done = False
        self.answer = self._front_run

    async def _front_run(self, raw: bytes) -> SendResult:
        async with self._world.ledger.reading() as tx:
            batches = await open_batches(tx, "anvil", "payouts")
        if len(batches) < self._at_once and not self.done:
            return SendResult(SendOutcome.unknown, "nobody hears of it")
        if not self.done:
            self.done = True
            calls = [*((b.target, b.calldata) for b in batches), *self._more]
            asked = [(checksum(to), False, data) for to, data in calls]
            called = selector("aggregate3((address,bool,bytes)[])")
            data = called + encode(["(address,bool,bytes)[]"], [asked])
            await self._world.dev.must(dev_account(4), self._contract, data)
        return await self._world.client.send_raw(raw)


async def stranger(world: World, at_once: int, *more: Question) -> Stranger:
    return Stranger(world, await world.dev.create(dev_account(0), "Multicall"), at_once, *more)


async def test_f23_stranger_runs_our_batch_and_gives_one_unit_in_the_same_transaction__nothing_stops(
    world: World,
) -> None:
    """The batch makes the transaction known to the books; what came with it is still a gift."""
    merchant = await treasury_filled(world)
    world.clock.advance(11)
    gift = (world.tokens["USDC"], encode_transfer(world.contracts.treasury, Amount(1)))
    other = await stranger(world, 1, gift)
    await world.mint("USDC", other._contract, 1)
    service = world.service(client=other)
    second = await world.promise(merchant, "USDC", 2, recipient(2))
    await world.settle(service, world.all_are("paid", second), audit=False)
    assert other.done
    await minutes(world, service)
    async with world.ledger.reading() as tx:
        assert await active_pauses(tx) == []
        ref = AccountRef(AccountKind.SUSPENSE_IN, "anvil", "USDC")
        assert balance(ref.kind, (await totals_of(tx, [ref]))[ref]) == 1
        (named,) = await open_holds(tx)
    assert "came directly from" in named.reason
    await world.agrees()


@pytest.mark.parametrize("known_one", ["open", "refused", "final"])
async def test_f20_stranger_ran_a_batch_of_the_backup_and_one_since_in_one_transaction__each_is_booked(
    world: World, copy: Backup, known_one: str
) -> None:
    """The one that is known is judged by its own logs, and does not hide the other."""
    world.settings = world.settings.model_copy(update={"max_batch": 1})
    merchants = [await world.merchant(recipient(number)) for number in (1001, 1002)]
    for merchant in merchants:
        await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    first = await world.promise(merchants[0], "USDC", 1, recipient(1001))
    await world.settle(world.service(), world.all_are("paid", first))
    world.clock.advance(11)
    service = world.service(client=await stranger(world, 2))
    known = await world.promise(merchants[0], "USDC", 10, recipient(1001))
    await run_on(world, service, 3)
    url = await copy(world)
    since = await world.promise(merchants[1], "USDC", 20, recipient(1002))
    if known_one == "refused":
        await world.blacklist(recipient(1001))
    await world.settle(service, world.all_are("paid", since))
    await run_on(world, service, 8)
    status = "on_hold" if known_one == "refused" else "paid"
    assert await world.status(known) == status
    old = await restored(world, url)
    if known_one == "final":
        (batch,) = await old.open_batches("payouts")
        receipt = await old.client.receipt(Hash32((await world.payout(known))["tx_hash"]))
        assert receipt is not None
        async with old.ledger.transaction() as tx:
            await finish_batch(tx, service.context, batch, receipt)
    old.clock.advance(LONGEST.seconds + 1)
    await old.watch()
    again = old.service()
    for _ in range(2):
        await run_on(old, again, 25)
        for lane in await old.holds("lane"):
            await old.release(lane)  # whose nonces those were, no log can tell
    assert await old.status(known) == status
    await old.agrees()
    async with old.ledger.reading() as tx:
        assert await active_pauses(tx) == []
        paid = AccountRef(AccountKind.MERCHANT, "anvil", "USDC", merchants[1])
        assert balance(paid.kind, (await totals_of(tx, [paid]))[paid]) == AMOUNT - 20
