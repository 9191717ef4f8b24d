"""Ids: shaped as said, sorted by time, and drawn from the given clock and entropy alone."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.ids import PREFIXES, is_id, new_id, new_ids

TIMES = st.datetimes(
    min_value=datetime(2020, 1, 1),  # noqa: DTZ001 - hypothesis wants bounds without a zone
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
BODIES = st.binary(min_size=16, max_size=16)


class Fixed:
    """Entropy that is known beforehand."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def token_bytes(self, length: int) -> bytes:
        assert length == len(self.data)
        return self.data


@given(st.sampled_from(PREFIXES), TIMES, BODIES)
def test_new_id__any_input__has_its_shape(prefix: str, now: datetime, body: bytes) -> None:
    made = new_id(prefix, now, Fixed(body))
    assert is_id(made, prefix)
    assert not any(is_id(made, other) for other in PREFIXES if other != prefix)
    assert made == new_id(prefix, now, Fixed(body))


@given(TIMES, st.integers(1, 10**6), BODIES, BODIES)
def test_new_id__later__sorts_later(now: datetime, later: int, one: bytes, two: bytes) -> None:
    first = new_id("inv", now, Fixed(one))
    second = new_id("inv", now + timedelta(milliseconds=later + 1), Fixed(two))
    assert first < second


@given(TIMES, BODIES, st.integers(0, 15), st.integers(1, 31))
def test_new_id__any_five_bits_otherwise__is_another_id(
    now: datetime, one: bytes, place: int, change: int
) -> None:
    two = one[:place] + bytes([one[place] ^ change]) + one[place + 1 :]
    assert new_id("po", now, Fixed(one)) != new_id("po", now, Fixed(two))


def test_new_id__every_byte__digits_are_equally_likely() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    made = "".join(i[-16:] for i in new_ids("po", now, Fixed(bytes(range(256))), 16))
    assert set(Counter(made).values()) == {8}
    assert len(set(made)) == 32


@given(TIMES, BODIES, BODIES)
def test_new_ids__many__each_from_bytes_of_its_own(now: datetime, one: bytes, two: bytes) -> None:
    singly = [new_id("po", now, Fixed(one)), new_id("po", now, Fixed(two))]
    assert new_ids("po", now, Fixed(one + two), 2) == singly
    assert new_ids("po", now, Fixed(b""), 0) == []


def test_new_id__known_ulid__is_encoded_as_the_specification_says() -> None:
    # The time in the specification's example 01ARZ3NDEKTSV4RRFFQ69G5FAV.
    now = datetime(2016, 7, 30, 23, 54, 10, 259_000, tzinfo=UTC)
    assert new_id("evt", now, Fixed(bytes(16))) == "evt_01arz3ndek" + 16 * "0"
    assert new_id("evt", now, Fixed(b"\xff" * 16)) == "evt_01arz3ndek" + 16 * "z"


def test_new_id__unknown_prefix__is_a_bug() -> None:
    with pytest.raises(AssertionError):
        new_id("nope", datetime(2026, 1, 1, tzinfo=UTC), Fixed(bytes(16)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "inv_",
        "inv_" + "0" * 25,
        "inv_" + "0" * 27,
        "inv_" + "0" * 25 + "l",
        "inv_" + "0" * 25 + "u",
        "inv_" + "0" * 25 + "A",
        "inv_" + "0" * 26 + "\n",
        "INV_" + "0" * 26,
        "inv-" + "0" * 26,
    ],
)
def test_is_id__other_shape__is_refused(text: str) -> None:
    assert not is_id(text, "inv")
