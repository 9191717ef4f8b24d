"""Addresses from the xpub, against two independent implementations."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
from bip_utils import Bip32Slip10Secp256k1
from eth_account import Account
from eth_account.hdaccount import key_from_seed
from hypothesis import given
from hypothesis import strategies as st

from config.errors import WalletError
from config.units import checksum
from wallets.base58 import decode_check, encode_check
from wallets.derivation import DepositDeriver
from wallets.private import PrivateNode

SEED = bytes(range(64))
PATH = "44'/60'/0'/0"
NODE = PrivateNode.from_seed(SEED).derive(PATH)
DERIVER = DepositDeriver(NODE.xpub())


@given(seed=st.binary(min_size=16, max_size=64))
def test_xpub__any_seed__is_the_one_of_bip_utils(seed: bytes) -> None:
    theirs = Bip32Slip10Secp256k1.FromSeed(seed).DerivePath(PATH).PublicKey().ToExtended()
    assert PrivateNode.from_seed(seed).derive(PATH).xpub() == theirs


def test_private_node__bip32_test_vector_1__gives_its_xpub() -> None:
    # https://github.com/bitcoin/bips/blob/master/bip-0032.mediawiki#test-vector-1
    root = PrivateNode.from_seed(bytes.fromhex("000102030405060708090a0b0c0d0e0f"))
    assert root.xpub() == (
        "xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8"
    )


@pytest.mark.parametrize("index", [0, 1, 2, 1000, 2**31 - 1])
def test_address__of_an_index__is_the_one_that_eth_account_signs_for(index: int) -> None:
    key = key_from_seed(SEED, f"m/{PATH}/{index}")
    assert checksum(DERIVER.address(index)) == Account.from_key(key).address
    assert NODE.child_node(index).secret() == key


def test_addresses__a_range__is_each_of_them() -> None:
    assert DERIVER.addresses(7, 5) == [DERIVER.address(index) for index in range(7, 12)]
    assert len(set(DERIVER.addresses(0, 500))) == 500


@pytest.mark.parametrize("index", [-1, 2**31, 2**40])
def test_address__outside_the_range__is_refused(index: int) -> None:
    with pytest.raises(WalletError, match="outside"):
        DERIVER.address(index)


@pytest.mark.parametrize(
    ("xpub", "reason"),
    [
        ("", "cannot be read"),
        ("xpub0OIl", "not base 58"),
        ("1" * 10_000, "not base 58"),
        (NODE.xpub()[:-1] + "1", "checksum is wrong"),
        (NODE.xpub()[:-3], "checksum is wrong"),
        (PrivateNode.from_seed(SEED).xpub(), "depth 0"),
        (PrivateNode.from_seed(SEED).derive("44'/60'/0'").xpub(), "depth 3"),
        (PrivateNode.from_seed(SEED).derive("44'/60'/0'/1").xpub(), "depth 4, child 1"),
        (encode_check(decode_check(NODE.xpub())[:-1]), "not an extended public key"),
        (encode_check(decode_check(NODE.xpub())[:-33] + b"\2" + b"\xff" * 32), "no point"),
    ],
)
def test_xpub__wrong__is_refused_with_the_reason(xpub: str, reason: str) -> None:
    with pytest.raises(WalletError, match=reason):
        DepositDeriver(xpub)


def test_xpub__private_instead__is_refused_and_not_shown() -> None:
    theirs = Bip32Slip10Secp256k1.FromSeed(SEED).DerivePath(PATH).PrivateKey().ToExtended()
    with pytest.raises(WalletError, match="is a private key") as caught:
        DepositDeriver(theirs)
    assert theirs[10:30] not in str(caught.value)


@given(st.binary(min_size=1, max_size=100))
def test_base58__encoded_and_decoded__is_the_same(data: bytes) -> None:
    assert decode_check(encode_check(data)) == data


@given(st.text(max_size=120))
def test_base58__any_text__is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        decode_check(text)


def test_derivation__imported_alone__brings_no_private_key_code() -> None:
    code = (
        "import sys, wallets.derivation\n"
        "sys.exit(any(name in sys.modules for name in"
        " ('wallets.private', 'wallets.keystore', 'wallets.keyring', 'wallets.signer')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
