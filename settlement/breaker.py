"""The breaker: ledger and chain disagree for good, so payouts of that token stop.

A difference counts once it is seen twice in a row and the block of the first look is
final: before that it may be a reorg, or a node that lags. What strangers send to the
treasury is no disagreement: it is booked as *suspense in* and named, or anyone could
stop all payouts with one unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from chain.ranges import SPARSE
from chain.rpc.errors import RpcError
from ledger.comparisons import compared_block, note_compared
from ledger.covers import cover_of, take_cover_back
from ledger.leases import Lease, check
from settlement.causes import AGAIN_AFTER, REACH
from settlement.context import Context
from settlement.gifts import book_gifts
from settlement.lanes.agreement import borne_out, close_dispute
from settlement.lanes.finality import Finality
from settlement.logs import portion
from settlement.reconcile import Reconciliation
from settlement.restore.adopting import adopt_outflow
from settlement.restore.scanning import unknown_outflows
from settlement.stopping import stop_token
from settlement.unexplained import (
    book_accepted,
    name_better,
    nobody_asks,
    reason_of,
    told_by_two,
    unexplained,
)

_PATIENCE: Final = 3
"""Looks in a row that fail before what cannot be looked for counts as not there."""
_LONG_PATIENCE: Final = 10
"""The same of what is new: a stranger's gift is among it, which must not stop anything."""
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
        self._back = _LookBack()
        self._unheard = 0

    async def look(
        self, ctx: Context, lease: Lease, finality: Finality, found: Reconciliation
    ) -> None:
        """Act on a reconciliation; afterwards the chain counts as compared up to its final block.

        :raises RpcError: the chain does not answer.
        """
        final = finality.final_block
        if final is None:
            return
        whole, found = await self._with_what_is_new(ctx, lease, finality, found)
        self._seen, tripped = judge(self._seen, found, final)
        if await self._back.finds(ctx, lease, finality, found, tripped):
            return
        if await _uncover(ctx, lease, found, tripped):
            return
        for token in {row.token for row in found.rows}.difference(tripped):
            await nobody_asks(ctx, lease, token)
        reasons = {token: await _proven(ctx, lease, found, token) for token in tripped}
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            for token, reason in reasons.items():
                if reason is not None:
                    await name_better(tx, ctx, token, reason)
                    await stop_token(tx, ctx, token, "difference", reason)
            if whole:
                await note_compared(tx, ctx.name, final)

    async def _with_what_is_new(
        self, ctx: Context, lease: Lease, finality: Finality, found: Reconciliation
    ) -> tuple[bool, Reconciliation]:
        """Book what has come and gone unknown since the mark; whether all of it, and what is left.

        :raises RpcError: the chain does not answer. If that lasts, what differs counts all the
            same: one provider that shows a log of nothing could blind the breaker else.
        """
        if not any(row.account == "treasury" and row.difference for row in found.rows):
            self._unheard = 0
            return True, found
        try:
            # Both, whatever the sum's sign: what the mark passes over is never looked at again.
            whole, gifts = await book_gifts(ctx, lease, finality, found.block)
            _, all_ = await book_outflows(ctx, lease, finality)
        except RpcError as error:
            self._unheard += 1
            if self._unheard < _LONG_PATIENCE:
                raise
            ctx.observer.note("looking_for_causes_failed", chain=ctx.name, error=str(error))
            return False, found
        self._unheard = 0
        return whole and all_, less_gifts(found, gifts)


async def _uncover(
    ctx: Context, lease: Lease, found: Reconciliation, tripped: Sequence[str]
) -> bool:
    """Whether covers of outflows were taken back: the next look tells what is left."""
    back = 0
    for row in found.rows:
        if row.account != "treasury" or row.token not in tripped or row.difference >= 0:
            continue
        async with ctx.ledger.reading() as tx:
            covered = await cover_of(tx, ctx.name, row.token)
        if not covered or not await told_by_two(ctx, lease, row, found.block):
            continue
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            back += await take_cover_back(tx, ctx.name, row.token, -row.difference)
    return back > 0


class _LookBack:
    """Books what an earlier look has not shown: where a chain has one provider, an empty answer
    of it was believed, and the mark moved on.

    When a difference is proven, and once an hour while it lasts: it is hundreds of calls. Each
    look reads a portion, from the newest block down.
    """

    def __init__(self) -> None:
        self._looked: dict[str, float] = {}
        self._failed = 0
        self._for: set[str] = set()
        self._below: int | None = None
        """Blocks that are left to look through for these tokens end below it."""

    async def finds(
        self,
        ctx: Context,
        lease: Lease,
        finality: Finality,
        found: Reconciliation,
        tripped: Sequence[str],
    ) -> bool:
        """Whether something was booked now: the next look at the books tells what is left.

        :param tripped: tokens whose difference is proven.
        :raises RpcError: the chain does not answer. If that lasts, it has nothing to say: some
            nodes forget the logs of old blocks, and the tokens stop all the same.
        """
        now = ctx.clock.monotonic()
        self._looked = {t: at for t, at in self._looked.items() if t in tripped}
        self._for.intersection_update(tripped)  # whatever differs next lies elsewhere
        due = {t for t in tripped if now - self._looked.get(t, -AGAIN_AFTER) >= AGAIN_AFTER}
        differs = any(row.account == "treasury" and row.difference for row in found.rows)
        if not due or not differs:
            return False
        if not due <= self._for:
            self._for, self._below = due, None
        try:
            booked = await self._portion(ctx, lease, finality)
            self._failed = 0
        except RpcError as error:
            self._failed += 1
            if self._failed < _PATIENCE:
                raise
            booked, self._below = False, None
            ctx.observer.note("looking_back_failed", chain=ctx.name, error=str(error))
        if self._below is None:
            self._looked |= dict.fromkeys(due, now)
            self._for = set()
        return booked

    async def _portion(self, ctx: Context, lease: Lease, finality: Finality) -> bool:
        assert finality.cursor is not None
        final = finality.cursor.final.number
        first = max(finality.cursor.start_block, final - REACH)
        booked = False
        if self._below is None:  # a little at first: what the provider takes is not known yet
            newest = max(first, final - SPARSE + 1)
            booked = await _book_passed_over(ctx, lease, finality, newest, final)
            self._below = newest
        since, last = portion(ctx.client, first, self._below - 1), self._below - 1
        if since <= last:
            booked |= await _book_passed_over(ctx, lease, finality, since, last)
        self._below = None if since <= first else since
        return booked


async def _book_passed_over(
    ctx: Context, lease: Lease, finality: Finality, first: int, last: int
) -> bool:
    _, gifts = await book_gifts(ctx, lease, finality, last, since=first)
    booked, _ = await book_outflows(ctx, lease, finality, since=first, until=last)
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
    ctx: Context,
    lease: Lease,
    finality: Finality,
    *,
    since: int | None = None,
    until: int | None = None,
) -> tuple[int, bool]:
    """Final outflows that the books do not know: whose they are, else suspense and a stop.

    :param since: look from there, and not from the mark.
    :param until: look up to this final block, and not to the newest one.
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
    for receipt in await unknown_outflows(ctx, first, final if until is None else until):
        if not await borne_out(ctx, lease, finality, receipt):
            whole = False
            continue
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            booked += await adopt_outflow(tx, ctx, receipt)
            await close_dispute(tx, ctx, receipt)
    return booked, whole
