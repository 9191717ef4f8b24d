"""Whether headers hang together, and where they do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chain.model import BlockHeader
from config.units import Hash32


@dataclass(frozen=True, slots=True)
class Linked:
    """Headers that follow each other from the parent on; ``broken`` is the first that does not.

    ``headers`` empty and ``broken`` set: the chain under the parent was exchanged.
    ``headers`` not empty and ``broken`` set: a reorg or a second node came in between while the
    headers were asked for; the first part is still one chain.
    """

    headers: tuple[BlockHeader, ...]
    broken: BlockHeader | None


def link(parent: Hash32, number: int, headers: Sequence[BlockHeader]) -> Linked:
    """Follow parent hashes upwards from block ``number`` with hash ``parent``.

    :param headers: in ascending order; a height out of turn counts as broken.
    """
    good: list[BlockHeader] = []
    for header in headers:
        number += 1
        if header.parent_hash != parent or header.number != number:
            return Linked(tuple(good), header)
        good.append(header)
        parent = header.hash
    return Linked(tuple(good), None)
