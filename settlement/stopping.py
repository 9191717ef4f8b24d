"""Money that left without a promise: it goes to *suspense out*, and its token's payouts stop."""

from __future__ import annotations

from ledger.books import post, posted_keys, totals_of
from ledger.covers import COVER
from ledger.holds import hold
from ledger.pauses import pause, scope_of
from ledger.postings import AccountKind, AccountRef, Transfer, available
from ledger.store import Tx
from settlement.context import Context


async def take_out(tx: Tx, ctx: Context, token: str, amount: int, key: str, words: str) -> bool:
    """Base units that are gone from the treasury: suspense out, also beyond what it holds free
    (:mod:`ledger.covers`).

    :returns: whether it was not booked before.
    """
    if await posted_keys(tx, [key]):
        # It has been drawn: to look at the treasury's rest would cover it anew.
        return False
    treasury = AccountRef(AccountKind.TREASURY, ctx.name, token)
    unknown = AccountRef(AccountKind.SUSPENSE_IN, ctx.name, token)
    suspense = AccountRef(AccountKind.SUSPENSE_OUT, ctx.name, token)
    has = available(AccountKind.TREASURY, (await totals_of(tx, [treasury]))[treasury])
    missing = max(amount - max(has, 0), 0)
    await post(tx, [Transfer(f"{key}{COVER}", treasury, unknown, missing, words, key)])
    await post(tx, [Transfer(key, suspense, treasury, amount, words, key)])
    return True


def breaker_place(ctx: Context, token: str, kind: str) -> str:
    """The object of the hold that says why a token is stopped."""
    return f"{ctx.name}/{token}/{kind}"


async def stop_token(tx: Tx, ctx: Context, token: str, kind: str, reason: str) -> None:
    """The breaker: pause one token's payouts on this chain and say why.

    Releasing the hold, or ``bursar resume``, lets them go on.
    """
    await hold(tx, "batch", "breaker", breaker_place(ctx, token, kind), reason)
    await pause(tx, scope_of("payouts", ctx.name, token), reason)
    ctx.observer.note("payouts_stopped", chain=ctx.name, token=token, reason=reason)
