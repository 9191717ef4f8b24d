"""f19: the figures of a settlement that leads no more."""

from __future__ import annotations

from datetime import timedelta

from bursar.metrics.families import Families
from bursar.metrics.labels import begin_at_zero
from bursar.metrics.paying import SettlementMetrics
from ledger.schema import leases
from tests.chain.settlement.world import World

GONE = timedelta(seconds=11)


async def test_f19_settlement_taken_over__its_figures_go_and_come_back_with_the_lead(
    world: World,
) -> None:
    """An old runway would hide that the gas money is low: the highest of all counts."""
    families = Families()
    begin_at_zero(families, world.ledger.catalogue)
    metrics = SettlementMetrics(families, world.clock)
    await world.watch(mine=4)
    first, other = world.service(observer=metrics), world.service()

    def runway() -> float | None:
        return families.registry.get_sample_value("bursar_gas_runway_payouts", {"chain": "anvil"})

    async def taken_from_whoever_leads() -> None:
        async with world.ledger.transaction() as tx:
            await tx.conn.execute(leases.update().values(expires_at=tx.now - GONE))
        world.clock.advance(GONE.total_seconds())

    assert await first.tick()
    assert runway()
    metrics.reconciled("anvil", "USDC", -5)
    metrics.nonce_gap("anvil", "payouts", 1)
    await taken_from_whoever_leads()
    assert await other.tick()
    assert not await first.tick()
    assert runway() == 0
    shown = {
        sample.name: sample.value
        for family in families.registry.collect()
        for sample in family.samples
        if sample.labels.get("token") == "USDC" or sample.labels.get("lane") == "payouts"
    }
    assert shown["bursar_reconciliation_difference"] == shown["bursar_nonce_gap"] == 0
    await taken_from_whoever_leads()
    assert await first.tick()
    assert runway(), "measured anew, not after the rest of a minute"
