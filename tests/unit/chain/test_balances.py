"""Balances in one call: the bytes are those of the ABI, and nonsense is told from an answer."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from chain.balances import (
    MULTICALL3,
    Holding,
    decode_aggregate,
    encode_aggregate,
)
from config.units import Address

ADDRESSES = st.binary(min_size=20, max_size=20).map(Address)


@given(st.lists(st.builds(Holding, st.none() | ADDRESSES, ADDRESSES), max_size=7))
def test_encode__any_holdings__as_the_abi_has_it(holdings: list[Holding]) -> None:
    entries = [
        (
            MULTICALL3 if h.token is None else h.token,
            True,
            bytes.fromhex("4d2301cc" if h.token is None else "70a08231") + bytes(12) + h.owner,
        )
        for h in holdings
    ]
    wanted = bytes.fromhex("82ad56cb") + encode(["(address,bool,bytes)[]"], [entries])
    assert encode_aggregate(holdings) == wanted


def test_decode__failed_call_or_no_word__not_a_balance() -> None:
    answers = [(True, (7).to_bytes(32)), (False, bytes(32)), (True, b""), (True, bytes(64))]
    data = bytes(encode(["(bool,bytes)[]"], [answers]))
    assert decode_aggregate(data, 4) == [7, None, None, None]


@pytest.mark.parametrize("data", [b"", bytes(31), bytes(32), b"\xff" * 64])
def test_decode__no_contract_or_another_one__refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode_aggregate(data, 1)


def test_decode__fewer_answers_than_calls__refused() -> None:
    data = bytes(encode(["(bool,bytes)[]"], [[(True, bytes(32))]]))
    with pytest.raises(ValueError, match="1 answers to 2"):
        decode_aggregate(data, 2)
