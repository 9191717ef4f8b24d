"""Root of a Merkle-Patricia trie whose keys are RLP(0), RLP(1), … (Yellow Paper, appendix D).

Receipts and transactions of a block are committed to in this shape. No key is the
beginning of another, because RLP is prefix-free: a branch never holds a value.
"""

from __future__ import annotations

from collections.abc import Sequence

from chain.proofs.rlp import EMPTY, array, keccak, number, text

_Leaf = tuple[bytes, bytes]
"""(nibbles of the key, one a byte; value)."""


def ordered_root(values: Sequence[bytes]) -> bytes:
    """32 bytes: the root over RLP(position) → value, none of which is empty."""
    if not values:
        return keccak(EMPTY)
    leaves = sorted((_nibbles(number(i)), value) for i, value in enumerate(values))
    return keccak(_node(leaves, 0))


def _node(leaves: Sequence[_Leaf], depth: int) -> bytes:
    """The RLP of the node over ``leaves``, which are sorted and agree up to ``depth``."""
    first, last = leaves[0][0], leaves[-1][0]
    if len(leaves) == 1:
        return array((text(_packed(first[depth:], leaf=True)), text(leaves[0][1])))
    shared = depth
    # What the first and the last of sorted keys share, all of them share.
    while first[shared] == last[shared]:
        shared += 1
    if shared > depth:
        below = _reference(_node(leaves, shared))
        return array((text(_packed(first[depth:shared], leaf=False)), below))
    return _branch(leaves, depth)


def _branch(leaves: Sequence[_Leaf], depth: int) -> bytes:
    slots = [EMPTY] * 17
    start = 0
    while start < len(leaves):
        nibble = leaves[start][0][depth]
        end = start + 1
        while end < len(leaves) and leaves[end][0][depth] == nibble:
            end += 1
        slots[nibble] = _reference(_node(leaves[start:end], depth + 1))
        start = end
    return array(slots)


def _reference(node: bytes) -> bytes:
    """A node within its parent: itself when shorter than a hash, else its hash."""
    return node if len(node) < 32 else text(keccak(node))


def _nibbles(key: bytes) -> bytes:
    return bytes(half for byte in key for half in (byte >> 4, byte & 15))


def _packed(nibbles: bytes, *, leaf: bool) -> bytes:
    """Hex-prefix encoding (Yellow Paper, appendix C)."""
    flag = 2 if leaf else 0
    odd = len(nibbles) % 2
    nibbles = bytes((flag + 1,) if odd else (flag, 0)) + nibbles
    return bytes(16 * nibbles[i] + nibbles[i + 1] for i in range(0, len(nibbles), 2))
