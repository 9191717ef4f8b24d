"""Headers whose hash commits to transactions and receipts, as real ones do.

Encoded and rooted by other packages than the product's: where that were wrong, nothing of
such a chain would ever be proven.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import rlp
from eth_utils.crypto import keccak
from sha3 import keccak_256
from trie import HexaryTrie

from tests.simulation.chain.evm import RawLog
from tests.simulation.chain.transactions import Tx

if TYPE_CHECKING:
    from tests.simulation.chain.blocks import Block

UNCLES = bytes(keccak(rlp.encode([])))
NOTHING = bytes(HexaryTrie(db={}).root_hash)
GAS_LIMIT = 60_000_000
SOMEBODY = bytes(20)


def named(tx: Tx) -> Tx:
    """An actor's transaction under the hash of its body: legacy, with a signature of nobody's.

    :param tx: its ``hash`` is anything that no other has.
    """
    marked = replace(tx, mark=tx.hash)
    return replace(marked, hash=bytes(keccak(body(marked))))


def body(tx: Tx) -> bytes:
    """What its hash is made of."""
    if tx.raw:
        return tx.raw
    return bytes(rlp.encode([*_call(tx), 27, int.from_bytes(tx.mark), 1]))


def _call(tx: Tx) -> list[Any]:
    return [tx.nonce or 0, tx.max_fee, tx.gas, tx.to, tx.value, tx.data]


def seal(block: Block, salt: bytes) -> None:
    """Give the block its roots and, by them, its hash."""
    block.roots = (
        keccak_256(salt).digest(),
        _root(body(tx) for tx in block.txs),
        _root(_receipts(block)),
    )
    assert block.parent is not None
    state, transactions, receipts = block.roots
    fields = [
        block.parent.hash, UNCLES, SOMEBODY, state, transactions, receipts,
        block.bloom.to_bytes(256), 0, block.number, GAS_LIMIT, gas_used(block), block.timestamp,
        b"", bytes(32), bytes(8), block.base_fee,
    ]  # fmt: skip
    block.hash = keccak_256(rlp.encode(fields)).digest()


def gas_used(block: Block) -> int:
    return sum(result.gas_used for result in block.results)


def _root(values: Iterable[bytes]) -> bytes:
    trie = None
    for place, value in enumerate(values):
        trie = HexaryTrie(db={}) if trie is None else trie
        trie[rlp.encode(place)] = value
    return NOTHING if trie is None else bytes(trie.root_hash)


def _receipts(block: Block) -> Iterable[bytes]:
    gas = 0
    for tx, result in zip(block.txs, block.results, strict=True):
        gas += result.gas_used
        bloom = _bloom(result.logs).to_bytes(256)
        logs = [[log.address, list(log.topics), log.data] for log in result.logs]
        yield tx.raw[:1] + bytes(rlp.encode([result.status, gas, bloom, logs]))


def _bloom(logs: Iterable[RawLog]) -> int:
    """Three bits of each address and topic (Yellow Paper, §4.3.1)."""
    bits = 0
    for log in logs:
        for item in (log.address, *log.topics):
            digest = keccak_256(item).digest()
            for at in (0, 2, 4):
                bits |= 1 << (int.from_bytes(digest[at : at + 2]) % 2048)
    return bits


def header_fields(block: Block) -> dict[str, Any]:
    """Of the header, what a block without proofs does not tell."""
    state, transactions, receipts = block.roots
    return {
        "sha3Uncles": _hex(UNCLES),
        "miner": _hex(SOMEBODY),
        "stateRoot": _hex(state),
        "transactionsRoot": _hex(transactions),
        "receiptsRoot": _hex(receipts),
        "difficulty": "0x0",
        "gasUsed": hex(gas_used(block)),
        "extraData": "0x",
        "mixHash": _hex(bytes(32)),
        "nonce": _hex(bytes(8)),
    }


def body_row(tx: Tx) -> dict[str, Any]:
    """A transaction as nodes spell it."""
    row: dict[str, Any] = {
        "hash": _hex(tx.hash), "from": _hex(tx.sender), "to": _hex(tx.to), "gas": hex(tx.gas),
        "value": hex(tx.value), "input": _hex(tx.data), "nonce": hex(tx.nonce or 0),
    }  # fmt: skip
    if not tx.raw:
        mark = hex(int.from_bytes(tx.mark))
        return row | {
            "type": "0x0",
            "gasPrice": hex(tx.max_fee),
            "v": "0x1b",
            "r": mark,
            "s": "0x1",
        }
    fields = rlp.decode(tx.raw[1:])
    row |= {
        "type": hex(tx.raw[0]), "chainId": _number(fields[0]), "accessList": [],
        "maxPriorityFeePerGas": hex(tx.max_tip), "maxFeePerGas": hex(tx.max_fee),
    }  # fmt: skip
    row |= zip(("yParity", "r", "s"), map(_number, fields[-3:]), strict=True)
    if tx.raw[0] == 4:
        row["authorizationList"] = [_authorization_row(item) for item in fields[9]]
    return row


def _authorization_row(item: list[bytes]) -> dict[str, str]:
    chain_id, delegate, nonce, parity, r, s = item
    return {
        "chainId": _number(chain_id), "address": _hex(delegate), "nonce": _number(nonce),
        "yParity": _number(parity), "r": _number(r), "s": _number(s),
    }  # fmt: skip


def _number(data: bytes) -> str:
    return hex(int.from_bytes(data))


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
