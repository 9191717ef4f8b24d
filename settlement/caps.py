"""The fee cap of a batch, and the state that says that something waits at it.

The state is a hold, ``CHAIN/LANE/fees``, so that every process and a restart see it: the
doctor, ``bursar holds list``, the metric ``fee_cap_waiting``. It closes by itself once
something of the lane is sent or mined; releasing it by hand changes nothing. A batch that waits
alone, because it moves too little, has one of its own, ``CHAIN/LANE/fees/batch_N``, which what is
sent in its place does not close.
"""

from __future__ import annotations

from dataclasses import dataclass

from chain.model import FeeQuote
from config.units import Address
from ledger.batches import Batch, batch_amount, get_batches
from ledger.holds import close_holds, hold
from ledger.leases import Lease, check
from ledger.store import Tx
from settlement.context import Context
from settlement.fees import COIN, at_the_cap, cap_for, which_cap, worth_in_wei

FEES = "fees"


@dataclass(frozen=True, slots=True)
class Cap:
    """The highest ``maxFeePerGas``, wei, and the key that sets it, or ``COIN``."""

    max_fee: int
    key: str


async def cap_of(ctx: Context, batch: Batch | None, gas_limit: int, sender: Address) -> Cap:
    """The cap of a batch's transaction; ``None``: one that moves nothing, to fill a nonce.

    A deposit address that sends by itself has what it was given while gas cost less, perhaps:
    it offers no more than that pays for, and goes as soon as the next block takes so much.
    """
    worth = None
    if batch is not None:
        worth = await _worth(ctx, batch)
    rules = ctx.chain.fee_cap
    cap = Cap(cap_for(rules, gas_limit, worth), which_cap(rules, gas_limit, worth))
    if batch is None or batch.purpose != "transfer":
        return cap
    most = await ctx.client.balance(sender) // max(gas_limit, 1)
    return Cap(most, COIN) if most < cap.max_fee else cap


async def cap_of_id(ctx: Context, batch_id: int | None, gas_limit: int, sender: Address) -> Cap:
    """As :func:`cap_of`."""
    if batch_id is None:
        return await cap_of(ctx, None, gas_limit, sender)
    async with ctx.ledger.reading() as tx:
        batch = (await get_batches(tx, [batch_id]))[batch_id]
    return await cap_of(ctx, batch, gas_limit, sender)


async def _worth(ctx: Context, batch: Batch) -> int | None:
    token = ctx.ledger.catalogue.find_token(batch.chain, batch.token)
    price = None if token is None else ctx.chain.native_price.get(token.currency)
    if token is None or price is None:
        return None  # a top-up, a token of the past, or no price: the other two caps hold
    async with ctx.ledger.reading() as tx:
        amount = await batch_amount(tx, batch)
    return worth_in_wei(token.to_micros(amount), price)


async def wait_at_cap(
    ctx: Context,
    lease: Lease,
    lane: str,
    quote: FeeQuote,
    cap: Cap,
    batch_id: int | None = None,
) -> None:
    """Say that a lane waits for lower fees, or one batch of it; again: no change."""
    price = quote.base_fee + quote.tip
    reason = at_the_cap(price, cap.max_fee, cap.key)
    async with ctx.ledger.transaction() as tx:
        await check(tx, lease)
        await hold(tx, "batch", FEES, place_of(ctx.name, lane, batch_id), reason)
    ctx.observer.note("waiting_for_lower_fees", chain=ctx.name, lane=lane, reason=reason)


async def goes_on(tx: Tx, chain: str, lane: str) -> None:
    """Something of the lane was sent or mined: whatever waited at the cap waits no more."""
    await close_holds(tx, "batch", place_of(chain, lane), "fees fell")


async def waits_no_more(tx: Tx, batch: Batch, resolution: str) -> None:
    """The batch was sent, or is over."""
    place = place_of(batch.chain, batch.lane, batch.id)
    await close_holds(tx, "batch", place, resolution)


def place_of(chain: str, lane: str, batch_id: int | None = None) -> str:
    """The object of the hold."""
    place = f"{chain}/{lane}/{FEES}"
    return place if batch_id is None else f"{place}/batch_{batch_id}"
