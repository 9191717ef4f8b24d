"""Where a test of the way out begins: money at an address, in the treasury, or gone."""

from __future__ import annotations

import pytest
from eth_utils.crypto import keccak

from chain.abi import encode_call
from chain.erc20 import encode_transfer
from config.units import Address, Amount, Hash32, to_hex
from ledger.batches import Batch
from ledger.leases import acquire
from settlement.fees import Fees
from settlement.lanes.following import Following, replace
from settlement.service import ChainSettlement, lease_name
from tests.chain.settlement.clients import SpyingClient
from tests.chain.settlement.world import World, recipient

AMOUNT = 5_000001
THIEF = Address(b"\x77" * 20)
PLENTY = 10**20
"""Gas money for any test, wei."""
ONE_DATABASE = pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)


async def funded(world: World, symbol: str = "USDC", to: Address | None = None) -> str:
    """A payout whose money lies at a deposit address."""
    merchant = await world.merchant()
    await world.deposited(merchant, symbol, AMOUNT)
    return await world.promise(merchant, symbol, AMOUNT, to or recipient(world.merchants))


async def spied(world: World) -> tuple[str, ChainSettlement, SpyingClient]:
    """A :func:`funded` payout, and a process whose sends are seen and may be answered for."""
    payout = await funded(world)
    spy = SpyingClient(world.client)
    return payout, world.service(client=spy), spy


async def treasury_filled(
    world: World, service: ChainSettlement | None = None, *, deposit: int = AMOUNT, paid: int = 1
) -> str:
    """A merchant whose deposit of USDC was swept for good; ``paid`` of it has left again."""
    merchant = await world.merchant()
    await world.deposited(merchant, "USDC", deposit)
    first = await world.promise(merchant, "USDC", paid, recipient(1))
    await world.settle(service or world.service(), world.all_are("paid", first))
    return merchant


async def rich(world: World, *symbols: str) -> str:
    """A merchant whose money is in the treasury for good, and more of it than was paid out."""
    merchant = await world.merchant()
    for symbol in symbols:
        await world.paid_invoice(merchant, symbol, 10**13)
    await world.watch(mine=4)
    first = [await world.promise(merchant, symbol, 10**6, recipient(1)) for symbol in symbols]
    await world.settle(world.service(), world.all_are("paid", *first))
    world.clock.advance(11)
    return merchant


async def until_sent(world: World, service: ChainSettlement, lane: str) -> None:
    """Tick until the lane has something in flight."""
    for _ in range(30):
        await service.tick()
        if await world.attempts(lane):
            return
        await world.watch(mine=1)
    raise AssertionError("nothing was sent")


async def stuck_batch(world: World) -> tuple[str, ChainSettlement, Batch]:
    """A payout in a batch that was signed for the treasury, and has no gas money to be sent."""
    payout = await funded(world)
    service = world.service()
    await world.fund_sponsor("payouts", 1000)
    await world.rounds(service, 12)
    (stuck,) = await world.open_batches("payouts")
    return payout, service, stuck


async def cancel_payout(world: World, service: ChainSettlement) -> None:
    """Offer twice the price for nothing on the nonce of the payout in flight."""
    async with world.ledger.transaction() as tx:
        lease = await acquire(tx, lease_name("anvil"), "process-1")
    assert lease is not None
    (attempt,) = await world.attempts("payouts")
    lane, signer = await world.lane("payouts"), world.keys.sponsor("payouts")
    following = Following(service.context, lease, lane, signer, await world.finality(), True)
    higher = Fees(attempt.max_fee * 2, attempt.max_tip * 2)
    await replace(following, attempt, higher, cancel=True)


async def minutes(
    world: World, service: ChainSettlement, ticks: int = 30, *, seconds: int = 7
) -> None:
    """Some minutes under one lease, a block and so many seconds before each tick."""
    for _ in range(ticks):
        await world.watch(mine=1)
        world.clock.advance(seconds)
        assert await service.tick()


async def owner_sends(world: World, data: bytes) -> None:
    """To the treasury, from its owner."""
    owner = world.keys.treasury_signer().address
    await world.fund(owner, 10**18)
    await world.act_as(owner, world.contracts.treasury, data)
    await world.watch(mine=1)


async def epoch_raised(world: World) -> None:
    """By the treasury's owner: no batch that was signed before can run any more."""
    await owner_sends(world, encode_call("raiseEpoch(uint64)", 1))


async def key_used_by_somebody_else(world: World, lane: str) -> None:
    """The next nonce of a lane's sponsor is gone, for a transaction that is not ours."""
    sponsor = world.keys.sponsor(lane).address  # type: ignore[arg-type]
    await world.act_as(sponsor, sponsor)


async def while_nobody_leads(world: World) -> None:
    """What has happened becomes final, and the lease is over: the next start compares anew."""
    await world.watch(mine=8)
    world.clock.advance(11)


async def gift(world: World, units: int) -> Hash32:
    """A stranger's transfer of USDC straight to the treasury."""
    return await world.pay("USDC", world.contracts.treasury, units)


async def stolen(world: World, amount: int, holder: Address | None = None) -> Hash32:
    """The treasury, or another, loses tokens in a way that no contract of ours knows."""
    holder = holder or world.contracts.treasury
    await world.fund(holder, 10**18)
    return await world.act_as(holder, world.tokens["USDC"], encode_transfer(THIEF, Amount(amount)))


async def destroyed(world: World, units: int) -> None:
    """The treasury's balance is less, and no log says so (slot 3 of the test tokens)."""
    treasury, token = world.contracts.treasury, world.tokens["USDC"]
    slot = keccak(treasury.rjust(32, b"\0") + (3).to_bytes(32))
    left = await world.held("USDC", treasury) - units
    await world.rpc.call(
        "anvil_setStorageAt", to_hex(token), to_hex(slot), to_hex(left.to_bytes(32))
    )


async def breaker_released(world: World) -> str:
    """A person lets go what stopped a token; the reason that the hold gave."""
    (hold,) = await world.holds("breaker")
    await world.release(hold)
    return hold.reason
