"""Each question to a chain, with what its answer must look like to be believed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, Final

from chain.codec import (
    FeeHistoryRow,
    HeaderRow,
    LogRow,
    ReceiptRow,
    TransactionRow,
    blob,
    block_param,
    place,
    quantity,
    to_header,
    to_log,
    to_receipt,
    tx_param,
)
from chain.fees import HISTORY_BLOCKS, PERCENTILE, quote
from chain.log_page import LogPage, PageShape, SlimLog, as_page
from chain.model import BlockHeader, BlockRef, FeeQuote, Log, Receipt, TxRequest
from chain.rpc.errors import NodeBehind
from chain.rpc.wire import Call, Shape
from config.units import Address, Hash32, to_hex

TEXT: Final = Shape(str)
HEADER: Final = Shape(HeaderRow | None)
LOGS: Final = Shape(list[LogRow])
LOG_PAGE: Final = PageShape()
RECEIPT: Final = Shape(ReceiptRow | None)
RECEIPTS: Final = Shape(list[ReceiptRow] | None)
TRANSACTION: Final = Shape(TransactionRow | None)
FEE_HISTORY: Final = Shape(FeeHistoryRow)

Topics = Sequence[bytes | Collection[bytes] | None]
"""Per position: one value, any of several, or anything (EIP-234's filter)."""

Keep = Callable[[Sequence[SlimLog | LogRow]], list[int]]
"""Positions of the logs worth building, of all in a reply: judged on the JSON text, in bulk."""

Heed = Callable[[Log], object]
"""Raises ValueError for a log that no honest provider shows."""


def number_of(method: str, *params: object) -> Call[int]:
    """A call whose answer is a quantity."""
    return Call(method, params, TEXT, quantity)


def bytes_of(method: str, *params: object) -> Call[bytes]:
    """A call whose answer is bytes."""
    return Call(method, params, TEXT, blob)


def block(which: int | str) -> Call[BlockHeader | None]:
    """A header by height (checked against the answer) or by tag."""
    height = which if isinstance(which, int) else None
    param = hex(height) if height is not None else which

    def build(row: HeaderRow | None) -> BlockHeader | None:
        if row is None:
            # Every chain has a newest block: one who denies it is of no use, not merely late.
            if which == "latest":
                raise ValueError("null for the newest block")
            return None
        header = to_header(row)
        if height is not None and header.number != height:
            raise ValueError(f"asked for block {height}, got {header.number}")
        return header

    return Call(
        "eth_getBlockByNumber",
        (param, False),
        HEADER,
        build,
        null_is_late=height is not None,
        height=height,
    )


def required_block(height: int) -> Call[BlockHeader]:
    """A header that must exist.

    :raises NodeBehind: (from the pool) the node has no such block.
    """
    optional = block(height)

    def build(row: HeaderRow | None) -> BlockHeader:
        header = optional.build(row)
        if header is None:
            raise NodeBehind(f"the node has no block {height}")
        return header

    return Call(optional.method, optional.params, HEADER, build, height=height)


def block_by_hash(block_hash: Hash32) -> Call[BlockHeader | None]:
    """A header by hash (checked against the answer), canonical or not."""

    def build(row: HeaderRow | None) -> BlockHeader | None:
        if row is None:
            return None
        header = to_header(row)
        if header.hash != block_hash:
            raise ValueError("the answer is another block")
        return header

    params = (to_hex(block_hash), False)
    return Call("eth_getBlockByHash", params, HEADER, build, null_is_late=True)


def logs_in_range(
    first: int,
    last: int,
    addresses: Collection[Address] | None,
    topics: Topics,
    keep: Keep | None = None,
) -> Call[list[Log]]:
    """Logs of blocks ``first … last``; one outside the range or the filter is a bad reply.

    :param keep: picks the rows to build; the others are checked for their place only.
    """
    params = _filter(addresses, topics) | {"fromBlock": hex(first), "toBlock": hex(last)}

    def build(result: LogPage | list[LogRow]) -> list[Log]:
        page = as_page(result)
        # Over the distinct values: a reply of 20,000 logs has a hundred block numbers.
        heights = {row.block_number for row in page.rows}
        if not all(first <= quantity(height) <= last for height in heights):
            raise ValueError(f"a log lies outside blocks {first}-{last}")
        return _matching(page, addresses, topics, keep)

    return Call("eth_getLogs", (params,), LOG_PAGE if keep else LOGS, build)


def logs_of_block(
    block_hash: Hash32,
    addresses: Collection[Address] | None,
    topics: Topics,
    keep: Keep | None = None,
) -> Call[list[Log]]:
    """Logs of exactly one block (EIP-234 ``blockHash``)."""
    text = to_hex(block_hash)
    params = _filter(addresses, topics) | {"blockHash": text}

    def build(rows: list[LogRow]) -> list[Log]:
        if any(found.lower() != text for found in {row.block_hash for row in rows}):
            raise ValueError("a log is of another block")
        if len({place(found) for found in {row.block_number for row in rows}}) > 1:
            raise ValueError("logs of one block name several heights")
        return _matching(LogPage(rows, None), addresses, topics, keep)

    return Call("eth_getLogs", (params,), LOGS, build)


def _filter(addresses: Collection[Address] | None, topics: Topics) -> dict[str, object]:
    fields: dict[str, object] = {
        "topics": [
            None if want is None else to_hex(want) if isinstance(want, bytes) else _texts(want)
            for want in topics
        ]
    }
    if addresses is not None:
        fields["address"] = _texts(addresses)
    return fields


def _texts(values: Collection[bytes]) -> list[str]:
    return [to_hex(value) for value in values]


def _matching(
    page: LogPage,
    addresses: Collection[Address] | None,
    topics: Topics,
    keep: Keep | None,
) -> list[Log]:
    """Logs that are kept, in chain order, each once and each as asked."""
    wanted_rows = range(len(page.rows)) if keep is None else keep(page.rows)
    logs = [to_log(row) for row in page.whole(wanted_rows)]
    if any(log.removed for log in logs):
        raise ValueError("a log is removed")
    wanted = None if addresses is None else set(addresses)
    allowed = [
        None if want is None else {want} if isinstance(want, bytes) else set(want)
        for want in topics
    ]
    for log in logs:
        if wanted is not None and log.address not in wanted:
            raise ValueError("a log is of a contract that was not asked for")
        for position, want in enumerate(allowed):
            if want is not None and (
                position >= len(log.topics) or log.topics[position] not in want
            ):
                raise ValueError("a log has a topic that was not asked for")
    places = {(log.block_hash, log.log_index) for log in logs}
    if len(places) != len(logs):
        raise ValueError("a log comes twice")
    logs.sort(key=lambda log: (log.block_number, log.log_index))
    return logs


def receipt(tx_hash: Hash32, heed: Heed | None = None) -> Call[Receipt | None]:
    """A receipt; ``None`` while the transaction is not in a block.

    :param heed: refuses its logs.
    """

    def build(row: ReceiptRow | None) -> Receipt | None:
        found = None if row is None else to_receipt(row)
        if found is not None and found.tx_hash != tx_hash:
            raise ValueError("the receipt is of another transaction")
        if found is not None and heed is not None:
            for log in found.logs:
                heed(log)
        return found

    return Call("eth_getTransactionReceipt", (to_hex(tx_hash),), RECEIPT, build)


def heeding_logs(asked: Call[list[Log]], heed: Heed | None) -> Call[list[Log]]:
    """The same question; an answer with a log that ``heed`` refuses is a bad reply."""
    if heed is None:
        return asked

    def build(result: Any) -> list[Log]:
        found = asked.build(result)
        for log in found:
            heed(log)
        return found

    return replace(asked, build=build)


def transaction_block(tx_hash: Hash32) -> Call[tuple[bool, int | None]]:
    """(known to the node?, block that holds it)."""

    def build(row: TransactionRow | None) -> tuple[bool, int | None]:
        if row is None:
            return False, None
        if row.hash.lower() != to_hex(tx_hash):
            raise ValueError("the answer is another transaction")
        return True, None if row.block_number is None else place(row.block_number)

    return Call("eth_getTransactionByHash", (to_hex(tx_hash),), TRANSACTION, build)


def call(tx: TxRequest, at: BlockRef) -> Call[bytes]:
    """Simulate; the answer is the return data."""
    return bytes_of("eth_call", tx_param(tx), block_param(at))


def balance(owner: Address, at: BlockRef) -> Call[int]:
    """Native coin in wei."""
    return number_of("eth_getBalance", to_hex(owner), block_param(at))


def balance_of(token: Address, owner: Address, at: BlockRef) -> Call[int]:
    """``balanceOf(owner)`` of an ERC-20 token (EIP-20) in base units."""
    data = bytes.fromhex("70a08231") + owner.rjust(32, b"\0")
    inner = call(TxRequest(None, token, data), at)

    def build(text: str) -> int:
        word = blob(text)
        if len(word) != 32:
            raise ValueError("balanceOf did not return one word: is the token a contract?")
        return int.from_bytes(word, "big")

    return Call(inner.method, inner.params, TEXT, build)


def fee_history(least_tip: int) -> Call[FeeQuote]:
    """A quote from the last blocks' base fees and tips (EIP-1559)."""

    def build(row: FeeHistoryRow) -> FeeQuote:
        base_fees = [quantity(fee) if fee else 0 for fee in row.base_fee_per_gas or []]
        rewards = [quantity(block[0]) for block in row.reward or [] if block]
        return quote(base_fees, rewards, row.gas_used_ratio or [], least_tip=least_tip)

    params: tuple[Any, ...] = (hex(HISTORY_BLOCKS), "latest", [PERCENTILE])
    return Call("eth_feeHistory", params, FEE_HISTORY, build)
