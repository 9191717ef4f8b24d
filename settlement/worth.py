"""Whether payouts are worth their gas before they are sealed: a sealed batch grows no more.

One small payout, sealed alone, would wait at ``fee_cap.batch_bps`` until fees fall, and each that
comes after it as well. Queued they come together, and may be worth it then.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from chain.model import FeeQuote
from config.chains import FeeCap
from ledger.leases import Lease
from ledger.views import Row
from settlement.batching import gas_limit
from settlement.caps import FEES, place_of
from settlement.context import Context
from settlement.costs import GAS_PER_BATCH
from settlement.fees import BPS, at_the_cap, cap_for, which_cap, worth_in_wei
from settlement.known_holds import KnownHolds

_LANE: Final = "payouts"
_LEAST_GAS: Final = 11_000
"""Of a payout whose recipient holds some of the token (11,225 measured with USDC): who waits by
this would wait by an estimate too."""


def why_not_yet(count: int, worth: int, cap: FeeCap, quote: FeeQuote) -> str | None:
    """Why a batch of so many payouts would wait for its value's sake; ``None``: it would not. Pure.

    :param worth: of all of them, wei.
    """
    limit = _limit(count)
    price, most = quote.base_fee + quote.tip, cap_for(cap, limit, worth)
    key = which_cap(cap, limit, worth)
    return at_the_cap(price, most, key) if key == "batch_bps" and price > most else None


def worth_their_own(worths: Sequence[int], cap: FeeCap, quote: FeeQuote) -> int:
    """How many of these, from the first on, had best go without the others; 0: none. Pure.

    Each of them pays for the gas that it adds, and together they pay for the batch as well. One
    more that does not would be carried by the others, and may carry them past what is allowed.

    :param worths: of each payout, wei, largest first.
    """
    price, count, total, before = quote.base_fee + quote.tip, 0, 0, _limit(0)
    for worth in worths:
        limit = _limit(count + 1)
        if worth * cap.batch_bps // BPS < (limit - before) * price:
            break
        count, total, before = count + 1, total + worth, limit
    return count if count and why_not_yet(count, total, cap, quote) is None else 0


def _limit(count: int) -> int:
    """The least gas limit of a batch of so many."""
    return gas_limit(count * _LEAST_GAS + GAS_PER_BATCH, may_fail=True)


class Worth:
    """Remembers which tokens of one chain wait for more payouts or for lower fees."""

    def __init__(self, chain: str) -> None:
        self._holds = KnownHolds(FEES, place_of(chain, _LANE).removeprefix(f"{chain}/") + "/token:")

    async def waits(self, ctx: Context, lease: Lease, token: str, rows: Sequence[Row]) -> bool:
        """Whether these payouts had better not be sealed yet; a hold says so.

        :raises RpcError: the chain does not tell its price.
        """
        reason = await self.why(ctx, token, rows)
        if reason is None:
            await self._holds.close(ctx, lease, token, "fees fell, or more came together")
            return False
        await self._holds.open(ctx, lease, token, f"{len(rows)} payouts of {token}: {reason}")
        ctx.observer.note("not_worth_its_gas", chain=ctx.name, token=token, reason=reason)
        return True

    async def why(self, ctx: Context, token: str, rows: Sequence[Row]) -> str | None:
        """Why not, of these; nothing is held for it.

        :raises RpcError: as :meth:`waits`.
        """
        (worth,) = _worths(ctx, token, [sum(int(row["amount"]) for row in rows)])
        if worth is None:
            return None
        return why_not_yet(len(rows), worth, ctx.chain.fee_cap, await ctx.client.fees())

    async def by_themselves(self, ctx: Context, token: str, rows: Sequence[Row]) -> list[Row]:
        """Those of these that are worth their gas without the others, the largest of them.

        :raises RpcError: as :meth:`waits`.
        """
        ordered = sorted(rows, key=lambda row: int(row["amount"]), reverse=True)
        worths = _worths(ctx, token, [int(row["amount"]) for row in ordered])
        known = [worth for worth in worths if worth is not None]
        if len(known) < len(ordered):
            return ordered
        return ordered[: worth_their_own(known, ctx.chain.fee_cap, await ctx.client.fees())]

    async def tidy(self, ctx: Context, lease: Lease, queued: Collection[str]) -> None:
        """End the holds of tokens of which nothing is queued any more."""
        for token in sorted(await self._holds.names(ctx, lease) - set(queued)):
            await self._holds.close(ctx, lease, token, "nothing is queued")


def _worths(ctx: Context, token: str, amounts: Sequence[int]) -> list[int | None]:
    """Wei that amounts of base units are worth; ``None``: no price is configured."""
    known = ctx.ledger.catalogue.token(ctx.name, token)
    price = ctx.chain.native_price.get(known.currency)
    return [worth_in_wei(known.to_micros(amount), price) for amount in amounts]
