"""Tokens that nobody of the house sent to the treasury: *suspense in*, each by name.

They are looked for from the mark up to which the chain is compared, before anything moves that
mark: a gift that it passed over would be a difference for ever.
"""

from __future__ import annotations

from collections import Counter

from ledger.comparisons import compared_block
from ledger.leases import Lease, check
from settlement.context import Context
from settlement.lanes.agreement import borne_out, close_dispute
from settlement.lanes.finality import Finality
from settlement.restore.adopting import book_gift, gifts_in
from settlement.restore.scanning import Inflows, inflows, unknown_inflows


async def book_gifts(
    ctx: Context,
    lease: Lease,
    finality: Finality,
    until: int,
    *,
    since: int | None = None,
    seen: Inflows | None = None,
) -> tuple[bool, Counter[str]]:
    """Transfers of strangers straight to the treasury: suspense in once final, each by name.

    :param until: block of the look that is to be explained.
    :param since: look from there, and not from the mark.
    :param seen: what was read already.
    :returns: ``False``: of a final one providers show different receipts; it waits. And what
        the look found and the books did not hold, base units by token: what was booked now, and
        what is not final yet, which would count as seen before by the time that it is.
    """
    gifts: Counter[str] = Counter()
    if finality.cursor is None:
        return True, gifts
    final = finality.cursor.final.number
    async with ctx.ledger.reading() as tx:
        mark = await compared_block(tx, ctx.name)
    first = finality.cursor.start_block if mark is None else mark
    first = first if since is None else since
    if first > final:
        return True, gifts
    whole = True
    due = seen.within(first, until) if seen is not None else None
    for receipt in await unknown_inflows(ctx, due or await inflows(ctx, first, until)):
        if receipt.block_number > final:
            async with ctx.ledger.reading() as tx:
                for _, token, transfer in await gifts_in(tx, ctx, receipt):
                    gifts[token.symbol] += transfer.amount
        elif await borne_out(ctx, lease, finality, receipt):
            async with ctx.ledger.transaction() as tx:
                await check(tx, lease)
                gifts += await book_gift(tx, ctx, receipt)
                await close_dispute(tx, ctx, receipt)
        else:
            whole = False
    return whole, gifts
