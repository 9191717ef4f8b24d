"""What a deposit address without a key is, and how many fit one sweep."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from chain.helper_contracts import delegation_code
from config.units import Address
from ledger.sweeps import Deposit
from settlement.clone_plan import GAS_FIRST, CloneState, clone_state, fit_clones
from settlement.sweep_plan import GAS_BUDGET
from wallets.create2 import CloneDeriver, clone_code

FACTORY, FORWARDER, OTHER = (Address(bytes([n]) * 20) for n in (0xFA, 0xF0, 0x0E))
DERIVER = CloneDeriver(FACTORY, FORWARDER)


def deposit(index: int, address: Address | None = None) -> Deposit:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Deposit(address or DERIVER.address(index), index, "USDC", 1, (), at, at)


@pytest.mark.parametrize(
    ("code", "of", "state"),
    [
        (b"", deposit(4), CloneState.FRESH),
        (b"", deposit(4, DERIVER.address(5)), CloneState.FOREIGN),
        (b"", deposit(4, OTHER), CloneState.FOREIGN),
        (clone_code(FORWARDER), deposit(4), CloneState.THERE),
        (delegation_code(FORWARDER), deposit(4, OTHER), CloneState.THERE),
        (clone_code(OTHER), deposit(4), CloneState.STRANGE),
        (delegation_code(OTHER), deposit(4, OTHER), CloneState.STRANGE),
        (b"\x00", deposit(4), CloneState.STRANGE),
    ],
)
def test_clone_state__by_code_and_address(code: bytes, of: Deposit, state: CloneState) -> None:
    assert clone_state(code, of, DERIVER) is state


def test_fit_clones__more_than_a_transaction_holds__cut_and_stuck_ones_left_out() -> None:
    deposits = [deposit(index) for index in range(400)]
    states = {d.address: CloneState.FRESH for d in deposits}
    states[deposits[0].address] = CloneState.STRANGE
    states[deposits[1].address] = CloneState.FOREIGN
    chosen = fit_clones(deposits, states)
    assert chosen == deposits[2 : 2 + GAS_BUDGET // GAS_FIRST]
    there = dict.fromkeys(states, CloneState.THERE)
    assert len(fit_clones(deposits, there)) == 400
