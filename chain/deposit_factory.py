"""Speaking to the factory of deposit addresses without keys: bytes in, bytes out. Pure.

The collector calls an entry's account and knows nothing of factories. The factory
answers the same call by creating addresses, so its entries stand before theirs
and one transaction creates and sweeps; see ``chain/contracts/DepositFactory.sol``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chain.abi import decode_values, encode_call, selector
from chain.helper_contracts import encode_sweep, encode_sweep_many, pack_batch
from config.units import ZERO_ADDRESS, Address, Amount

INDEXES_PER_ENTRY: Final = 3
"""What an entry's 12 bytes of amount hold."""
_BITS: Final = 32
_CREATE: Final = "create(uint256[])"


def creation_entries(factory: Address, indexes: Sequence[int]) -> list[tuple[Address, Amount]]:
    """Entries of a sweep that create these deposit addresses; those that exist are passed over."""
    groups = (
        indexes[at : at + INDEXES_PER_ENTRY] for at in range(0, len(indexes), INDEXES_PER_ENTRY)
    )
    return [
        (factory, Amount(sum((index + 1) << (_BITS * n) for n, index in enumerate(group))))
        for group in groups
    ]


def encode_creating_sweep(
    token: Address, factory: Address, indexes: Sequence[int], packed: bytes
) -> bytes:
    """Call of the collector: create these addresses, then sweep the packed entries.

    Two lists in one transaction, so that the places of the second's failures are its own.
    """
    if not indexes:
        return encode_sweep(token, packed)
    # The zero address asks for no token's code; the factory does not look at it.
    creations = pack_batch(creation_entries(factory, indexes))
    return encode_sweep_many([(ZERO_ADDRESS, creations), (token, packed)])


def encode_create(indexes: Sequence[int]) -> bytes:
    """Call of the factory by anyone: create these deposit addresses."""
    return encode_call(_CREATE, list(indexes))


def decode_create(data: bytes) -> list[int]:
    """The indexes of a call of :func:`encode_create`.

    :raises ValueError: the call of something else, or cut off.
    """
    if data[:4] != selector(_CREATE):
        raise ValueError("not a call of create")
    (indexes,) = decode_values(["uint256[]"], data[4:])
    return [int(index) for index in indexes]
