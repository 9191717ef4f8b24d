"""Which deposit addresses to sweep now, and who still has to delegate. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from chain.helper_contracts import MAX_ENTRY_AMOUNT, delegation_code
from config.units import Address
from ledger.sweeps import Deposit
from settlement.sweep_policy import SweepGas

GAS_BUDGET: Final = 13_000_000
"""Below the cap of a transaction (EIP-7825) by the quarter that refund-heavy sweeps need more."""
GAS_FIRST: Final = 43_000
GAS_REPEAT: Final = 16_000
"""Per address: 31,795 and 11,275 measured with USDC, and a third more."""
MOST_AT_ONCE: Final = GAS_BUDGET // GAS_REPEAT
"""Addresses that one transaction takes at the very most: no more of them are looked at."""
DELEGATION_GAS: Final = SweepGas(GAS_FIRST, GAS_REPEAT)


class AccountState(StrEnum):
    """What a deposit account is, right before sealing."""

    DELEGATED = "delegated"
    """Runs our forwarder: no authorization, it would cost 25,000 gas and be skipped."""
    FRESH = "fresh"
    """No code, and nothing sent but by us: an authorization is needed."""
    STRANGE = "strange"
    """It has sent, or runs other code: its key is in other hands. Hold and page."""


def account_state(
    code: bytes, nonce: int, forwarder: Address, *, taken: int = 0, may_be_used: bool = False
) -> AccountState:
    """Classify by code and nonce (EIP-7702 delegation designator).

    :param taken: nonces that it has sent with for us, before the chain knew EIP-7702.
    :param may_be_used: an account that has sent transactions counts as fresh.
    """
    if code == delegation_code(forwarder):
        return AccountState.DELEGATED
    fresh = not code and (nonce <= taken or may_be_used)
    return AccountState.FRESH if fresh else AccountState.STRANGE


def choose(
    deposits: Sequence[Deposit],
    *,
    needed: int,
    minimum: int,
    gather: timedelta,
    now: datetime,
    not_worth: Collection[int] = (),
    rest: bool = True,
) -> list[Deposit]:
    """What to sweep now, one token.

    What is worth its gas goes once a due payout needs something, or once the oldest has
    waited for ``gather``. Where that does not cover the need, the rest goes along, largest
    first, whatever its size and whatever it costs.

    :param needed: base units that queued payouts lack in the treasury and on the way to it.
    :param not_worth: indexes of those whose gas costs too much now
        (:mod:`settlement.sweep_policy`).
    :param rest: whether what is not worth its gas may go along: not while there may be
        better ones that are not among these.
    """
    payable = [d for d in deposits if 0 < d.amount <= MAX_ENTRY_AMOUNT]
    by_size = sorted(payable, key=lambda d: (-d.amount, d.derivation_index))
    dear = set(not_worth)
    worth = [d for d in by_size if d.amount >= minimum and d.derivation_index not in dear]
    if needed <= 0:
        return worth if any(now - d.since >= gather for d in worth) else []
    if not rest:
        return worth
    chosen, covered = list(worth), sum(d.amount for d in worth)
    taken = {d.derivation_index for d in worth}
    for deposit in (d for d in by_size if d.derivation_index not in taken):
        if covered >= needed:
            break
        chosen.append(deposit)
        covered += deposit.amount
    return chosen


def fit(deposits: Sequence[Deposit], states: Mapping[Address, AccountState]) -> list[Deposit]:
    """As many as one transaction's gas allows; strange accounts are left out."""
    chosen: list[Deposit] = []
    gas = 0
    for deposit in deposits:
        state = states[deposit.address]
        if state is AccountState.STRANGE:
            continue
        gas += GAS_FIRST if state is AccountState.FRESH else GAS_REPEAT
        if gas > GAS_BUDGET:
            break
        chosen.append(deposit)
    return chosen
