"""The chain is rewritten, over and over, while money comes in and goes out: sums stay exact."""

from __future__ import annotations

import random

import pytest

from config.errors import LeaseLostError
from config.units import Address
from ledger.schema import payments
from ledger.states import PaymentStatus
from tests.chain.settlement.world import CONFIRMATIONS, World, recipient


async def confirmed(world: World) -> dict[Address, int]:
    """Confirmed so far, by deposit address."""
    async with world.ledger.reading() as tx:
        rows = await tx.conn.execute(
            payments.select().where(payments.c.status == PaymentStatus.CONFIRMED)
        )
        found: dict[Address, int] = {}
        for row in rows:
            owner = Address(bytes(row.recipient))
            found[owner] = found.get(owner, 0) + row.amount
        return found


@pytest.mark.parametrize(
    ("database_backend", "seed"),
    [("sqlite", 0), ("sqlite", 1), ("postgresql", 2)],
    indirect=["database_backend"],
)
async def test_f01_random_reorgs__below_finality__while_paying_and_settling__sums_exact(
    world: World, seed: int
) -> None:
    """Each reorg takes away up to two blocks of three, sweeps and batches in them too."""
    dice = random.Random(seed)
    await world.watch(mine=CONFIRMATIONS)  # what funded the sponsors is not to be taken back
    merchant = await world.merchant()
    service = world.service()
    due: dict[Address, int] = {}
    promised: list[str] = []
    reorgs = total = 0
    for _ in range(28):
        action = dice.random()
        if action < 0.25 and len(due) + len(promised) < 6:
            amount = dice.randrange(1_000_000, 9_000_000)
            due[await world.paid_invoice(merchant, "USDC", amount)] = amount
            await world.watch(mine=dice.randrange(3))
        elif action < 0.6:
            await world.rpc.call("anvil_reorg", dice.randrange(1, CONFIRMATIONS), [])
            reorgs += 1
            world.clock.advance(dice.choice([1, 70]))  # some are missed for long enough to resend
            await world.watch(mine=2)
        else:
            await world.watch(mine=1)
        there = await confirmed(world)
        for deposit, amount in [pair for pair in due.items() if there.get(pair[0]) == pair[1]]:
            promised.append(await world.promise(merchant, "USDC", amount, recipient(1)))
            total += due.pop(deposit)
        try:
            await service.tick()
        except LeaseLostError:
            await service.tick()
        await world.agrees()
    for deposit, amount in due.items():
        # Its payment went with a block: the payer's wallet sends it again.
        if not (await confirmed(world)).get(deposit):
            await world.pay("USDC", deposit, amount)
        await world.watch(mine=CONFIRMATIONS + 1)
        paid = (await confirmed(world))[deposit]
        promised.append(await world.promise(merchant, "USDC", paid, recipient(1)))
        total += paid
    assert reorgs >= 6 and promised
    await world.settle(service, world.all_are("paid", *promised), rounds=80)
    assert await world.held("USDC", recipient(1)) == total
    assert sum((await confirmed(world)).values()) == total
    assert await world.held("USDC", world.contracts.treasury) == 0
    await world.agrees()
