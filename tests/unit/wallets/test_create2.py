"""Addresses without keys, against the standards' own words and an independent implementation."""

from __future__ import annotations

import pytest
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from chain.deposit_factory import creation_entries, encode_creating_sweep
from chain.helper_contracts import encode_sweep, pack_batch
from config.errors import WalletError
from config.units import Address, Amount
from wallets.create2 import CloneDeriver, clone_code

FACTORY = Address(bytes([0xFA]) * 20)
FORWARDER = Address(bytes.fromhex("bebebebebebebebebebebebebebebebebebebebe"))


def test_clone_code__the_example_of_eip_1167__byte_for_byte() -> None:
    assert clone_code(FORWARDER).hex() == (
        "363d3d373d3d3d363d73bebebebebebebebebebebebebebebebebebebebe5af43d82803e903d91602b57fd5bf3"
    )


def test_address__by_the_formula_of_eip_1014__same_and_each_its_own() -> None:
    deriver = CloneDeriver(FACTORY, FORWARDER)
    code_hash = keccak(bytes.fromhex("3d602d80600a3d3981f3") + clone_code(FORWARDER))
    for index in (0, 1, 255, 256, 2**31 - 1):
        expected = keccak(b"\xff" + FACTORY + index.to_bytes(32) + code_hash)[12:]
        assert deriver.address(index) == expected
    assert deriver.addresses(3, 4) == [deriver.address(i) for i in range(3, 7)]
    others = [
        CloneDeriver(FORWARDER, FORWARDER).address(0),
        CloneDeriver(FACTORY, FACTORY).address(0),
        deriver.address(0),
        deriver.address(1),
    ]
    assert len(set(others)) == 4


@pytest.mark.parametrize("index", [-1, 2**31, 2**32])
def test_address__outside_the_range_of_indexes__refused(index: int) -> None:
    with pytest.raises(WalletError, match="outside"):
        CloneDeriver(FACTORY, FORWARDER).address(index)


def test_repr__of_a_deriver__names_the_factory() -> None:
    assert to_checksum_address(FACTORY) in repr(CloneDeriver(FACTORY, FORWARDER))


def test_creation_entries__four_indexes__three_to_an_entry_each_plus_one() -> None:
    entries = creation_entries(FACTORY, [0, 5, 2**31 - 1, 8])
    assert entries == [(FACTORY, 1 | 6 << 32 | 2**31 << 64), (FACTORY, 9)]
    pack_batch(entries)  # each fits 96 bits
    assert creation_entries(FACTORY, []) == []


def test_encode_creating_sweep__nothing_to_create__a_plain_sweep() -> None:
    packed = pack_batch([(FACTORY, Amount(1))])
    assert encode_creating_sweep(FORWARDER, FACTORY, [], packed) == encode_sweep(FORWARDER, packed)
