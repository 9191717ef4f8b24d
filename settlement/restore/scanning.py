"""What left and reached the treasury in a range of blocks, by the chain's own logs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from chain.abi import decode_bool
from chain.answers import read_answer
from chain.client import ChainClient
from chain.helper_contracts import (
    BatchExecuted,
    decode_batch_executed,
    encode_executed,
    executed_topics,
)
from chain.model import TRANSFER_TOPIC, BlockRef, Log, Receipt, TxRequest
from chain.rpc.errors import CallReverted, NodeBehind, RpcError
from config.catalogue import Token
from config.units import Address, Hash32
from ledger.batches import known_onchain_ids
from ledger.comparisons import booked_hashes, own_hashes
from ledger.redo import known_deposits
from ledger.store import Ledger
from settlement.context import Context
from settlement.logs import logs_between
from settlement.outcome import TokenTransfer, transfers_in

_EXECUTED: Final = executed_topics(0, 0)[0]
PROBED: Final = 32
"""On-chain ids looked at beyond the highest that the books know."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a transaction: an execution with its transfers, or transfers without one."""

    event: BatchExecuted | None
    transfers: tuple[TokenTransfer, ...]


async def unknown_outflows(ctx: Context, first: int, last: int) -> list[Receipt]:
    """Transactions that took tokens out of the treasury or used a batch id, which are not booked.

    An execution of a batch that the books know is left to the lane, whoever submitted it. One that
    they do not know counts also where another batch has made the transaction known to them.
    """
    treasury = ctx.contracts.treasury
    executions = await _of_all(
        ctx.client, last, lambda c: logs_between(c, first, last, [treasury], (_EXECUTED,))
    )
    known = await _known(ctx.ledger, ctx.name, executions, treasury)
    tokens = [token.address for token in _tokens(ctx)]
    topics = (TRANSFER_TOPIC, treasury.rjust(32, b"\0"))
    moved: list[Log] = []
    if tokens:
        moved = await _of_all(
            ctx.client, last, lambda c: logs_between(c, first, last, tokens, topics)
        )
    hashes = list(dict.fromkeys([*(e.tx_hash for e in executions), *_hashes_of(moved)]))
    async with ctx.ledger.reading() as tx:
        booked = await booked_hashes(tx, hashes)
    strange = {e.tx_hash for e in executions} - known
    wanted = [h for h in hashes if h in strange or h not in booked | known]
    return await receipts_of(ctx.client, wanted)


@dataclass(frozen=True, slots=True)
class Inflows:
    """Logs of tokens that reached the treasury in blocks ``first … last``: read once, used by all
    that look for something in them."""

    first: int
    last: int
    logs: tuple[Log, ...]

    def within(self, first: int, last: int) -> Inflows | None:
        """Those of fewer blocks; ``None``: not all of them were read."""
        if first < self.first or last > self.last:
            return None
        return Inflows(first, last, tuple(x for x in self.logs if first <= x.block_number <= last))


async def inflows(ctx: Context, first: int, last: int) -> Inflows:
    """What two providers show of these blocks.

    :raises RpcError: they do not.
    """
    tokens = [token.address for token in _tokens(ctx)]
    if not tokens:
        return Inflows(first, last, ())
    topics = (TRANSFER_TOPIC, None, ctx.contracts.treasury.rjust(32, b"\0"))
    found = await _of_all(ctx.client, last, lambda c: logs_between(c, first, last, tokens, topics))
    return Inflows(first, last, tuple(log for log in found if transfers_in([log])))


async def unknown_inflows(ctx: Context, seen: Inflows) -> list[Receipt]:
    """Transactions of others that brought tokens to the treasury: a stranger's may have run a batch
    of ours as well."""
    return await _of_others(ctx, seen.logs)


async def unknown_sweeps(ctx: Context, seen: Inflows) -> list[Receipt]:
    """Those of :func:`unknown_inflows` that emptied addresses of ours: only our keys can.

    Where an address sent by itself, neither its own sponsor's nonce nor an outflow tells of it.
    """
    async with ctx.ledger.reading() as tx:
        ours = await known_deposits(tx, [t.sender for t in transfers_in(seen.logs)])
    return await _of_others(ctx, [x for x in seen.logs if transfers_in([x])[0].sender in ours])


async def _of_others(ctx: Context, logs: Sequence[Log]) -> list[Receipt]:
    hashes = _hashes_of(logs)
    async with ctx.ledger.reading() as tx:
        own = await own_hashes(tx, hashes)
    return await receipts_of(ctx.client, [h for h in hashes if h not in own])


