"""Many questions in one call: the bytes are those of the ABI, and nonsense is told from an answer."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from chain.balances import Holding, to_balance, to_question
from chain.multicall import MULTICALL3, decode_aggregate, encode_aggregate
from config.units import Address

ADDRESSES = st.binary(min_size=20, max_size=20).map(Address)


@given(st.integers(0, 70), st.data())
def test_encode__any_questions_of_one_length__as_the_abi_has_it(
    length: int, data: st.DataObject
) -> None:
    questions = data.draw(
        st.lists(st.tuples(ADDRESSES, st.binary(min_size=length, max_size=length)), max_size=7)
    )
    entries = [(target, True, asked) for target, asked in questions]
    wanted = bytes.fromhex("82ad56cb") + encode(["(address,bool,bytes)[]"], [entries])
    assert encode_aggregate(questions) == wanted


def test_encode__questions_of_different_lengths__refused() -> None:
    with pytest.raises(ValueError, match="same length"):
        encode_aggregate([(MULTICALL3, b"1"), (MULTICALL3, b"12")])


def test_balances__of_tokens_and_native_coin__asked_of_whom_knows_them() -> None:
    owner, token = Address(b"o" * 20), Address(b"t" * 20)
    assert to_question(Holding(None, owner)) == (
        MULTICALL3,
        bytes.fromhex("4d2301cc") + bytes(12) + owner,
    )
    assert to_question(Holding(token, owner)) == (
        token,
        bytes.fromhex("70a08231") + bytes(12) + owner,
    )


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=70)), max_size=7))
def test_decode__any_answers__what_the_abi_says(answers: list[tuple[bool, bytes]]) -> None:
    data = bytes(encode(["(bool,bytes)[]"], [answers]))
    wanted = [answer if good else None for good, answer in answers]
    assert decode_aggregate(data, len(answers)) == wanted


def test_balance__failed_call_or_no_word__not_a_balance() -> None:
    assert [to_balance(answer) for answer in ((7).to_bytes(32), None, b"", bytes(64))] == [
        7, None, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize("data", [b"", bytes(31), bytes(32), b"\xff" * 64, bytes(31) + b" "])
def test_decode__no_contract_or_another_one__refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode_aggregate(data, 1)


@given(st.integers(0, 223))
def test_decode__answer_cut_off__refused(kept: int) -> None:
    data = bytes(encode(["(bool,bytes)[]"], [[(True, bytes(32)), (True, b"")]]))
    with pytest.raises(ValueError):
        decode_aggregate(data[:kept], 2)


def test_decode__fewer_answers_than_calls__refused() -> None:
    data = bytes(encode(["(bool,bytes)[]"], [[(True, bytes(32))]]))
    with pytest.raises(ValueError, match="1 answers to 2"):
        decode_aggregate(data, 2)


def test_decode__neither_yes_nor_no__refused() -> None:
    data = bytearray(encode(["(bool,bytes)[]"], [[(True, bytes(32))]]))
    data[3 * 32 + 31] = 2
    with pytest.raises(ValueError, match="neither yes nor no"):
        decode_aggregate(bytes(data), 1)
