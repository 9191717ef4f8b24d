"""The native coin's books: what the sponsors hold, at the last final block.

Gas is booked transaction by transaction (:mod:`settlement.finish`). What else moves a
sponsor's balance is seen here, by comparing it with the books::

    more than booked    the owner has topped up: his capital, booked as such
    less than booked    coin left without a transaction of ours: *suspense out*, a hold

The house's own addresses count together: a sponsor's top-up of a deposit account on a
chain without EIP-7702 moves nothing between the house and the world.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from chain.balances import Holding, aggregated
from chain.client import ChainClient
from chain.rpc.errors import RpcError
from config.units import Address
from ledger.attempts import Attempt, open_attempts
from ledger.batches import topped_up
from ledger.books import post, totals_of
from ledger.cursors import BlockMark, get_cursor
from ledger.holds import hold
from ledger.lanes import all_lanes
from ledger.leases import Lease, check
from ledger.postings import AccountKind, AccountRef, Totals, Transfer, balance
from ledger.store import Ledger, Tx
from settlement.agreed import agreed
from settlement.context import Context
from settlement.receipts import each_receipt
from settlement.reconcile import AccountRow

NATIVE_DECIMALS: Final = 18
_FEW: Final = 10
"""So many balances cost no more than the answer that there is no Multicall3."""


@dataclass(frozen=True, slots=True)
class NativeLook:
    """Wei at one final block.

    :param booked: what the books say, less gas that is final on chain and not booked yet.
    """

    block: BlockMark
    booked: int
    chain: int
    totals: Totals

    @property
    def difference(self) -> int:
        """Chain less books."""
        return self.chain - self.booked


@dataclass(frozen=True, slots=True)
class _Books:
    final: BlockMark
    totals: Totals
    attempts: list[Attempt]
    addresses: list[Address]


async def look_at_native(
    client: ChainClient, ledger: Ledger, native: str, sponsors: Collection[Address]
) -> NativeLook | None:
    """Compare; nothing is written. ``None`` before the watcher's first block.

    :raises RpcError: the chain does not answer, or has no state at its final block any more.
    """
    books = await _books(ledger, AccountRef(AccountKind.SPONSORS, client.name, native), sponsors)
    return None if books is None else await _compared(client, books)


async def _books(
    ledger: Ledger, account: AccountRef, sponsors: Collection[Address]
) -> _Books | None:
    async with ledger.reading() as tx:
        if tx.dialect == "postgresql":
            await tx.conn.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        return await _read(tx, account, sponsors)


async def _compared(client: ChainClient, books: _Books) -> NativeLook:
    unbooked = 0
    async for receipt in each_receipt(client, [a.tx_hash for a in books.attempts]):
        if receipt.block_number <= books.final.number:
            unbooked += receipt.fee
    booked = balance(AccountKind.SPONSORS, books.totals) - unbooked
    held = await _held(client, books, booked)
    return NativeLook(books.final, booked, held, books.totals)


async def _held(client: ChainClient, books: _Books, booked: int) -> int:
    """What lies at all of them: through Multicall3, where they are many and it tells what is
    booked; else each is asked for by itself."""
    if len(books.addresses) > _FEW:
        holdings = [Holding(None, address) for address in books.addresses]
        told = await aggregated(client, holdings, books.final.hash)
        if told is not None and None not in told and sum(wei or 0 for wei in told) == booked:
            return booked
    return sum(await client.balances(books.addresses, books.final.hash))


async def native_row(
    client: ChainClient, ledger: Ledger, native: str, sponsors: Collection[Address]
) -> AccountRow | None:
    """The same as a line of a reconciliation: what was topped up since the last look is
    explained, what is missing is a difference."""
    found = await look_at_native(client, ledger, native, sponsors)
    if found is None:
        return None
    more = max(found.difference, 0)
    explained = {"top-up that is not booked yet": more} if more else {}
    return AccountRow("sponsors", native, NATIVE_DECIMALS, found.booked, 0, found.chain, explained)


async def _read(tx: Tx, account: AccountRef, sponsors: Collection[Address]) -> _Books | None:
    cursor = await get_cursor(tx, account.chain)
    if cursor is None:
        return None
    senders = {lane.sender for lane in await all_lanes(tx, account.chain)}
    return _Books(
        cursor.final,
        (await totals_of(tx, [account]))[account],
        await open_attempts(tx, account.chain),
        sorted({*sponsors, *senders, *await topped_up(tx, account.chain)}),
    )


async def book_native(ctx: Context, lease: Lease) -> None:
    """Book what the comparison found; a provider without the state leaves it for later."""
    native = ctx.chain.native_symbol
    account = AccountRef(AccountKind.SPONSORS, ctx.name, native)
    sponsors = [ctx.wallets.sponsor("sweeps").address, ctx.wallets.sponsor("payouts").address]
    books = await _books(ctx.ledger, account, sponsors)
    if books is None:
        return
    found: NativeLook | None
    try:
        found = await _compared(ctx.client, books)
        if found.difference:
            # It is booked for good. Both are asked about one block: the final one moves on
            # meanwhile, and on a fast chain two looks of their own would never agree.
            found = await agreed(ctx.client, lambda c: _compared(c, books))
    except RpcError as error:
        ctx.observer.note("native_not_compared", chain=ctx.name, error=str(error))
        return
    if found is None or not found.difference:
        return
    async with ctx.ledger.transaction() as tx:
        await check(tx, lease)
        if (await totals_of(tx, [account]))[account] != found.totals:
            return  # gas was booked meanwhile: the next look has both sides again
        await _book(tx, ctx, account, found)


async def _book(tx: Tx, ctx: Context, account: AccountRef, found: NativeLook) -> None:
    block, wei = found.block.number, abs(found.difference)
    key = f"native:{ctx.name}:{found.block.hash.hex()}:{found.booked}"
    if found.difference > 0:
        owner = AccountRef(AccountKind.OWNER, ctx.name, account.token)
        await post(tx, [Transfer(key, account, owner, wei, "gas_top_up", f"block:{block}")])
        return
    suspense = AccountRef(AccountKind.SUSPENSE_OUT, ctx.name, account.token)
    await post(tx, [Transfer(key, suspense, account, wei, "unexplained", f"block:{block}")])
    reason = f"{wei} wei left the sponsors without a transaction of ours, up to block {block}"
    await hold(tx, "batch", "sponsor", f"{ctx.name}/{account.token}/native", reason)
    ctx.observer.note("native_coin_gone", chain=ctx.name, block=block, wei=str(wei))
