"""Logs: decoded, matched, and held against blooms."""

from __future__ import annotations

import random

import pytest

from chain.bloom import bloom_of
from chain.codec import LogRow
from chain.model import TRANSFER_TOPIC, BlockHeader, Log
from config.units import MAX_AMOUNT, Address, BlockNumber, Hash32
from tests.support.books import digest
from watcher.checks import (
    Evidence,
    accounts_for,
    evidence,
    misplaced,
    not_in_bloom,
    suspiciously_empty,
)
from watcher.decode import decode_transfer
from watcher.filters import FilterChoice, LogFilter
from watcher.match import AddressSet, RowMatcher
from watcher.second_opinion import Claim, holds

OURS = Address(b"\xaa" * 20)
PAYER = Address(b"\xbb" * 20)
TOKEN = Address(b"\xcc" * 20)


def padded(address: bytes) -> bytes:
    return address.rjust(32, b"\0")


def log(**changes: object) -> Log:
    fields: dict[str, object] = {
        "address": TOKEN,
        "topics": (TRANSFER_TOPIC, padded(PAYER), padded(OURS)),
        "data": (7).to_bytes(32),
        "block_number": BlockNumber(5),
        "block_hash": digest(5),
        "tx_hash": digest("tx"),
        "tx_index": 0,
        "log_index": 3,
        **changes,
    }
    return Log(**fields)  # type: ignore[arg-type]


def row(to: bytes, *, block: int = 5) -> LogRow:
    topics = [TRANSFER_TOPIC, padded(PAYER), padded(to)]
    return LogRow(
        address="0x" + TOKEN.hex(),
        topics=["0x" + topic.hex() for topic in topics],
        data="0x" + "00" * 32,
        block_number=hex(block),
        block_hash="0x" + digest(block).hex(),
        transaction_hash="0x" + "11" * 32,
        transaction_index="0x0",
        log_index="0x0",
    )


def header(number: int, logs: list[Log]) -> BlockHeader:
    bloom = bloom_of(logs).to_bytes(256)
    return BlockHeader(
        BlockNumber(number), digest(number), digest(number - 1), 0, bloom, None, 30_000_000
    )


def test_decode__transfer__its_parts() -> None:
    parts = decode_transfer(log(data=MAX_AMOUNT.to_bytes(32)))
    assert parts is not None
    assert (parts.token, parts.sender, parts.recipient) == (TOKEN, PAYER, OURS)
    assert (parts.amount, parts.malformed) == (MAX_AMOUNT, False)


@pytest.mark.parametrize(
    "changes",
    [
        {"topics": (TRANSFER_TOPIC, padded(PAYER), padded(OURS), bytes(32))},
        {"data": b""},
        {"data": bytes(31)},
        {"data": bytes(33)},
        {"topics": (TRANSFER_TOPIC, padded(PAYER), b"\1" + padded(OURS)[1:])},
        {"topics": (TRANSFER_TOPIC, b"\1" + padded(PAYER)[1:], padded(OURS))},
    ],
    ids=["four_topics", "no_data", "short", "long", "dirty_recipient", "dirty_sender"],
)
def test_f23_decode__wrong_shape__malformed_but_attributed(changes: dict[str, object]) -> None:
    parts = decode_transfer(log(**changes))
    assert parts is not None
    assert parts.malformed
    assert parts.recipient == OURS


@pytest.mark.parametrize(
    "topics", [(), (TRANSFER_TOPIC,), (TRANSFER_TOPIC, padded(PAYER)), (bytes(32),) * 3]
)
def test_f23_decode__no_recipient_or_another_event__none(topics: tuple[bytes, ...]) -> None:
    assert decode_transfer(log(topics=topics)) is None


def test_address_set__ten_thousand__all_found_no_stranger() -> None:
    dice = random.Random(1)
    ours = [Address(dice.randbytes(20)) for _ in range(10_000)]
    addresses = AddressSet()
    addresses.add(ours)
    assert len(addresses) == 10_000
    assert all(address in addresses for address in ours)
    assert not any(dice.randbytes(20) in addresses for _ in range(10_000))