def _hashes_of(logs: Sequence[Log]) -> list[Hash32]:
    """Transactions in which something moved: logs of nothing are anybody's to write."""
    return list(dict.fromkeys(log.tx_hash for log in logs if transfers_in([log])))


async def _of_all(
    client: ChainClient, last: int, ask: Callable[[ChainClient], Awaitable[list[Log]]]
) -> list[Log]:
    """What one provider shows, and a second one: this is looked at once, and an empty answer of
    one that has not indexed it would be believed for good. Receipts bear out what is shown.

    :param last: the block up to which is asked: who does not have it shows nothing of it either.
    """
    other = client.second()
    if other is None:
        return await _shown(client, last, ask)
    told = await asyncio.gather(
        *(_if_able(_shown(view, last, ask)) for view in (client.pinned(), other))
    )
    found = [log for logs in told for log in logs or ()]
    return found if None not in told else [*found, *await _shown(client, last, ask)]


async def _if_able(looking: Awaitable[list[Log]]) -> list[Log] | None:
    """``None``: this provider cannot tell, and may be unable to for good."""
    try:
        return await looking
    except RpcError:
        return None


async def _shown(
    view: ChainClient, last: int, ask: Callable[[ChainClient], Awaitable[list[Log]]]
) -> list[Log]:
    found = await ask(view)
    if await view.block(last) is None:
        raise NodeBehind(f"the node does not have block {last}")
    return found


def _tokens(ctx: Context) -> Sequence[Token]:
    return ctx.ledger.catalogue.payable_tokens(ctx.name)


async def _known(ledger: Ledger, chain: str, logs: Sequence[Log], treasury: Address) -> set[Hash32]:
    """Hashes of the transactions that executed only batches which the books hold."""
    events = [(log.tx_hash, decode_batch_executed(log, treasury)) for log in logs]
    async with ledger.reading() as tx:
        ids = await known_onchain_ids(tx, chain, {e.epoch for _, e in events if e is not None})
    strange = {h for h, e in events if e is not None and (e.epoch, e.batch_id) not in ids}
    return {h for h, _ in events} - strange


async def receipts_of(client: ChainClient, hashes: Sequence[Hash32]) -> list[Receipt]:
    """Receipts in order, of transactions whose logs were just shown.

    :raises NodeBehind: one has none. Either it was reorged away, and the next look shows no log of
        it, or a provider leaves it out: left out here it would never be booked.
    """
    found = dict(zip(hashes, await client.receipts(list(hashes)), strict=True))
    missing = [h for h, receipt in found.items() if receipt is None]
    other = client.second() if missing else None
    if other is not None:
        found |= zip(missing, await other.receipts(missing), strict=True)
    receipts = [r for r in found.values() if r is not None]
    if len(receipts) < len(found):
        raise NodeBehind("the node shows a log and no receipt of its transaction")
    return receipts


def pieces_of(receipt: Receipt, treasury: Address) -> list[Piece]:
    """A receipt's outgoing transfers, cut where a batch ended: its event comes last."""
    pieces: list[Piece] = []
    open_: list[TokenTransfer] = []
    for log in receipt.logs:
        open_ += [t for t in transfers_in([log]) if t.sender == treasury]
        event = decode_batch_executed(log, treasury)
        if event is not None:
            mine = [t for t in open_ if t.token == event.token]
            pieces.append(Piece(event, tuple(mine)))
            open_ = [t for t in open_ if t.token != event.token]
    if open_:
        pieces.append(Piece(None, tuple(open_)))
    return pieces


async def executed_ids(
    client: ChainClient, treasury: Address, epoch: int, first: int, count: int = PROBED
) -> set[int]:
    """Those of ``count`` ids from ``first`` that the treasury has executed."""
    ids = [(epoch, number) for number in range(first, first + count)]
    return {number for _, number in await executed_of(client, treasury, ids)}


async def executed_of(
    client: ChainClient,
    treasury: Address,
    batches: Sequence[tuple[int, int]],
    block: BlockRef = "latest",
) -> set[tuple[int, int]]:
    """Those of these (epoch, id) that the treasury has executed."""
    asked = [TxRequest(None, treasury, encode_executed(*one)) for one in batches]
    answers = await client.calls(asked, block) if asked else []
    return {
        one
        for one, answer in zip(batches, answers, strict=True)
        if not isinstance(answer, CallReverted) and read_answer(answer, decode_bool)
    }
