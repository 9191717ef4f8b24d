"""What OP-stack chains take beside gas and data: the operator fee. Pure.

Sources: the OP Stack specifications, ``protocol/isthmus/exec-engine.md`` (*Operator Fee*)
and ``protocol/jovian/exec-engine.md`` (*Fee Formula Update*)::

    since Isthmus   gas used × operatorFeeScalar / 1,000,000 + operatorFeeConstant
    since Jovian    gas used × operatorFeeScalar × 100       + operatorFeeConstant

Nodes give both parameters in the receipt where one of them is not zero. Which fork's
formula took the fee, the receipt says by ``daFootprintGasScalar``, which nodes add to every
receipt since Jovian and to none before. A provider that leaves that field out is taken for
one before Jovian: the look at the native coin then finds what is missing.
"""

from __future__ import annotations

from typing import Final

_MILLIONTHS: Final = 1_000_000
_JOVIAN_FACTOR: Final = 100


def operator_fee(gas_used: int, scalar: int, constant: int, *, jovian: bool) -> int:
    """Wei, rounded down as the chain does.

    :param scalar: ``operatorFeeScalar``; :param constant: ``operatorFeeConstant``, wei.
    :param jovian: whether the block is of the Jovian fork or a later one.
    """
    if jovian:
        return gas_used * scalar * _JOVIAN_FACTOR + constant
    return gas_used * scalar // _MILLIONTHS + constant
