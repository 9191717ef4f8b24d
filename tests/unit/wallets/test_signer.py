"""Signatures: as eth-account makes them, and none that is not the signer's own."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from eth_account import Account
from eth_keys.datatypes import Signature as TheirSignature
from hypothesis import given
from hypothesis import strategies as st

from config.errors import WalletError
from config.units import Address, Hash32, checksum
from tests.unit.wallets.example import TX
from wallets.signature import ORDER, Signature, canonical, recover
from wallets.signer import CheckedSigner, LocalSigner

KEY = b"\x11" * 32
THEIRS = Account.from_key(KEY)
DIGEST = Hash32(b"\x42" * 32)
DELEGATE = Address(b"\x33" * 20)


class Source:
    """A key service that answers what it is told to."""

    def __init__(self, answer: bytes | Exception) -> None:
        self.answer = answer

    async def sign(self, digest: Hash32) -> bytes:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def service(answer: bytes | Exception) -> CheckedSigner:
    return CheckedSigner(LocalSigner(KEY).address, Source(answer))


async def test_digest__local_key__recovers_with_v_27_or_28_and_low_s() -> None:
    seen = set()
    for number in range(20):
        digest = Hash32(bytes([number]) * 32)
        raw = await LocalSigner(KEY).sign_digest(digest)
        assert int.from_bytes(raw[32:64], "big") <= ORDER // 2
        seen.add(raw[64])
        theirs = TheirSignature(raw[:64] + bytes([raw[64] - 27]))
        recovered = theirs.recover_public_key_from_msg_hash(digest)
        assert recovered.to_checksum_address() == THEIRS.address
    assert seen == {27, 28}


async def test_transaction__type_2__is_byte_for_byte_eth_account_s() -> None:
    signed = await LocalSigner(KEY).sign_transaction(TX)
    theirs = THEIRS.sign_transaction({**TX, "to": checksum(TX["to"])})
    assert signed.raw == bytes(theirs.raw_transaction)
    assert signed.hash == bytes(theirs.hash)


async def test_transaction__type_4__is_byte_for_byte_eth_account_s() -> None:
    signer = LocalSigner(KEY)
    ours = await signer.sign_authorization(31337, DELEGATE, 0)
    theirs = THEIRS.sign_authorization({"chainId": 31337, "address": DELEGATE, "nonce": 0})
    tx = {**TX, "type": 4}
    signed = await signer.sign_transaction({**tx, "authorizationList": [ours]})
    again = await signer.sign_transaction({**tx, "authorizationList": [ours.as_item()]})
    expected = THEIRS.sign_transaction(
        {**tx, "to": checksum(TX["to"]), "authorizationList": [theirs]}
    )
    assert signed == again
    assert signed.raw == bytes(expected.raw_transaction)
    assert ours.authority == signer.address


async def test_transaction__from_the_signer__is_accepted_in_either_form() -> None:
    signer = LocalSigner(KEY)
    expected = await signer.sign_transaction(TX)
    for sender in (signer.address, THEIRS.address):
        assert await signer.sign_transaction({**TX, "from": sender}) == expected


async def test_transaction__signed_twice__is_the_same_bytes() -> None:
    assert await LocalSigner(KEY).sign_transaction(TX) == await LocalSigner(KEY).sign_transaction(
        TX
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": 0}, "type 0"),
        ({"type": None}, "type None"),
        ({"type": 3}, "type 3"),
        ({"chainId": 0}, "chain id 0"),
        ({"chainId": None}, "lacks chainId"),
        ({"to": None}, "lacks to"),
        ({"value": 1.5}, "malformed"),
        ({"gas": "lots"}, "malformed"),
        ({"to": "0x12"}, "malformed"),
        ({"surprise": 1}, "malformed"),
        ({"nonce": -1}, "malformed"),
        ({"to": "0x5FbDB2315678afecb367f032d93F642f64180aA3"}, "checksum"),
        ({"from": DELEGATE}, "from another account"),
        ({"r": 1, "s": 1, "v": 1}, "signed already"),
    ],
)
async def test_transaction__wrong__is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(WalletError, match=reason):
        await LocalSigner(KEY).sign_transaction({**TX, **changes})


@pytest.mark.parametrize(
    ("chain_id", "delegate", "nonce"), [(0, DELEGATE, 0), (1, Address(b"\1"), 0), (1, DELEGATE, -1)]
)
async def test_authorization__replayable_or_malformed__is_refused(
    chain_id: int, delegate: Address, nonce: int
) -> None:
    with pytest.raises(WalletError):
        await LocalSigner(KEY).sign_authorization(chain_id, delegate, nonce)


async def test_f30_signer__high_s__is_normalised() -> None:
    raw = await LocalSigner(KEY).sign_digest(DIGEST)
    s = int.from_bytes(raw[32:64], "big")
    high = raw[:32] + (ORDER - s).to_bytes(32, "big") + bytes([55 - raw[64]])
    assert await service(high).sign_digest(DIGEST) == raw
    assert await service(high[:64]).sign_digest(DIGEST) == raw


@pytest.mark.parametrize("kind", ["another key", "another digest", "zeros", "short", "text"])
async def test_f30_signer__that_lies__does_not_get_through(kind: str) -> None:
    answers = {
        "another key": await LocalSigner(b"\x22" * 32).sign_digest(DIGEST),
        "another digest": await LocalSigner(KEY).sign_digest(Hash32(b"\x43" * 32)),
        "zeros": bytes(65),
        "short": b"\x01" * 63,
        "text": b"ThrottlingException" * 4,
    }
    liar = service(answers[kind])
    with pytest.raises(WalletError, match="not a signature of this digest"):
        await liar.sign_digest(DIGEST)
    with pytest.raises(WalletError):
        await liar.sign_transaction(TX)
    with pytest.raises(WalletError):
        await liar.sign_authorization(1, DELEGATE, 0)


async def test_f30_signer__that_fails__says_so() -> None:
    with pytest.raises(WalletError, match="throttled"):
        await service(WalletError("throttled")).sign_transaction(TX)


@given(raw=st.binary(max_size=70), digest=st.binary(min_size=32, max_size=32))
def test_canonical__any_bytes__is_never_a_signature(raw: bytes, digest: bytes) -> None:
    assert canonical(Hash32(digest), DELEGATE, raw) is None


def test_recover__numbers_off_the_curve__is_nobody() -> None:
    assert recover(DIGEST, Signature(ORDER - 1, 1, 0)) != LocalSigner(KEY).address
    assert recover(DIGEST, Signature(ORDER, 1, 0)) is None


@pytest.mark.parametrize("key", [b"", bytes(32), b"\xff" * 32, b"\1" * 31, b"\1" * 33])
def test_local_signer__no_private_key__is_refused(key: bytes) -> None:
    with pytest.raises(WalletError):
        LocalSigner(key)


def test_local_signer__shown_pickled_or_copied__keeps_the_key() -> None:
    signer = LocalSigner(KEY)
    shown = f"{signer!r} {signer} {vars(signer)}"
    assert KEY.hex() not in shown
    assert repr(KEY) not in shown
    for attempt in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="not to be pickled"):
            attempt(signer)
