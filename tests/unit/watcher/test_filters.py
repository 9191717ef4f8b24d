"""By address or everything: the cheaper one, by what was measured."""

from __future__ import annotations

import random

import pytest

from chain.bloom import mask
from chain.client import TOPIC_VALUES
from chain.model import TRANSFER_TOPIC, BlockHeader
from config.units import Address, BlockNumber
from tests.support.books import digest
from watcher.filters import (
    ADDRESSES_PER_LOG,
    ALWAYS_BY_TOPIC,
    FilterChoice,
    cheaper_by_topic,
    logs_in,
)
from watcher.match import FEW, AddressSet


def block(logs: int, seed: int = 1) -> BlockHeader:
    """A header as ``logs`` Transfers of twelve tokens leave it."""
    dice = random.Random(seed)
    tokens = [mask(dice.randbytes(20)) for _ in range(12)]
    bits = mask(TRANSFER_TOPIC) if logs else 0
    for _ in range(logs):
        bits |= dice.choice(tokens) | mask(dice.randbytes(32)) | mask(dice.randbytes(32))
    return BlockHeader(
        BlockNumber(seed), digest(seed), digest(seed - 1), 0, bits.to_bytes(256), None, 0
    )


@pytest.mark.parametrize("logs", [0, 1, 20, 200, 500])
def test_logs_in__bloom_of_so_many__about_as_many(logs: int) -> None:
    found = sum(logs_in(block(logs, seed).logs_bloom) for seed in range(10)) / 10
    assert found == pytest.approx(logs, rel=0.15, abs=8)


def test_logs_in__full_bloom__very_many_and_no_error() -> None:
    assert logs_in(b"\xff" * 256) > 1_000


@pytest.mark.parametrize(
    ("addresses", "logs", "now", "expected"),
    [
        (0, None, True, True),
        (ALWAYS_BY_TOPIC, 0.0, False, True),
        (900, None, True, True),
        (900, 10.0, True, False),
        (900, 200.0, True, True),
        (900, 200.0, False, True),
        (110 * ADDRESSES_PER_LOG, 100.0, True, True),
        (110 * ADDRESSES_PER_LOG, 100.0, False, False),
        (90 * ADDRESSES_PER_LOG, 100.0, True, True),
        (90 * ADDRESSES_PER_LOG, 100.0, False, False),
        (130 * ADDRESSES_PER_LOG, 100.0, True, False),
        (70 * ADDRESSES_PER_LOG, 100.0, False, True),
    ],
    ids=[
        "nobody", "very_few_on_a_silent_chain", "nothing_known_yet", "quiet_chain",
        "busy_chain", "busy_chain_back", "little_dearer_stays", "little_dearer_not_begun",
        "little_cheaper_stays", "little_cheaper_not_begun", "clearly_dearer", "clearly_cheaper",
    ],
)  # fmt: skip
def test_cheaper_by_topic__table(
    addresses: int, logs: float | None, now: bool, expected: bool
) -> None:
    assert cheaper_by_topic(addresses, logs, now=now) is expected


def many(count: int) -> AddressSet:
    addresses = AddressSet()
    addresses.add(Address(i.to_bytes(20)) for i in range(count))
    return addresses


def test_choice__few_enough_for_one_request() -> None:
    assert FEW <= TOPIC_VALUES
    assert FilterChoice().choose(many(FEW + 1)).recipients is None


def test_choice__chain_falls_silent__everything_is_read_and_by_topic_again_when_busy() -> None:
    choice, addresses = FilterChoice(), many(500)
    quiet, busy = [block(5)], [block(200)]
    choice.saw(busy)
    assert choice.choose(addresses).recipients is not None
    for _ in range(20):
        choice.saw(quiet)
    assert choice.choose(addresses).recipients is None
    for _ in range(20):
        choice.saw(busy)
    assert choice.choose(addresses).recipients is not None


def test_choice__nothing_changed__the_same_filter_with_its_bloom_bits() -> None:
    choice, addresses = FilterChoice(), many(50)
    first = choice.choose(addresses)
    assert choice.choose(addresses) is first
    addresses.add([Address(b"\xff" * 20)])
    assert choice.choose(addresses) != first
