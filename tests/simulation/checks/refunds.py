"""What became of refunds, and that nothing stays reserved for what is over."""

from __future__ import annotations

from collections import defaultdict

from ledger.approvals import REJECTED
from ledger.refunded import TAKEN_BACK
from tests.simulation import town
from tests.simulation.world import World

UNDER_WAY = ("pending_approval", "queued", "batched", "submitted", "on_hold")
DRAWN = ("batched", "submitted")


def refunds(world: World) -> None:
    """I3: what customers have is what the books say of refunds, to the unit, and what was promised
    and nobody took back is paid, whoever was listed meanwhile.

    Of what was promised after a backup, and lost with it and the journal, no books know.
    """
    if world.without_journal:
        return
    paid: dict[tuple[bytes, str, str], int] = defaultdict(int)
    for row in world.books.execute(
        "SELECT address, chain, token, amount FROM payouts WHERE kind = 'refund'"
        " AND status = 'paid'"
    ):
        paid[row["address"], row["chain"], row["token"]] += int(row["amount"])
    for customer in world.customers():
        for chain in world.chains:
            for symbol in town.REGISTERED:
                has = world.balance(chain, symbol, customer)
                booked = paid[customer, chain, symbol]
                if has != booked:
                    text = f"a customer has {has} {symbol} on {chain}, the books paid {booked}"
                    world.violated("I3", text)
    _kept(world)


def _kept(world: World) -> None:
    for refund in world.refunds:
        row = world.books.execute(
            "SELECT status, reason FROM payouts WHERE id = ?", (refund.id,)
        ).fetchone()
        if row is None or row["status"] == "paid":
            continue  # lost with a database
        known = refund.canceled or world.forgot or row["reason"] in (TAKEN_BACK, REJECTED)
        if row["status"] != "canceled" or not known:
            text = f"refund {refund.id} is {row['status']} ({row['reason']})"
            world.violated("I3", f"{text}, and nobody took it back")


def reserved(world: World) -> None:
    """I1: of each merchant's money there is reserved what his payouts under way come to, and of the
    treasury's what batches draw; no more, and no less."""
    promised: dict[tuple[str, ...], int] = defaultdict(int)
    drawn: dict[tuple[str, ...], int] = defaultdict(int)
    marks = ", ".join("?" * len(UNDER_WAY))
    for row in world.books.execute(
        f"SELECT merchant_id, chain, token, amount, status FROM payouts WHERE status IN ({marks})",
        UNDER_WAY,
    ):
        promised[row["merchant_id"], row["chain"], row["token"]] += int(row["amount"])
        if row["status"] in DRAWN:
            drawn[row["chain"], row["token"]] += int(row["amount"])
    for row in world.books.execute("SELECT * FROM accounts WHERE kind IN ('merchant', 'treasury')"):
        own = row["kind"] == "merchant"
        place = (row["chain"], row["token"])
        has = int(row["debits_pending"] if own else row["credits_pending"])
        wanted = promised[row["merchant_id"], *place] if own else drawn[place]
        if has != wanted:
            text = f"{row['kind']} {row['merchant_id'] or ''} {row['token']} on {row['chain']}"
            world.violated("I1", f"{text}: {has} is reserved, payouts under way come to {wanted}")
