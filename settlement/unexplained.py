"""A treasury that holds more or less than the books, and no transfer explains it.

It held tokens before the first block that was read, or before the token was configured; or the
token changes balances without logs: it rebases, or its issuer destroys what it has frozen. No
later look will tell whose that is, so payouts of the token stop, and a hold names the amount.
Releasing that hold books exactly this amount, as suspense; ``bursar books`` then says what it was.
"""

from __future__ import annotations

from ledger.books import post
from ledger.holds import hold, released_with
from ledger.leases import Lease, check
from ledger.postings import AccountKind, AccountRef, Transfer
from ledger.store import Tx
from settlement.causes import without_cause
from settlement.context import Context
from settlement.reconcile import AccountRow, Reconciliation
from settlement.stopping import breaker_place, take_out


def unexplained(found: Reconciliation, token: str) -> AccountRow | None:
    """The treasury's row, where it alone differs and no transfer is known of it. Pure."""
    rows = [row for row in found.rows if row.token == token and row.difference]
    if len(rows) != 1 or rows[0].account != "treasury":
        return None
    words = without_cause("treasury", token, rows[0].difference)
    return rows[0] if any(cause.startswith(words) for cause in found.causes) else None


def reason_of(row: AccountRow) -> str:
    """Why payouts stop, and what ends it. The same words for the same amount: by them it is known
    what was released. Pure."""
    way, side = ("more", "in") if row.difference > 0 else ("less", "out")
    return (
        f"the treasury holds {abs(row.difference)} base units of {row.token} {way} than the books, "
        f"and no transfer of them is known; releasing this hold books them as suspense {side}"
    )


async def book_accepted(ctx: Context, lease: Lease, row: AccountRow, block: int) -> bool:
    """Book the difference, if an operator has released a hold that names it; once for each.

    :returns: ``False``: nobody has, or two providers do not tell the same balance; if that lasts,
        a hold names both.
    :raises RpcError: nobody tells the balance.
    """
    place, reason = breaker_place(ctx, row.token, "difference"), reason_of(row)
    async with ctx.ledger.reading() as tx:
        released = await released_with(tx, "batch", place, reason)
    if released is None:
        await nobody_asks(ctx, lease, row.token)
        return False
    if not await told_by_two(ctx, lease, row, block):
        return False
    async with ctx.ledger.transaction() as tx:
        await check(tx, lease)
        return await _book(tx, ctx, row, f"difference:{released}", block)


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


async def _book(tx: Tx, ctx: Context, row: AccountRow, key: str, block: int) -> bool:
    words, units = f"unexplained at block {block}", abs(row.difference)
    if row.difference < 0:
        return await take_out(tx, ctx, row.token, units, key, words)
    treasury = AccountRef(AccountKind.TREASURY, ctx.name, row.token)
    suspense = AccountRef(AccountKind.SUSPENSE_IN, ctx.name, row.token)
    if not await post(tx, [Transfer(key, treasury, suspense, units, words, key)]):
        return False
    what = f"{units} base units of {row.token} that no transfer explains: say whose they are"
    await hold(tx, "batch", "suspense", key, what)
    return True
