"""A treasury that holds more or less than the books, and no transfer explains it.

It held tokens before the first block that was read, or before the token was configured; or the
token changes balances without logs: it rebases, or its issuer destroys what it has frozen. No
later look will tell whose that is, so payouts of the token stop, and a hold names the amount.
Releasing that hold books exactly this amount, as suspense; ``bursar books`` then says what it was.
"""

from __future__ import annotations

import re
from typing import Final

from ledger.books import post
from ledger.holds import close_holds, hold, last_released, open_reason
from ledger.leases import Lease, check
from ledger.postings import AccountKind, AccountRef, Transfer
from ledger.store import Tx
from settlement.causes import without_cause
from settlement.context import Context
from settlement.reconcile import AccountRow, Reconciliation
from settlement.stopping import breaker_place, take_out

_ACCEPTABLE: Final = re.compile(r"the treasury holds (\d+) base units of \S+ (more|less) than")


def unexplained(found: Reconciliation, token: str) -> AccountRow | None:
    """The treasury's row, where it alone differs and no transfer is known of it. Pure."""
    rows = [row for row in found.rows if row.token == token and row.difference]
    if len(rows) != 1 or rows[0].account != "treasury":
        return None
    words = without_cause("treasury", token, rows[0].difference)
    return rows[0] if any(cause.startswith(words) for cause in found.causes) else None


def reason_of(row: AccountRow) -> str:
    """Why payouts stop, and what ends it: by these words it is known what was released. Pure."""
    way, side = ("more", "in") if row.difference > 0 else ("less", "out")
    return (
        f"the treasury holds {abs(row.difference)} base units of {row.token} {way} than the books, "
        f"and no transfer of them is known; releasing this hold books them as suspense {side}"
    )


def accepted_of(row: AccountRow, reason: str) -> int | None:
    """Base units of a difference that whoever released a hold with this reason has accepted: what
    it named, where the difference is as much, or more by now. ``None``: nothing of it. Pure."""
    named = _ACCEPTABLE.match(reason)
    if named is None:
        return None
    units = int(named[1]) if named[2] == "more" else -int(named[1])
    covered = 0 < units <= row.difference or row.difference <= units < 0
    return units if covered else None


async def name_better(tx: Tx, ctx: Context, token: str, reason: str) -> None:
    """Close the hold of a difference where only now it is known what releasing it would do."""
    place = breaker_place(ctx, token, "difference")
    known = await open_reason(tx, "batch", place)
    if known is not None and _ACCEPTABLE.match(reason) and not _ACCEPTABLE.match(known):
        await close_holds(tx, "batch", place, "another hold says what ends it")


async def book_accepted(ctx: Context, lease: Lease, row: AccountRow, block: int) -> bool:
    """Book what an operator has accepted of the difference by releasing a hold; once for each.

    Of a balance that goes on changing that is a part, and the rest stops the token anew.

    :returns: ``False``: nobody has, or two providers do not tell the same balance; if that lasts,
        a hold names both.
    :raises RpcError: nobody tells the balance.
    """
    place = breaker_place(ctx, row.token, "difference")
    async with ctx.ledger.reading() as tx:
        released = await last_released(tx, "batch", place)
    units = None if released is None else accepted_of(row, released[1])
    if released is None or units is None:
        await nobody_asks(ctx, lease, row.token)
        return False
    if not await told_by_two(ctx, lease, row, block):
        return False
    async with ctx.ledger.transaction() as tx:
        await check(tx, lease)
        return await _book(tx, ctx, row.token, units, f"difference:{released[0]}", block)


async def told_by_two(ctx: Context, lease: Lease, row: AccountRow, block: int) -> bool:
    """Whether the treasury holds what the row says, by two providers where there are two.

    One alone would decide how much is booked. If they differ for long, a hold names both.

    :raises RpcError: nobody tells the balance.
    """
    token = ctx.ledger.catalogue.token(ctx.name, row.token).address
    held = await ctx.disputes.agreed(
        ctx, lease, _balance_of(row.token),
        lambda c: c.token_balances(token, [ctx.contracts.treasury], block),
    )  # fmt: skip
    return held == [row.chain]


async def nobody_asks(ctx: Context, lease: Lease, token: str) -> None:
    """It does not matter any more whether providers differ about the treasury's balance."""
    await ctx.disputes.over(ctx, lease, _balance_of(token))


def _balance_of(token: str) -> str:
    return f"balance of the treasury in {token}"


async def _book(tx: Tx, ctx: Context, token: str, units: int, key: str, block: int) -> bool:
    words = f"unexplained at block {block}"
    if units < 0:
        return await take_out(tx, ctx, token, -units, key, words)
    treasury = AccountRef(AccountKind.TREASURY, ctx.name, token)
    suspense = AccountRef(AccountKind.SUSPENSE_IN, ctx.name, token)
    if not await post(tx, [Transfer(key, treasury, suspense, units, words, key)]):
        return False
    what = f"{units} base units of {token} that no transfer explains: say whose they are"
    await hold(tx, "batch", "suspense", key, what)
    return True
