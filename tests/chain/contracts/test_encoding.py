"""Packing, reverts, token answers: pure, no chain."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from chain.abi import decode_address, decode_bool, decode_uint, decode_values, encode_call, selector
from chain.erc20 import (
    decode_decimals,
    decode_probe,
    decode_symbol,
    encode_balance_of,
    encode_blacklist_probes,
    encode_transfer,
)
from chain.helper_contracts import (
    MAX_ENTRY_AMOUNT,
    PackingError,
    decode_batch_executed,
    decode_pay_batch,
    decode_simulated,
    delegate_of,
    delegation_code,
    encode_pay_batch,
    encode_sweep,
    encode_sweep_many,
    executed_topics,
    pack_batch,
    swept_token,
    unpack_batch,
)
from chain.model import Log
from chain.reverts import describe_revert, error_name
from config.units import ZERO_ADDRESS, Address, Amount, BlockNumber, Hash32

ALICE = Address(b"\xa1" * 20)
addresses = st.binary(min_size=20, max_size=20).filter(any).map(Address)
amounts = st.integers(1, MAX_ENTRY_AMOUNT).map(Amount)


@given(st.lists(st.tuples(addresses, amounts), min_size=1, max_size=50))
def test_pack_batch__unpacked__same_entries(items: list[tuple[Address, Amount]]) -> None:
    packed = pack_batch(items)
    assert len(packed) == 32 * len(items)
    assert unpack_batch(packed) == tuple(items)
    data = encode_pay_batch(1, 2, ALICE, packed, b"\x05" * 65)
    assert decode_pay_batch(data) == (1, 2, ALICE, packed, b"\x05" * 65)
    assert swept_token(encode_sweep(ALICE, packed)) == ALICE
    assert swept_token(encode_sweep_many([(ZERO_ADDRESS, packed), (ALICE, packed)])) == ALICE
    with pytest.raises(ValueError, match="not a call of sweep"):
        swept_token(data)


@pytest.mark.parametrize(
    "items",
    [
        [],
        [(ALICE, Amount(0))],
        [(ALICE, Amount(-1))],
        [(ALICE, Amount(MAX_ENTRY_AMOUNT + 1))],
        [(ZERO_ADDRESS, Amount(1))],
        [(Address(b"\x01" * 19), Amount(1))],
    ],
)
def test_pack_batch__unpayable_entry__refused(items: list[tuple[Address, Amount]]) -> None:
    with pytest.raises(PackingError):
        pack_batch(items)


@pytest.mark.parametrize("cut", [1, 31, 33])
def test_unpack_batch__cut_off__refused(cut: int) -> None:
    with pytest.raises(ValueError, match="whole number"):
        unpack_batch(bytes(cut))


def test_decode_pay_batch__something_else_or_cut_off__refused() -> None:
    data = encode_pay_batch(1, 2, ALICE, bytes(32), bytes(65))
    for bad in (b"", encode_transfer(ALICE, Amount(1)), data[:-1], data[:100]):
        with pytest.raises(ValueError, match=r"not a call|do not decode"):
            decode_pay_batch(bad)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "failed without a reason (no code, not delegated, or out of gas)"),
        (encode_call("Error(string)", "short of money"), "short of money"),
        (encode_call("Error(string)", "x" * 500)[:196], "x" * 128),
        (encode_call("Error(string)", ""), "reverted with an empty message"),
        (encode_call("Error(string)", "\x1b[31mred\n"), "[31mred"),
        (encode_call("Panic(uint256)", 0x11), "panic: arithmetic overflow"),
        (encode_call("Panic(uint256)", 0x99), "panic: code 0x99"),
        (encode_call("WrongEpoch(uint64)", 3), "WrongEpoch(3)"),
        (encode_call("NotOwner()"), "NotOwner()"),
        (encode_call("WrongEpoch(uint64)", 3)[:10], "WrongEpoch(uint64)"),
        (
            encode_call("ERC20InvalidReceiver(address)", ALICE),
            "ERC20InvalidReceiver(0xA1A1a1a1A1A1A1A1A1a1a1a1a1a1A1A1a1A1a1a1)",
        ),
        (b"\x12\x34\x56\x78", "reverted with 0x12345678"),
        (selector("Error(string)"), "reverted with an empty message"),
        (selector("Panic(uint256)"), "reverted with 0x4e487b71"),
    ],
)
def test_describe_revert__named_cases(data: bytes, text: str) -> None:
    assert describe_revert(data) == text


@given(
    st.binary(max_size=300),
    st.sampled_from(["", "Error(string)", "WithdrawalFailed(bytes)", "Panic(uint256)"]),
)
def test_describe_revert__any_bytes__one_bounded_printable_line(body: bytes, head: str) -> None:
    text = describe_revert((selector(head) if head else b"") + body)
    assert text.isprintable()
    assert 0 < len(text) <= 200
    error_name(body)


def test_describe_revert__nested_withdrawals__does_not_recurse_for_ever() -> None:
    data = encode_call("Error(string)", "deep")
    for _ in range(2_000):
        data = encode_call("WithdrawalFailed(bytes)", data)
    assert describe_revert(data).isprintable()


def test_answers__malformed__are_errors_not_values() -> None:
    for decoder in (decode_uint, decode_bool, decode_address):
        with pytest.raises(ValueError, match="32-byte word"):
            decoder(b"")
    with pytest.raises(ValueError, match="boolean"):
        decode_bool((2).to_bytes(32))
    with pytest.raises(ValueError, match="20 bytes"):
        decode_address(b"\xff" * 32)
    with pytest.raises(ValueError, match="255"):
        decode_decimals((256).to_bytes(32))
    with pytest.raises(ValueError, match="do not decode"):
        decode_values(["string"], b"\x20")


@pytest.mark.parametrize(
    ("data", "symbol"),
    [
        (encode(["string"], ["USDC"]), "USDC"),
        (b"MKR".ljust(32, b"\0"), "MKR"),
        (encode(["string"], ["US\u202eD\x00C"]), "USDC"),
        (encode(["string"], ["A" * 500]), "A" * 64),
        (b"\xff" * 32, "\ufffd" * 32),
    ],
)
def test_decode_symbol__string_bytes32_and_hostile(data: bytes, symbol: str) -> None:
    assert decode_symbol(data) == symbol


def test_decode_symbol__nothing_there__error() -> None:
    with pytest.raises(ValueError, match="do not decode"):
        decode_symbol(b"")


def test_decode_probe__only_a_word_one_is_yes() -> None:
    assert decode_probe((1).to_bytes(32))
    for answer in (None, b"", bytes(32), (2).to_bytes(32), b"\x01", (1).to_bytes(32) + b"\0"):
        assert not decode_probe(answer)


def test_selectors__known_values() -> None:
    assert encode_transfer(ALICE, Amount(1))[:4].hex() == "a9059cbb"
    assert encode_balance_of(ALICE)[:4].hex() == "70a08231"
    assert [probe[:4].hex() for probe in encode_blacklist_probes(ALICE)] == ["fe575a87", "e47d6060"]


def test_delegate_of__designator_code_and_nothing() -> None:
    assert delegate_of(delegation_code(ALICE)) == ALICE
    for code in (b"", b"\xef\x01\x00" + b"\1" * 19, b"\xef\x01\x01" + ALICE, b"\x60" * 23):
        assert delegate_of(code) is None


def log(address: Address, topics: tuple[bytes, ...], data: bytes) -> Log:
    return Log(address, topics, data, BlockNumber(1), Hash32(bytes(32)), Hash32(bytes(32)), 0, 0)


def test_decode_batch_executed__foreign_or_malformed_log() -> None:
    topics = (*executed_topics(1, 2), ALICE.rjust(32, b"\0"))
    good = decode_batch_executed(log(ALICE, topics, bytes(64)), ALICE)
    assert good is not None
    assert (good.epoch, good.batch_id, good.token) == (1, 2, ALICE)
    assert decode_batch_executed(log(ALICE, topics, bytes(64)), Address(b"\x02" * 20)) is None
    assert decode_batch_executed(log(ALICE, (), b""), ALICE) is None
    assert decode_batch_executed(log(ALICE, (b"\x09" * 32,), b""), ALICE) is None
    with pytest.raises(ValueError, match="topics"):
        decode_batch_executed(log(ALICE, topics[:2], bytes(64)), ALICE)
    with pytest.raises(ValueError, match="do not decode"):
        decode_batch_executed(log(ALICE, topics, bytes(63)), ALICE)


def test_decode_simulated__another_revert__none() -> None:
    assert decode_simulated(b"") is None
    assert decode_simulated(encode_call("NotEnoughGas()")) is None
