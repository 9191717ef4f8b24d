"""Addresses, hashes and hexadecimal text: one spelling inside, a checked one at the edges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.units import MAX_AMOUNT, ZERO_ADDRESS, checksum, from_hex, parse_address, to_hex

ADDRESSES = st.binary(min_size=20, max_size=20)
# The all-caps, all-lower and mixed examples of EIP-55.
EIP55 = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize("text", EIP55)
def test_checksum__eip55_examples__come_back(text: str) -> None:
    assert checksum(parse_address(text)) == text


@given(ADDRESSES)
def test_parse_address__each_spelling__is_the_same_bytes(raw: bytes) -> None:
    text = checksum(raw)
    for spelling in (text, text.lower(), "0x" + text[2:].upper()):
        assert parse_address(spelling) == raw


@given(ADDRESSES, st.data())
def test_parse_address__one_letter_in_the_other_case__is_refused(
    raw: bytes, data: st.DataObject
) -> None:
    text = checksum(raw)
    letters = [at for at, sign in enumerate(text) if at > 1 and sign.isalpha()]
    if len(letters) < 3:
        return
    at = data.draw(st.sampled_from(letters))
    changed = text[:at] + text[at].swapcase() + text[at + 1 :]
    if changed[2:] in (changed[2:].lower(), changed[2:].upper()):
        return
    with pytest.raises(ValueError, match="EIP-55"):
        parse_address(changed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x",
        "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0X5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
        "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beae",
        "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed0",
        "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed\n",
        " 0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
        "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaeg",
        "0x" + "\N{FULLWIDTH DIGIT ONE}" * 40,
    ],
)
def test_parse_address__not_an_address__is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        parse_address(text)


@given(st.binary(max_size=70))
def test_hex__any_bytes__come_back(data: bytes) -> None:
    assert from_hex(to_hex(data)) == data
    assert to_hex(data) == to_hex(data).lower()


@pytest.mark.parametrize(
    "text", ["", "ab", "0xa", "0xgg", "0x a", "0xab cd", "0xab\n", "0X00", "1x00"]
)
def test_from_hex__malformed__is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_hex(text)


def test_bounds__amount_and_zero_address() -> None:
    assert int("f" * 64, 16) == MAX_AMOUNT
    assert parse_address("0x" + "0" * 40) == ZERO_ADDRESS
