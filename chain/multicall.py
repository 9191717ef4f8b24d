"""Many questions to contracts in one call, where Multicall3 is.

Multicall3 (https://github.com/mds1/multicall) is at the same address on nearly every chain. A
provider bills one call for it, however many questions it carries, and takes it whatever it
thinks of batches. Who gets no answer asks one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chain.abi import WORD, selector
from chain.client import ChainClient
from chain.model import BlockRef, TxRequest
from chain.rpc.errors import CallReverted
from config.units import Address, parse_address

MULTICALL3: Final = parse_address("0xcA11bde05977b3631167028862bE2a173976CA11")
AT_ONCE: Final = 500
"""Questions in one call: some 6 million gas of ``eth_call``, which ends at 50 million (geth)."""
_AGGREGATE: Final = selector("aggregate3((address,bool,bytes)[])")

Question = tuple[Address, bytes]
"""Whom to call, and with what data."""


def encode_aggregate(questions: Sequence[Question]) -> bytes:
    """Call data of ``aggregate3``, each call allowed to fail by itself. Pure.

    Put together by hand: a thirtieth of eth_abi's time.

    :raises ValueError: questions of different lengths.
    """
    count = len(questions)
    sizes = {len(data) for _, data in questions}
    if len(sizes) > 1:
        raise ValueError("questions in one call must have the same length")
    length = sizes.pop() if sizes else 0
    padded = -(-length // WORD) * WORD
    shape = _word(1) + _word(3 * WORD) + _word(length)
    entries = b"".join(
        [
            target.rjust(WORD, b"\0") + shape + data.ljust(padded, b"\0")
            for target, data in questions
        ]
    )
    size = WORD + len(shape) + padded
    places = b"".join([_word(count * WORD + n * size) for n in range(count)])
    return _AGGREGATE + _word(WORD) + _word(count) + places + entries


def _word(value: int) -> bytes:
    return value.to_bytes(WORD)


def decode_aggregate(data: bytes, count: int) -> list[bytes | None]:
    """The answers in order, ``None`` where a call failed. Pure.

    :raises ValueError: not an answer of ``aggregate3`` to so many calls.
    """
    start = _number(data, 0)
    if _number(data, start) != count:
        raise ValueError(f"{_number(data, start)} answers to {count} calls")
    body = start + WORD
    return [_answer(data, body + _number(data, body + n * WORD)) for n in range(count)]


def _answer(data: bytes, at: int) -> bytes | None:
    """One ``(bool, bytes)``, which begins at ``at``."""
    good = _number(data, at)
    if good not in (0, 1):
        raise ValueError(f"neither yes nor no at byte {at}")
    begin = at + _number(data, at + WORD)
    end = begin + WORD + _number(data, begin)
    if end > len(data):
        raise ValueError(f"an answer ends at byte {end} of {len(data)}")
    return data[begin + WORD : end] if good else None


def _number(data: bytes, at: int) -> int:
    if at + WORD > len(data):
        raise ValueError(f"{len(data)} bytes where a word was expected at byte {at}")
    return int.from_bytes(data[at : at + WORD])


async def aggregated(
    client: ChainClient, questions: Sequence[Question], block: BlockRef = "latest"
) -> list[bytes | None] | None:
    """Answers in order, ``None`` for a call that failed; the whole ``None``: no Multicall3 here.

    :param questions: all of the same length.
    :raises RpcError: the provider does not answer, or does not have the block.
    """
    found: list[bytes | None] = []
    for start in range(0, len(questions), AT_ONCE):
        part = questions[start : start + AT_ONCE]
        try:
            data = await client.call(TxRequest(None, MULTICALL3, encode_aggregate(part)), block)
            found += decode_aggregate(data, len(part))
        except (CallReverted, ValueError):
            return None
    return found
