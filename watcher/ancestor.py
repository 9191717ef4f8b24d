"""The walk back to the last common ancestor: one verdict per step, pure.

::

    stored     F ── a ── b ── c ── d          F: the stored final block
    chain      F ── a ── B ── C ── D ── E     E's parent is not d: walk D, C, B, a
                    ^ ancestor

The caller follows parent hashes on the provider's chain; each (number, hash)
that it meets is judged here. The walk ends at the stored final block at the
latest: a chain that differs there has broken its promise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from config.units import Hash32


@dataclass(frozen=True, slots=True)
class Ancestor:
    """Both chains hold this block; everything above it is to be undone."""

    number: int


@dataclass(frozen=True, slots=True)
class WalkOn:
    """Not common, and not yet at the final block: ask for its parent."""


@dataclass(frozen=True, slots=True)
class FinalityViolation:
    """The chain no longer holds the block that was stored as final."""

    number: int
    stored: Hash32
    found: Hash32


Verdict = Ancestor | WalkOn | FinalityViolation


def judge_link(
    number: int, found: Hash32, *, stored: Mapping[int, Hash32], final_number: int
) -> Verdict:
    """Verdict on one block of the provider's chain.

    :param stored: our canonical hashes by number, from the final block to the cursor.
    """
    if stored.get(number) == found:
        return Ancestor(number)
    if number > final_number:
        return WalkOn()
    return FinalityViolation(final_number, stored[final_number], found)
