"""Files of presigned addresses: what is written is read back, and nothing else is."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from eth_account.typed_transactions.set_code_transaction import Authorization as Unsigned

from config.errors import InvalidInputError, WalletError
from config.units import Address, Hash32
from tests.support.world import MNEMONIC
from wallets.keyring import keyring_from_mnemonic
from wallets.presigned import (
    Header,
    PresignedReader,
    PresignedWriter,
    authorization_digest,
)
from wallets.signature import ORDER, Signature, recover

DELEGATE = Address(bytes([0xDE]) * 20)
CHAINS = (31337, 8453)
RING = keyring_from_mnemonic(MNEMONIC)
OTHER = keyring_from_mnemonic("test test test test test test test test test test test junk")


def written(count: int = 3, first: int = 0) -> bytes:
    file = io.BytesIO()
    header = Header(first, count, CHAINS, DELEGATE, Hash32(bytes(32)))
    writer = PresignedWriter(file, header)
    digests = [authorization_digest(chain_id, DELEGATE) for chain_id in CHAINS]
    for index in range(first, first + count):
        writer.add(*RING.presign(index, digests))
    writer.end()
    return file.getvalue()


def read(data: bytes) -> list[Any]:
    return list(PresignedReader(io.BytesIO(data), "cold.jsonl").addresses())


def resealed(lines: list[bytes]) -> bytes:
    """As somebody would who changes the file and knows how its checksum is made."""
    body = b"".join(lines[:-1])
    footer = {"end": True, "lines": len(lines) - 2, "sha256": sha256(body).hexdigest()}
    return body + json.dumps(footer, separators=(",", ":")).encode() + b"\n"


def changed(line: int, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The file with one line changed, and a footer that fits."""
    lines = written().splitlines(keepends=True)
    value = json.loads(lines[line])
    change(value)
    lines[line] = json.dumps(value, separators=(",", ":")).encode() + b"\n"
    return resealed(lines)


def signature(value: dict[str, Any], chain_id: int = 8453) -> dict[str, Any]:
    found: dict[str, Any] = value["signatures"][str(chain_id)]
    return found


def high_s(value: dict[str, Any]) -> None:
    part = signature(value)
    part["s"] = f"0x{ORDER - int(part['s'], 16):064x}"
    part["y_parity"] ^= 1


def test_digest__of_an_authorization__is_that_of_eth_account() -> None:
    for chain_id, nonce in ((1, 0), (31337, 0), (2**40, 7)):
        assert authorization_digest(chain_id, DELEGATE, nonce) == bytes(
            Unsigned(chain_id, bytes(DELEGATE), nonce).hash()
        )


def test_file__written_and_read__every_address_with_its_own_signatures() -> None:
    found = read(written(3, first=40))
    assert [line.index for line in found] == [40, 41, 42]
    for line in found:
        assert line.address == RING.deposit_signer(line.index).address
        for chain_id, given in zip(CHAINS, line.signatures, strict=True):
            assert recover(authorization_digest(chain_id, DELEGATE), given) == line.address
            assert given.s <= ORDER // 2


async def test_presign__one_address__signs_as_its_signer_does() -> None:
    _, (given,) = RING.presign(5, [authorization_digest(8453, DELEGATE)])
    signed = await RING.deposit_signer(5).sign_authorization(8453, DELEGATE, 0)
    assert given == signed.signature


WRONG = [
    pytest.param(2, lambda v: v.update(index=7), "not the line of index 1", id="index"),
    pytest.param(2, lambda v: v.update(index=True), "not the line of index 1", id="index-bool"),
    pytest.param(
        2, lambda v: v.update(address="0x" + "ab" * 20), "signature for chain id", id="address"
    ),
    pytest.param(2, lambda v: v.update(address="0x12"), "malformed", id="no-address"),
    pytest.param(2, lambda v: v["signatures"].pop("8453"), "one signature for each", id="missing"),
    pytest.param(
        2,
        lambda v: v["signatures"].update({"10": signature(v)}),
        "one signature for each",
        id="more-chains",
    ),
    pytest.param(
        2,
        lambda v: v["signatures"].update({"8453": signature(v, 31337)}),
        "for chain id 8453 is not by",
        id="another-chain's",
    ),
    pytest.param(2, lambda v: signature(v).update(y_parity=2), "malformed", id="parity"),
    pytest.param(2, lambda v: signature(v).update(r="0x00"), "malformed", id="zero"),
    pytest.param(2, high_s, "malformed", id="high-s"),
    pytest.param(2, lambda v: v.update(signatures=[]), "one signature", id="list"),
    pytest.param(0, lambda v: v.update(version=2), "of version 2, not 1", id="version"),
    pytest.param(0, lambda v: v.update(kind="x"), "not a file of presigned", id="kind"),
    pytest.param(0, lambda v: v.update(chain_ids=[0]), "0 would be any chain", id="chain-0"),
    pytest.param(0, lambda v: v.update(chain_ids=[1, 1]), "malformed", id="chain-twice"),
    pytest.param(0, lambda v: v.update(count=0), "malformed", id="none"),
    pytest.param(0, lambda v: v.update(first=-1), "malformed", id="negative"),
    pytest.param(0, lambda v: v.update(code_hash="0x12"), "malformed", id="code"),
    pytest.param(
        0, lambda v: v.update(delegate="0x" + "11" * 20), "is not by", id="another-delegate"
    ),
]


@pytest.mark.parametrize(("line", "change", "words"), WRONG)
def test_read__changed_line__refused_and_named(
    line: int, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words) as error:
        read(changed(line, change))
    named = 2 if "is not by" in words and line == 0 else line + 1
    assert error.value.where == f"cold.jsonl:{named}"


def test_read__cut_at_any_byte__refused() -> None:
    data = written(2)
    for length in range(0, len(data), 7):
        with pytest.raises(InvalidInputError):
            read(data[:length])
    with pytest.raises(InvalidInputError, match="truncated"):
        read(data[:-1])


def test_read__a_line_left_out_or_added__refused() -> None:
    lines = written().splitlines(keepends=True)
    with pytest.raises(InvalidInputError, match="not the line of index 1"):
        read(resealed(lines[:2] + lines[3:]))
    with pytest.raises(InvalidInputError, match="follows the footer"):
        read(written() + b"\n")


def test_read__spaces_added__the_checksum_tells() -> None:
    data = written().replace(b'"index":1', b'"index": 1')
    with pytest.raises(InvalidInputError, match="footer does not match"):
        read(data)


@pytest.mark.parametrize(
    "data", [b"", b"[" * 100_000 + b"\n", b"1\n", b"\xff\n", b"x" * 70_000 + b"\n"]
)
def test_read__no_such_file__refused(data: bytes) -> None:
    with pytest.raises(InvalidInputError):
        read(data)


def test_ring__without_deposit_keys__signs_everything_else() -> None:
    ring = keyring_from_mnemonic(MNEMONIC, deposits_offline=True)
    assert ring.deposit_xpub is None
    assert ring.treasury_signer().address == RING.treasury_signer().address
    with pytest.raises(WalletError, match="not on this machine"):
        ring.deposit_signer(0)
    with pytest.raises(WalletError, match="not on this machine"):
        ring.presign(0, [])


def test_signature__of_another_ring__is_not_taken() -> None:
    address, _ = RING.presign(0, [])
    _, (foreign,) = OTHER.presign(0, [authorization_digest(8453, DELEGATE)])
    assert isinstance(foreign, Signature)
    assert recover(authorization_digest(8453, DELEGATE), foreign) != address
