"""Asking providers for a block with its receipts until one can prove it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from chain.codec import fixed, quantity
from chain.proofs.receipts import ProvenBlock, prove_header, prove_receipts, prove_transactions
from chain.proofs.rows import BlockRow, ProvableReceiptRow, SignedRow
from chain.rpc.errors import (
    MethodNotSupported,
    NodeBehind,
    NodeError,
    ProofFailed,
    RpcError,
    TooLarge,
    Unreachable,
)
from chain.rpc.pool import Route, RpcPool
from chain.rpc.wire import Call, Shape
from config.units import Hash32, to_hex

BLOCK: Final = Shape(BlockRow | None)
RECEIPT: Final = Shape(ProvableReceiptRow | None)
RECEIPTS: Final = Shape(list[ProvableReceiptRow] | None)


async def proven(
    pool: RpcPool, route: Route, which: int | Hash32, *, transactions: bool
) -> ProvenBlock:
    """The block from the first provider of ``route`` whose answers prove each other.

    A provider that fails the proof is doubted and the next is asked.

    :raises ProofFailed: one at least answered, and none could prove it.
    :raises RpcError: the most recent failure, where nobody answered.
    """
    failed: RpcError | None = None
    left = route
    while (label := pool.best(left)) is not None:
        left = replace(left, excluding=left.excluding | {label})
        try:
            return await _prove(pool, label, which, transactions=transactions)
        except ProofFailed as error:
            pool.doubt(label)
            failed = error
        except RpcError as error:
            if not isinstance(failed, ProofFailed):
                failed = error
    raise failed or Unreachable("no provider is left to ask", where=pool.chain)


async def _prove(
    pool: RpcPool, label: str, which: int | Hash32, *, transactions: bool
) -> ProvenBlock:
    """One provider's block. All of it is of one node's view, so that it fits together."""
    only = Route(only=label)
    row = await pool.request(_block(which, transactions=transactions), only)
    rows = await _receipts(pool, only, row)
    try:
        header = prove_header(row)
        hashes = prove_transactions(row) if transactions else _hashes(row)
        receipts = prove_receipts(row, header, hashes, rows)
    except ValueError as error:
        where = f"{pool.chain}/{label}"
        failure = ProofFailed(
            f"block {which if isinstance(which, int) else to_hex(which)} is not proven: {error}",
            where=where,
            remedy="ask another provider; if all fail alike, this chain cannot be proven",
        )
        failure.provider = label
        raise failure from None
    return ProvenBlock(header, receipts, label, hashes_proven=transactions)


async def _receipts(pool: RpcPool, only: Route, row: BlockRow) -> list[ProvableReceiptRow]:
    """All at once, or one by one in batches where the provider cannot (or not by hash)."""
    try:
        return await pool.request(_block_receipts(row), only)
    except (MethodNotSupported, TooLarge, NodeError):
        questions = [_receipt(tx_hash) for tx_hash in _texts(row)]
    found: list[ProvableReceiptRow] = []
    for answer in await pool.batch(questions, only) if questions else []:
        if isinstance(answer, RpcError):
            raise answer
        found.append(answer)
    return found


def _block(which: int | Hash32, *, transactions: bool) -> Call[BlockRow]:
    by_height = isinstance(which, int)
    wanted = hex(which) if isinstance(which, int) else to_hex(which)

    def build(row: BlockRow | None) -> BlockRow:
        if row is None:
            raise NodeBehind(f"the node has no block {wanted}")
        found = hex(quantity(row.number)) if by_height else row.hash.lower()
        if found != wanted:
            raise ValueError("the answer is another block")
        return row

    method = "eth_getBlockByNumber" if by_height else "eth_getBlockByHash"
    height = which if isinstance(which, int) else None
    return Call(method, (wanted, transactions), BLOCK, build, height=height)


def _block_receipts(block: BlockRow) -> Call[list[ProvableReceiptRow]]:
    def build(rows: list[ProvableReceiptRow] | None) -> list[ProvableReceiptRow]:
        if rows is None:
            raise NodeBehind(f"the node has no receipts of block {block.hash}")
        return rows

    return Call("eth_getBlockReceipts", (block.hash,), RECEIPTS, build)


def _receipt(tx_hash: str) -> Call[ProvableReceiptRow]:
    def build(row: ProvableReceiptRow | None) -> ProvableReceiptRow:
        if row is None:
            raise NodeBehind("the node has no receipt of a transaction of its own block")
        return row

    return Call("eth_getTransactionReceipt", (tx_hash,), RECEIPT, build)


def _texts(row: BlockRow) -> list[str]:
    return [tx.hash if isinstance(tx, SignedRow) else tx for tx in row.transactions]


def _hashes(row: BlockRow) -> list[bytes]:
    return [fixed(text, 32) for text in _texts(row)]