def test_address_set__last_bytes_zero__still_found() -> None:
    addresses = AddressSet()
    zero_tail = Address(b"\x01" * 12 + bytes(8))
    assert zero_tail not in addresses
    addresses.add([zero_tail])
    assert zero_tail in addresses


def test_address_set__few__asked_for_by_topic_until_too_many() -> None:
    addresses = AddressSet(few=2)
    choice = FilterChoice()
    assert choice.choose(addresses).asks_nothing
    addresses.add([OURS, PAYER])
    assert choice.choose(addresses).recipients == (OURS, PAYER)
    assert choice.choose(addresses, stream=True).recipients is None
    addresses.add([TOKEN])
    assert choice.choose(addresses).recipients is None


def test_matcher__keeps_ours_and_remembers_the_rest() -> None:
    addresses = AddressSet()
    addresses.add([OURS])
    matcher = RowMatcher(addresses)
    mine, stranger = row(OURS), row(PAYER, block=6)
    short = row(OURS)
    short.topics = short.topics[:2]
    assert matcher.keep([mine, stranger, short]) == [0]
    assert (matcher.read, matcher.heights()) == (3, {5, 6})
    assert matcher.any_to([PAYER])
    assert not matcher.any_to([TOKEN])


def test_misplaced__other_hash_or_height__named() -> None:
    headers = [header(5, [])]
    assert misplaced(headers, [log()]) is None
    assert "another block's hash" in str(misplaced(headers, [log(block_hash=digest(9))]))
    assert "not asked for" in str(misplaced(headers, [log(block_number=6)]))


def test_bloom__log_not_admitted__its_block_named() -> None:
    assert not_in_bloom([header(5, [log()])], [log()]) == []
    assert not_in_bloom([header(5, [])], [log()]) == [5]


def test_f05_empty_answer__bloom_holds_the_transfer__suspicious() -> None:
    full, empty = header(5, [log()]), header(6, [])
    ours, others = LogFilter((OURS,)), LogFilter((TOKEN,))
    assert suspiciously_empty([full, empty], set(), ours) == [full]
    assert suspiciously_empty([full, empty], set(), LogFilter(None)) == [full]
    assert suspiciously_empty([full, empty], {5}, ours) == []
    assert suspiciously_empty([full, empty], set(), others) == []
    assert suspiciously_empty([full], set(), LogFilter(())) == []


def test_f05_unfiltered_logs__explain_the_bloom_or_lack_some() -> None:
    other = log(topics=(b"\x01" * 32,), log_index=4)
    block = header(5, [log(), other])
    assert accounts_for(block, [log(), other])
    assert not accounts_for(block, [log()])
    assert not accounts_for(block, [])
    assert accounts_for(header(5, [log()]), [log(), other]), "a bloom may lack system logs"
    assert not accounts_for(block, [log(block_hash=digest(9)), other])


def test_evidence__crowded_bloom__says_maybe_only() -> None:
    assert evidence(b"\xff" * 256, LogFilter(None)) is Evidence.WEAK
    assert evidence(bytes(256), LogFilter(None)) is Evidence.NONE
    assert evidence(header(5, [log()]).logs_bloom, LogFilter(None)) is Evidence.STRONG


def receipt(*logs: Log, status: int = 1, block: Hash32 | None = None) -> object:
    from chain.model import Receipt

    return Receipt(
        digest("tx"), block or digest(5), BlockNumber(5), 0, status, 0, 0, 0, PAYER, TOKEN, None,
        logs,
    )  # fmt: skip


CLAIM = Claim(digest("tx"), digest(5), 0, TOKEN, PAYER, OURS, 7, 5)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (receipt(log()), True),
        (None, False),
        (receipt(log(), status=0), False),
        (receipt(log(), block=digest(6)), False),
        (receipt(), False),
        (receipt(log(data=(8).to_bytes(32))), False),
        (receipt(log(address=PAYER)), False),
        (receipt(log(data=bytes(31) + b"\7" + b"\0")), False),
    ],
    ids=["borne_out", "unknown", "reverted", "other_block", "no_log", "amount", "token", "shape"],
)
def test_second_opinion__table(answer: object, expected: bool) -> None:
    assert holds(answer, CLAIM) is expected  # type: ignore[arg-type]
