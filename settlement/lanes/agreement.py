"""Before a receipt is booked for good, two providers must show the same one, where there are two.

A batch is judged once, by its logs. One provider that leaves some out, for whatever reason, would
turn a sweep that ran into one that did not, or a payout that was refused into one that was paid.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from chain.client import ChainClient
from chain.model import Receipt
from chain.rpc.errors import RpcError
from config.units import to_hex
from ledger.holds import close_holds, hold
from ledger.leases import Lease, check
from ledger.store import Tx
from settlement.context import Context
from settlement.lanes.finality import Finality

_LAGGING: Final = timedelta(seconds=60)
"""For so long after a block was final, a provider without it may just be behind."""


async def borne_out(ctx: Context, lease: Lease, finality: Finality, receipt: Receipt) -> bool:
    """Whether a second provider shows this receipt too, or nobody else answers.

    Where one word stands against another a third provider decides, if there is one; else it
    waits, and after a while a hold names the transaction until they agree. Releasing the hold
    decides nothing: nobody says by it which of the two receipts he has seen.
    """
    agreeing, differing = await _opinions(ctx.client, receipt)
    place = f"{ctx.name}/{to_hex(receipt.tx_hash)}"
    if not differing:
        return True
    if len(agreeing) > len(differing):
        for provider in differing:
            ctx.client.doubt(provider)
        return True
    if len(differing) > len(agreeing):
        for provider in agreeing:
            ctx.client.doubt(provider)
    ctx.observer.note("receipt_disputed", chain=ctx.name, tx_hash=to_hex(receipt.tx_hash))
    assert finality.final_block is not None
    if (finality.final_block - receipt.block_number) * ctx.chain.block_time > _LAGGING:
        reason = f"{', '.join(differing)} shows another receipt: nothing of it is booked"
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            await hold(tx, "batch", "receipt", place, reason)
    return False


async def close_dispute(tx: Tx, ctx: Context, receipt: Receipt) -> None:
    """It is booked: whoever showed another one has been overruled, or has come round."""
    place = f"{ctx.name}/{to_hex(receipt.tx_hash)}"
    await close_holds(tx, "batch", place, "the receipt is booked")


async def _opinions(client: ChainClient, receipt: Receipt) -> tuple[list[str], list[str]]:
    """Providers that show the same, and those that do not: two, or three where two disagree.

    Who does not answer has no opinion, nor has who does not have the block: it says nothing
    about what is in there. Without a second provider there are none.
    """
    first, second = client.pinned(), client.second()
    if second is None:
        return [], []
    found: dict[bool, list[str]] = {True: [], False: []}
    for view in (first, second):
        await _ask(view, receipt, found)
    third = first.third(second) if found[True] and found[False] else None
    if third is not None:
        await _ask(third, receipt, found)
    return found[True], found[False]


async def _ask(view: ChainClient, receipt: Receipt, found: dict[bool, list[str]]) -> None:
    try:
        theirs = await view.receipt(receipt.tx_hash)
        if theirs is None and await view.block(receipt.block_number) is None:
            return
    except RpcError:
        return
    found[_same(receipt, theirs)].append(view.provider or "")


def _same(one: Receipt, other: Receipt | None) -> bool:
    """In what is booked by it; prices and fees may be told in other ways."""
    return other is not None and (one.block_hash, one.status, one.logs) == (
        other.block_hash, other.status, other.logs,
    )  # fmt: skip
