"""The breaker: ledger and chain disagree for good, so payouts of that token stop.

A difference counts once it is seen twice in a row and the block of the first look is
final: before that it may be a reorg, or a node that lags. What strangers send to the
treasury is no disagreement: it is booked as *suspense in* and named, or anyone could
stop all payouts with one unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ledger.comparisons import compared_block, note_compared
from ledger.leases import Lease, check
from settlement.causes import REACH
from settlement.context import Context
from settlement.gifts import book_gifts
from settlement.lanes.agreement import borne_out, close_dispute
from settlement.lanes.finality import Finality
from settlement.reconcile import Reconciliation
from settlement.restore.adopting import adopt_outflow, stop_token
from settlement.restore.scanning import unknown_outflows
from settlement.unexplained import book_accepted, reason_of, unexplained

Seen = Mapping[str, int]
"""Block of the first look that showed a token to differ, by token."""


def judge(seen: Seen, found: Reconciliation, final_block: int) -> tuple[dict[str, int], list[str]]:
    """What is under suspicion now, and tokens whose difference is proven. Pure."""
    differing = sorted({row.token for row in found.rows if row.difference})
    tripped = [t for t in differing if t in seen and seen[t] <= final_block]
    return {token: seen.get(token, found.block) for token in differing}, tripped


class Breaker:
    """Remembers one chain's last look."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    async def look(
        self, ctx: Context, lease: Lease, finality: Finality, found: Reconciliation
    ) -> None:
        """Act on a reconciliation; afterwards the chain counts as compared up to its final block.

        :raises RpcError: the chain does not answer.
        """
        final = finality.final_block
        if final is None:
            return
        whole = True
        if any(row.account == "treasury" and row.difference for row in found.rows):
            # Both, whatever the sum's sign: what the mark passes over is never looked at again.
            whole, gifts = await book_gifts(ctx, lease, finality, found.block)
            found = less_gifts(found, gifts)
            _, all_ = await book_outflows(ctx, lease, finality)
            whole &= all_
        self._seen, tripped = judge(self._seen, found, final)
        if tripped and await _passed_over(ctx, lease, finality, found):
            return
        reasons = {token: await _proven(ctx, lease, found, token) for token in tripped}
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            for token, reason in reasons.items():
                if reason is not None:
                    await stop_token(tx, ctx, token, "difference", reason)
            if whole:
                await note_compared(tx, ctx.name, final)


async def _passed_over(
    ctx: Context, lease: Lease, finality: Finality, found: Reconciliation
) -> bool:
    """Whether something was booked now that an earlier look has not shown: the next one tells.

    Where a chain has one provider, an empty answer of it was believed, and the mark moved on.
    """
    assert finality.cursor is not None
    final = finality.cursor.final.number
    first = max(finality.cursor.start_block, final - REACH)
    if not any(row.account == "treasury" and row.difference for row in found.rows):
        return False
    _, gifts = await book_gifts(ctx, lease, finality, final, since=first)
    booked, _ = await book_outflows(ctx, lease, finality, since=first)
    return bool(booked or gifts)


async def _proven(ctx: Context, lease: Lease, found: Reconciliation, token: str) -> str | None:
    """Why a token stops; ``None``: a person has accepted it, and it is booked now."""
    row = unexplained(found, token)
    if row is not None:
        accepted = await book_accepted(ctx, lease, row, found.block)
        return None if accepted else reason_of(row)
    reason = "; ".join(c for c in found.causes if f" {token}: " in c)
    reason = reason or f"ledger and chain differ by {found.difference(token)}"
    return f"block {found.block}: {reason}"


def less_gifts(found: Reconciliation, gifts: Mapping[str, int]) -> Reconciliation:
    """The same look, with what strangers gave explained. Pure.

    :param gifts: base units by token.
    """
    rows = [
        replace(row, explained={**row.explained, "transfers of strangers": gifts[row.token]})
        if row.account == "treasury" and row.token in gifts
        else row
        for row in found.rows
    ]
    return replace(found, rows=tuple(rows))


async def book_outflows(
    ctx: Context, lease: Lease, finality: Finality, *, since: int | None = None
) -> tuple[int, bool]:
    """Final outflows that the books do not know: whose they are, else suspense and a stop.

    :param since: look from there, and not from the mark.
    :returns: how many were booked; and ``False``: of one of them providers show different
        receipts, and it waits.
    """
    final = finality.final_block
    async with ctx.ledger.reading() as tx:
        first = await compared_block(tx, ctx.name)
    first = first if since is None else since
    if first is None or final is None or first > final:
        return 0, True
    booked, whole = 0, True
    for receipt in await unknown_outflows(ctx, first, final):
        if not await borne_out(ctx, lease, finality, receipt):
            whole = False
            continue
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            booked += await adopt_outflow(tx, ctx, receipt)
            await close_dispute(tx, ctx, receipt)
    return booked, whole
