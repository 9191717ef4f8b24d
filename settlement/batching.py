"""Which queued payouts go into the next batch, and how much gas it may take. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from ledger.views import Row

TX_GAS_CAP: Final = 16_777_216
"""No transaction may have a higher gas limit (EIP-7825); what a batch may compute everywhere."""
GAS_PER_PAYOUT: Final = 38_000
"""For a recipient without any of the token (28,325 measured with USDC), and a third more."""
GAS_OF_BATCH: Final = 350_000
"""Call, signature, bitmap word, and what a failing entry must leave unspent."""
_MARGIN_PERCENT: Final = 25
_FAILURE_RESERVE: Final = 300_000
"""An entry that fails needs 274,000 gas left after it, or the whole batch reverts."""


def most_entries(max_batch: int) -> int:
    """Entries that fit into one transaction."""
    return min(max_batch, (TX_GAS_CAP - GAS_OF_BATCH) // GAS_PER_PAYOUT)


def pick_batch(
    queued: Sequence[Row],
    treasury: Mapping[str, int],
    max_batch: int,
    at_once: Mapping[str, int] = MappingProxyType({}),
) -> tuple[str, list[Row]] | None:
    """The next batch: one token, oldest first, no more than the treasury can pay.

    A payout that the treasury cannot pay yet is stepped over, not waited for: a large
    one must not hold up the small ones behind it. Sweeps are made for it meanwhile.

    :param treasury: drawable base units by token.
    :param at_once: base units that one transaction may move, by token. What is larger by
        itself was on hold for it and has been released: it goes alone.
    :returns: token and payouts; ``None`` when nothing can go.
    """
    most = most_entries(max_batch)
    for token in dict.fromkeys(row["token"] for row in queued):
        left = treasury.get(token, 0)
        limit = at_once.get(token, left)
        room = limit
        chosen: list[Row] = []
        for row in queued:
            if row["token"] != token or row["amount"] > left:
                continue
            if row["amount"] > room and (chosen or row["amount"] <= limit):
                continue
            chosen.append(row)
            left -= row["amount"]
            room -= row["amount"]
            if len(chosen) == most or room <= 0:
                break
        if chosen:
            return token, chosen
    return None


def gas_limit(estimate: int, *, may_fail: bool, cap: int = TX_GAS_CAP) -> int:
    """Limit for an estimate: room for refunds and for balances that became zero.

    :param may_fail: entries may fail by themselves; that needs gas left unspent.
    :param cap: of the chain, ``gas_cap``.
    :raises ValueError: the estimate itself is over the cap (EIP-7825).
    """
    if estimate > cap:
        raise ValueError(f"{estimate} gas are over the cap of a transaction ({cap})")
    reserve = _FAILURE_RESERVE if may_fail else 0
    return min(estimate + estimate * _MARGIN_PERCENT // 100 + reserve, cap)
