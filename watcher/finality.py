"""When money counts: confirmations, tags and tiers. Pure.

Confirmations are counted from the cursor, not from the head: only what has
been read and linked can have been found missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from config.chains import ChainSettings, Finality


@dataclass(frozen=True, slots=True)
class ChainView:
    """How far a chain is, as far as this pass knows.

    :param cursor: newest linked block.
    :param tags: block number per tag that the chain has, of those that the settings use.
    """

    cursor: int
    tags: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class OpenPayment:
    """A payment that waits to be confirmed; ``micros``: its worth in its token's currency."""

    key: str
    merchant_id: str
    micros: int
    block: int


def used_tags(chain: ChainSettings) -> frozenset[str]:
    """Tags that some tier of the chain asks for."""
    steps = [chain.finality, *(tier.finality for tier in chain.finality_tiers)]
    return frozenset(step.tag for step in steps if step.tag is not None)


def final_number(hard: Finality, head: int, tags: Mapping[str, int]) -> int:
    """Highest block that nothing may ever change; -1 while there is none.

    A tag that the chain does not have (yet) is waited for, never replaced by a depth.
    """
    if hard.tag is not None:
        return min(tags.get(hard.tag, -1), head)
    assert hard.confirmations is not None
    return max(head - hard.confirmations + 1, -1)


def reach(wanted: Finality, view: ChainView) -> int:
    """Highest block whose payments have waited long enough; negative while there is none."""
    if wanted.tag is not None:
        return min(view.tags.get(wanted.tag, -1), view.cursor)
    assert wanted.confirmations is not None
    return view.cursor - wanted.confirmations + 1


def reached(wanted: Finality, block: int, view: ChainView) -> bool:
    """Whether a payment of ``block`` has waited long enough."""
    return block <= reach(wanted, view)


def furthest_reach(chain: ChainSettings, view: ChainView) -> int:
    """The same by the chain's least demanding tier: what lies above it cannot be confirmed."""
    steps = [chain.finality, *(tier.finality for tier in chain.finality_tiers)]
    return max(reach(step, view) for step in steps)


def confirming_up_to(view: ChainView) -> int:
    """Highest block with two confirmations, from which on a payment is *confirming*."""
    return view.cursor - 1


def mature(
    waiting: Sequence[OpenPayment],
    exposed: Mapping[str, int],
    chain: ChainSettings,
    view: ChainView,
) -> frozenset[str]:
    """Keys of the payments that may be confirmed now.

    A tier looks at what a merchant has been credited on this chain and is not
    final yet, this payment included: a hundred payments of 999 are not small.

    :param waiting: oldest first; those above :func:`furthest_reach` may be left out.
    :param exposed: micros confirmed and not final, per merchant.
    """
    running: dict[str, int] = defaultdict(int, exposed)
    found: set[str] = set()
    for payment in waiting:
        running[payment.merchant_id] += payment.micros
        if reached(chain.finality_for(running[payment.merchant_id]), payment.block, view):
            found.add(payment.key)
    return frozenset(found)
