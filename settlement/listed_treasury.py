"""The treasury on a token issuer's list: one hold for the token, which ends by itself.

Circle's token refuses what would be sent to it or by it. Tether's takes in what is sent, and who
keeps the list may destroy what lies there: what is still at deposit addresses, for which the
collector's owner can open another sink, has to stay where it is.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from chain.client import ChainClient
from config.catalogue import Token
from ledger.holds import close_holds, hold, open_places
from ledger.leases import Lease, check
from settlement.context import Context
from settlement.simulation import blacklisted, is_token_paused

TREASURY_LISTED: Final = (
    "the treasury is blacklisted by the token's issuer: nothing is swept into it or paid out of it"
)


async def issuer_stops(ctx: Context, lease: Lease, token: Token, since: int | None) -> bool | None:
    """Whether the token is paused, as :func:`settlement.simulation.is_token_paused` has it.

    ``None``: nothing of it may move now, and a hold says why: the treasury is listed, or two
    providers differ about that or the pause.
    """
    paused, listed = await asyncio.gather(
        is_token_paused(ctx, lease, token, since), _treasury_listed(ctx, lease, token, since)
    )
    return None if listed is not False else paused


async def _treasury_listed(
    ctx: Context, lease: Lease, token: Token, since: int | None
) -> bool | None:
    async def ask(client: ChainClient) -> bool:
        view = replace(ctx, client=client)
        return bool(await blacklisted(view, token.address, [ctx.contracts.treasury]))

    what = f"treasury on the list of {token.symbol}"
    listed = await ctx.disputes.agreed(ctx, lease, what, ask, since=since)
    if listed is not None:
        await _tell(ctx, lease, token, listed=listed)
    return listed


async def _tell(ctx: Context, lease: Lease, token: Token, *, listed: bool) -> None:
    place = f"{ctx.name}/{token.symbol}/treasury/listed"
    async with ctx.ledger.reading() as tx:
        known = place in await open_places(tx, "batch", place)
    if known == listed:
        return
    async with ctx.ledger.transaction() as tx:
        await check(tx, lease)
        if listed:
            await hold(tx, "batch", "treasury", place, TREASURY_LISTED)
        else:
            await close_holds(tx, "batch", place, "it is listed no more")
    ctx.observer.note("treasury_listed", chain=ctx.name, token=token.symbol, listed=listed)
