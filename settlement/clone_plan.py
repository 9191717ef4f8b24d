"""What deposit addresses without keys are right now, and how many one sweep takes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from chain.helper_contracts import delegation_code
from config.units import Address
from ledger.sweeps import Deposit
from settlement.sweep_plan import GAS_BUDGET
from settlement.sweep_policy import SweepGas
from wallets.create2 import CloneDeriver, clone_code

GAS_FIRST: Final = 67_000
GAS_REPEAT: Final = 16_000
"""Per address: 50,216 and 12,860 measured with a USDC behind a proxy, and a third more at first."""
CLONE_GAS: Final = SweepGas(GAS_FIRST, GAS_REPEAT)


class CloneState(StrEnum):
    """What a deposit address is, right before sealing."""

    THERE = "there"
    """Runs our forwarder: created before, or a key's account that delegates to it."""
    FRESH = "fresh"
    """One of the factory's, with nothing there: it is created in the sweep."""
    FOREIGN = "foreign"
    """Not one of the factory's, with nothing there: only its key could collect from it."""
    STRANGE = "strange"
    """Other code. Nothing can put it there; hold and page."""


def clone_state(code: bytes, deposit: Deposit, deriver: CloneDeriver) -> CloneState:
    """Classify by code, and by whether the index gives this address."""
    if code in (clone_code(deriver.forwarder), delegation_code(deriver.forwarder)):
        return CloneState.THERE
    if code:
        return CloneState.STRANGE
    ours = deriver.address(deposit.derivation_index) == deposit.address
    return CloneState.FRESH if ours else CloneState.FOREIGN


def fit_clones(deposits: Sequence[Deposit], states: Mapping[Address, CloneState]) -> list[Deposit]:
    """As many as one transaction's gas allows; what cannot be swept is left out."""
    chosen: list[Deposit] = []
    gas = 0
    for deposit in deposits:
        state = states[deposit.address]
        if state not in (CloneState.THERE, CloneState.FRESH):
            continue
        gas += GAS_FIRST if state is CloneState.FRESH else GAS_REPEAT
        if gas > GAS_BUDGET:
            break
        chosen.append(deposit)
    return chosen
