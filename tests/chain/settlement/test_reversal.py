"""A credited payment leaves the chain while the payout that it earned is under way.

The treasury can pay from others' money, so the payout goes out; what the merchant then has
too much is a receivable, and comes back out of new income before anything else is paid.
A sealed batch is paid too: its signed bytes were shown to providers when its gas was
estimated, and anyone may submit them, so that nobody can promise that it will not run.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from config.models import SettlementSettings
from ledger.attempts import open_attempts, signed_bytes
from ledger.books import totals_of
from ledger.cursors import get_cursor, halt_chain
from ledger.invoices import Tolerance, Touched, refresh_invoices
from ledger.payment_moves import PaymentMove, move_payments, open_payments
from ledger.payment_rows import PaymentPolicy
from ledger.postings import AccountKind, AccountRef, Totals, available, balance
from ledger.receivables import open_debts, recover_debts
from ledger.states import PaymentStatus
from ledger.violations import resolve_violation
from settlement.service import ChainSettlement
from tests.chain.settlement.world import CONFIRMATIONS, World, recipient

LIQUID = 100_000_000
AMOUNT = 10_000_000
ENOUGH = 10**20


@dataclass
class Journey:
    """Merchant 2's payout of a payment that is credited early, as small amounts are."""

    world: World
    service: ChainSettlement
    merchant: str
    payout: str
    shared: int
    """The last block that both histories have."""

    async def left(self, kind: AccountKind) -> int:
        """What the merchant may still draw of an account, or owes."""
        ref = AccountRef(kind, "anvil", "USDC", self.merchant)
        async with self.world.ledger.reading() as tx:
            return available(kind, (await totals_of(tx, [ref])).get(ref, Totals()))

    async def status(self) -> str:
        return str((await self.world.payout(self.payout))["status"])

    async def raws(self) -> list[str]:
        async with self.world.ledger.reading() as tx:
            attempts = await open_attempts(tx, "anvil", "payouts")
            return ["0x" + (await signed_bytes(tx, a)).hex() for a in attempts]

    async def rewrite(self, *, with_payout: bool) -> None:
        """The other history: as long, without the payment."""
        head = int(await self.world.rpc.call("eth_blockNumber"), 16)
        kept = [[raw, 0] for raw in self.kept] if with_payout else []
        await self.world.rpc.call("anvil_reorg", head - self.shared, kept)

    kept: tuple[str, ...] = ()


async def journey(world: World) -> Journey:
    """Others' money in the treasury for good; then a payment, credited at its first block."""
    world.settings = SettlementSettings(sweep_minimum="50")
    await world.watch(mine=CONFIRMATIONS)
    await world.paid_invoice(await world.merchant(), "USDC", LIQUID)
    service = world.service()

    async def swept() -> bool:
        ref = AccountRef(AccountKind.TREASURY, "anvil", "USDC")
        async with world.ledger.reading() as tx:
            totals = (await totals_of(tx, [ref])).get(ref, Totals())
        return balance(AccountKind.TREASURY, totals) == LIQUID

    await world.settle(service, swept, audit=False)
    merchant = await world.merchant()
    await world.watch(mine=CONFIRMATIONS)
    shared = await world.head()
    await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch()
    touched = Touched()
    async with world.ledger.transaction() as tx:
        moves = [
            PaymentMove(row, PaymentStatus.CONFIRMED) for row in await open_payments(tx, "anvil")
        ]
        await move_payments(tx, moves, PaymentPolicy(), touched)
        await refresh_invoices(tx, touched.ids, Tolerance())
    payout = await world.promise(merchant, "USDC", AMOUNT, recipient(2))
    return Journey(world, service, merchant, payout, shared)


async def taken_back_below_finality(j: Journey) -> None:
    """The watcher halts; an operator names the last block that both histories share."""
    world, touched = j.world, Touched()
    async with world.ledger.transaction() as tx:
        await halt_chain(tx, "anvil", "the final block is another one")
        ancestor = await world._row(j.shared)
        await resolve_violation(tx, "anvil", ancestor, PaymentPolicy(), touched)
        await refresh_invoices(tx, touched.ids, Tolerance())


@pytest.mark.parametrize(
    ("database_backend", "stage"),
    [("sqlite", "sealed"), ("sqlite", "broadcast"), ("postgresql", "final")],
    indirect=["database_backend"],
)
async def test_f01_payment_reversed__payout_under_way__paid_once_and_owed(
    world: World, stage: str
) -> None:
    j = await journey(world)
    sponsor = world.keys.sponsor("payouts").address
    if stage == "sealed":
        await world.fund(sponsor, 0)
        await j.service.tick()
        assert (await j.status(), await j.raws()) == ("batched", [])
    else:
        if stage == "broadcast":
            await world.automine(False)
        await j.service.tick()
        j.kept = tuple(await j.raws())
        assert await j.status() == "submitted"
        assert len(j.kept) == 1
    if stage == "final":
        await world.settle(j.service, world.all_are("paid", j.payout))
        await j.rewrite(with_payout=True)
        await taken_back_below_finality(j)
    else:
        await j.rewrite(with_payout=False)
    await world.automine(True)
    await world.watch(mine=1)
    await world.agrees()
    assert await j.left(AccountKind.RECEIVABLE) == AMOUNT
    assert await j.left(AccountKind.MERCHANT) == 0
    await world.fund(sponsor, ENOUGH)
    await world.settle(j.service, world.all_are("paid", j.payout))
    assert await world.held("USDC", recipient(2)) == AMOUNT
    assert await world.held("USDC", world.contracts.treasury) == LIQUID - AMOUNT
    await income_repays_first(j)


async def income_repays_first(j: Journey) -> None:
    """Of the next 15 USDC, 10 are owed; 5 can be promised, and no more."""
    world = j.world
    await world.paid_invoice(j.merchant, "USDC", AMOUNT * 3 // 2)
    await world.watch(mine=CONFIRMATIONS)
    async with world.ledger.transaction() as tx:
        await recover_debts(tx)
        assert await open_debts(tx) == []
        cursor = await get_cursor(tx, "anvil")
    assert cursor is not None
    assert cursor.halted_reason is None
    assert await j.left(AccountKind.MERCHANT) == AMOUNT // 2
    last = await world.promise(j.merchant, "USDC", AMOUNT // 2, recipient(2))
    await world.settle(j.service, world.all_are("paid", last))
    assert await world.held("USDC", recipient(2)) == AMOUNT * 3 // 2
