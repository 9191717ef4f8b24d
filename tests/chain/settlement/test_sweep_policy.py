"""Sweeps wait for cheap gas on a real chain, and a due payout waits for nobody."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from chain.helper_contracts import delegation_code
from config.catalogue import Catalogue
from config.chains import FeeCap
from ledger.listing import list_balances
from settlement.measures import tell_unswept
from settlement.sweep_plan import DELEGATION_GAS
from settlement.sweeps import chosen_deposits
from tests.chain.settlement.inspection import Recorder
from tests.chain.settlement.world import World, recipient

GWEI = 10**9


async def base_fee(world: World, gwei: int) -> None:
    await world.next_base_fee(gwei * GWEI)
    await world.watch(mine=1)


def with_policy(world: World, batch_bps: int = 1000, **settlement: object) -> None:
    """Put a price and a rule into force, for settlement and for the books."""
    price = {"native_price": {"USD": 2500_000000}, "fee_cap": FeeCap(batch_bps=batch_bps)}
    world.chain = world.chain.model_copy(update=price)
    world.ledger.catalogue = Catalogue([world.chain])
    world.settings = world.settings.model_copy(update=settlement)


async def test_sweep__gas_rises_and_falls__waits_goes_when_cheap__or_when_a_payout_needs_it(
    world: World,
) -> None:
    with_policy(world, 3000, sweep_max_cost_bps=100, sweep_max_age=timedelta(days=30))
    merchant = await world.merchant()
    # First sweep: 43,000 gas. At 40 gwei 4.30 USD, at 4 gwei 0.43 USD and the tip.
    deposit = await world.deposited(merchant, "USDC", 100_000000)
    service = world.service()
    token = world.ledger.catalogue.token("anvil", "USDC")
    ctx = service.context
    await base_fee(world, 40)
    assert await chosen_deposits(ctx, token) == []
    await base_fee(world, 4)
    assert [d.address for d in await chosen_deposits(ctx, token)] == [deposit]
    await service.tick()
    for _ in range(6):
        await world.watch(mine=1)
        await service.tick()
    assert await world.held("USDC", world.contracts.treasury) == 100_000000
    assert (await world.client.codes([deposit]))[0] == delegation_code(world.contracts.forwarder)

    # The same address again is worth it at a price that is too high for a new one.
    await world.pay("USDC", deposit, 100_000000)
    other = await world.deposited(merchant, "USDC", 100_000000)
    await base_fee(world, 15)
    assert [d.address for d in await chosen_deposits(ctx, token)] == [deposit]
    await base_fee(world, 90)
    assert await chosen_deposits(ctx, token) == []

    # A due payout gets what it lacks, at any price below the fee cap.
    payout = await world.promise(merchant, "USDC", 250_000000, recipient(1))
    assert {d.address for d in await chosen_deposits(ctx, token)} == {deposit, other}
    await base_fee(world, 4)
    await world.settle(service, world.all_are("paid", payout))


@dataclass
class Teller(Recorder):
    left: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    def unswept(self, chain: str, token: str, reason: str, count: int, amount: int) -> None:
        self.left[(token, reason)] = (count, amount)


async def test_dust__credited_and_named__in_metric_and_balance__until_more_comes(
    world: World,
) -> None:
    world.observer = teller = Teller()
    world.settings = world.settings.model_copy(update={"sweep_minimum": "2.00"})
    merchant = await world.merchant()
    deposit = await world.paid_invoice(merchant, "USDC", 1_500000)
    await world.deposited(merchant, "DAI", 5 * 10**18)
    ctx = world.service().context
    await tell_unswept(ctx, DELEGATION_GAS)
    assert teller.left[("USDC", "below_minimum")] == (1, 1_500000)
    assert teller.left[("DAI", "below_minimum")] == (0, 0)
    assert teller.left[("DAI", "soon")] == (1, 5 * 10**18)
    async with world.ledger.reading() as tx:
        lines = {b["token"]: b for b in await list_balances(tx, merchant, "2.00")}
        strangers = await list_balances(tx, "mer_other", "2.00")
    usdc, dai = lines["USDC"], lines["DAI"]
    assert (usdc["available"], usdc["unswept"], usdc["unswept_dust"]) == ("1.50", "1.50", "1.50")
    assert (dai["unswept"], dai["unswept_dust"]) == ("5.00", "0.00")
    assert {b["unswept"] for b in strangers} == {"0.00"}
    await world.agrees()

    await world.pay("USDC", deposit, 500000)  # together they reach the minimum
    await world.watch(mine=4)
    await tell_unswept(ctx, DELEGATION_GAS)
    assert teller.left[("USDC", "below_minimum")] == (0, 0)
    assert teller.left[("USDC", "soon")] == (1, 2_000000)


async def test_sweep__old_enough__goes_at_any_price_below_the_fee_cap(world: World) -> None:
    with_policy(world, sweep_max_cost_bps=1, sweep_max_age=timedelta(hours=2))
    deposit = await world.paid_invoice(await world.merchant(), "USDC", 100_000000)
    await world.watch(mine=4)
    ctx = world.service().context
    token = world.ledger.catalogue.token("anvil", "USDC")
    assert await chosen_deposits(ctx, token) == []
    world.clock.advance(2 * 3600)
    assert [d.address for d in await chosen_deposits(ctx, token)] == [deposit]


async def test_sweep__alone_it_would_wait_at_the_fee_cap__not_sealed_until_more_has_come(
    world: World,
) -> None:
    with_policy(world)
    merchant = await world.merchant()
    await world.deposited(merchant, "USDC", 20_000000)
    await base_fee(world, 4)
    ctx = world.service().context
    token = world.ledger.catalogue.token("anvil", "USDC")
    assert await chosen_deposits(ctx, token) == []  # 430,000 gas at 5 gwei: 5 USD, 2 allowed
    for _ in range(4):
        await world.paid_invoice(merchant, "USDC", 20_000000)
    await world.watch(mine=4)
    await base_fee(world, 4)
    assert len(await chosen_deposits(ctx, token)) == 5  # 640,000 gas: 8 USD, 10 allowed
