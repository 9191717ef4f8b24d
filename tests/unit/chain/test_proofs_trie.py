"""Our RLP and trie root against two other implementations of them."""

from __future__ import annotations

import rlp
from hypothesis import given, settings
from hypothesis import strategies as st
from trie import HexaryTrie

from chain.proofs.rlp import array, keccak, number, text
from chain.proofs.trie import ordered_root

NESTED = st.recursive(st.binary(max_size=70), lambda inner: st.lists(inner, max_size=6))


def ours(value: bytes | list[object]) -> bytes:
    if isinstance(value, bytes):
        return text(value)
    return array([ours(item) for item in value])  # type: ignore[arg-type]


def theirs(values: list[bytes]) -> bytes:
    trie = HexaryTrie(db={})
    for i, value in enumerate(values):
        trie[rlp.encode(i)] = value
    return bytes(trie.root_hash)


@given(NESTED)
def test_rlp__any_nesting__as_the_rlp_package(value: bytes | list[object]) -> None:
    assert ours(value) == rlp.encode(value)


@given(st.integers(0, 2**256 - 1))
def test_rlp__any_number__as_the_rlp_package(value: int) -> None:
    assert number(value) == rlp.encode(value)


def test_rlp__lengths_around_each_border__as_the_rlp_package() -> None:
    for size in (0, 1, 2, 54, 55, 56, 57, 255, 256, 257, 65535, 65536):
        data = b"\x7f" * size
        assert text(data) == rlp.encode(data)
        assert array([text(b"\x80")] * size) == rlp.encode([b"\x80"] * size)


@given(st.lists(st.binary(min_size=1, max_size=80), max_size=40))
@settings(max_examples=150)
def test_root__any_values__as_the_trie_package(values: list[bytes]) -> None:
    assert ordered_root(values) == theirs(values)


def test_root__counts_around_each_key_length__as_the_trie_package() -> None:
    for count in (0, 1, 2, 15, 16, 17, 127, 128, 129, 130, 255, 256, 257, 700):
        # One byte values stay inside their parents, long ones are hashed.
        for size in (1, 40):
            values = [keccak(number(i))[:1] + bytes(size) for i in range(count)]
            assert ordered_root(values) == theirs(values), (count, size)


def test_root__nothing__is_the_known_empty_root() -> None:
    # "56e81f17…" stands in every header without transactions.
    assert ordered_root([]).hex().startswith("56e81f171bcc55a6ff8345e692c0f86e")
