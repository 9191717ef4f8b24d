"""The pure core as tables of named cases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.helper_contracts import delegation_code
from chain.model import FeeQuote
from chain.send import SendOutcome
from config.chains import FeeCap
from config.schedules import parse_schedule
from config.settings import parse_settings
from config.units import Address
from ledger.runs import Destination, MerchantBalance
from ledger.sweeps import Deposit
from settlement.batching import TX_GAS_CAP, gas_limit, most_entries, pick_batch
from settlement.fees import (
    Fees,
    cap_for,
    initial,
    raised,
    replacement,
    stuck,
    which_cap,
    worth_in_wei,
)
from settlement.lanes.dispatch import in_turn
from settlement.planning import Rules, choose_destination, make_plan
from settlement.schedule import judge, schedule_of
from settlement.sweep_plan import AccountState, account_state, choose, fit
from settlement.verdicts import (
    AfterSend,
    IdleVerdict,
    NonceStep,
    Patience,
    Pending,
    after_send,
    judge_idle,
    next_step,
)
from settlement.worth import worth_their_own

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GWEI = 10**9
FORWARDER = Address(b"\xf0" * 20)


@given(
    old_fee=st.integers(1, 10**15),
    old_tip=st.integers(1, 10**15),
    base=st.integers(0, 10**15),
    tip=st.integers(0, 10**15),
    cap=st.integers(1, 10**15),
)
def test_replacement__any_market__both_rise_by_a_tenth_within_the_cap_or_same_bytes(
    old_fee: int, old_tip: int, base: int, tip: int, cap: int
) -> None:
    old = Fees(max(old_fee, old_tip), min(old_fee, old_tip))
    new = replacement(old, FeeQuote(base, tip), cap)
    if new is None:
        assert raised(old.max_fee, 10) > cap or raised(old.max_tip, 10) > cap
        return
    assert new.max_fee * 10 >= old.max_fee * 11
    assert new.max_tip * 10 >= old.max_tip * 11
    assert new.max_tip <= new.max_fee <= cap


@pytest.mark.parametrize(
    ("old", "quote", "cap", "expected"),
    [
        # name of the case in the comment: old offer, market, cap, new offer
        (Fees(10, 1), FeeQuote(1, 1), 1000, Fees(12, 2)),  # rounds up: 20 % of 1 is 1
        (Fees(100, 10), FeeQuote(500, 20), 10_000, Fees(1020, 20)),  # to the market
        (Fees(100, 10), FeeQuote(1, 1), 115, Fees(115, 12)),  # the cap leaves 15 %: enough
        (Fees(100, 10), FeeQuote(1, 1), 109, None),  # the cap leaves 9 %: nodes would refuse
        (Fees(100, 10), FeeQuote(500, 20), 100, None),  # at the cap
    ],
)
def test_replacement__named_cases(
    old: Fees, quote: FeeQuote, cap: int, expected: Fees | None
) -> None:
    assert replacement(old, quote, cap) == expected


def test_initial__next_block_over_the_cap__waits() -> None:
    assert initial(FeeQuote(200 * GWEI, GWEI), 200 * GWEI) is None
    assert initial(FeeQuote(150 * GWEI, GWEI), 200 * GWEI) == Fees(200 * GWEI, GWEI)
    assert initial(FeeQuote(10 * GWEI, GWEI), 200 * GWEI) == Fees(21 * GWEI, GWEI)


def test_cap__native_coin_per_batch__binds_for_large_gas_limits() -> None:
    cap = FeeCap.model_validate({"gwei": 200, "batch_native": "1"})
    assert cap_for(cap, 100_000) == 200 * GWEI
    assert cap_for(cap, 10_000_000) == 100 * GWEI


@pytest.mark.parametrize(
    ("gas", "worth", "limit", "key"),
    [
        (100_000, None, 200 * GWEI, "gwei"),
        (100_000, 4 * 10**18, 200 * GWEI, "gwei"),  # 50 bps of 4 coins: exactly 0.02
        (100_000, 4 * 10**18 - 1, 200 * GWEI - 1, "batch_bps"),
        (10_000_000, None, 100 * GWEI, "batch_native"),
        (10_000_000, 199 * 10**18, 99_500_000_000, "batch_bps"),
        (100_000, 0, 0, "batch_bps"),
    ],
)
def test_cap__lowest_of_three__named(gas: int, worth: int | None, limit: int, key: str) -> None:
    cap = FeeCap.model_validate({"gwei": 200, "batch_native": "1", "batch_bps": 50})
    assert (cap_for(cap, gas, worth), which_cap(cap, gas, worth)) == (limit, key)


def test_worth_in_wei__no_price__none__else_rounded_down() -> None:
    assert worth_in_wei(5_000000, None) is None
    assert worth_in_wei(5_000000, 2500_000000) == 2 * 10**15
    assert worth_in_wei(1, 3_000000) == 10**18 // 3_000000


def test_stuck__outbid_and_no_better_offer_under_the_cap() -> None:
    offer = Fees(100, 10)
    assert stuck(offer, FeeQuote(100, 1), 105)
    assert not stuck(offer, FeeQuote(99, 1), 105), "the next block takes it"
    assert not stuck(offer, FeeQuote(100, 1), 200), "it can be raised"


@pytest.mark.parametrize("outcome", SendOutcome)
def test_after_send__only_what_can_never_be_valid_halts(outcome: SendOutcome) -> None:
    halts = outcome is SendOutcome.rejected
    assert (after_send(outcome) is AfterSend.HALT) == halts


@pytest.mark.parametrize(
    ("waited", "base_fee", "final_nonce", "lowest", "expected"),
    [
        (1, 1, None, True, NonceStep.WAIT),
        (31, 1, None, True, NonceStep.BUMP),
        (31, 1, None, False, NonceStep.WAIT),
        (61, 1, None, False, NonceStep.RESEND),
        (8, 1000, None, True, NonceStep.BUMP),  # outbid: a quarter of the patience is enough
        (8, 1, None, True, NonceStep.WAIT),
        (61, 10**9, None, True, NonceStep.RESEND),  # market over the cap, old offer at it
        (0, 1, 7, True, NonceStep.WAIT),  # final nonce 7: ours (7) is still unused
        (0, 1, 8, True, NonceStep.FOREIGN),
        (-5, 1, None, True, NonceStep.WAIT),  # the clock went back
    ],
)
def test_next_step__named_cases(
    waited: int, base_fee: int, final_nonce: int | None, lowest: bool, expected: NonceStep
) -> None:
    cap = 100 if base_fee == 10**9 else 10**6
    pending = Pending(7, [Fees(100, 10)], NOW - timedelta(seconds=waited), final_nonce, lowest)
    step, fees = next_step(pending, FeeQuote(base_fee, 1), cap, Patience(), NOW)
    assert step is expected
    assert (fees is not None) == (expected is NonceStep.BUMP)


@pytest.mark.parametrize(
    ("waited", "stood", "unseen", "lowest", "expected"),
    [
        (1, 1, True, True, NonceStep.WAIT),  # it may not have reached every node yet
        (8, 8, True, True, NonceStep.RESEND),
        (8, 8, False, True, NonceStep.WAIT),
        (8, 31, True, True, NonceStep.BUMP),  # given again and again: that is no better offer
        (8, -5, False, True, NonceStep.WAIT),  # the clock went back
    ],
)
def test_next_step__dropped_by_the_node(
    waited: int, stood: int, unseen: bool, lowest: bool, expected: NonceStep
) -> None:
    given_at, offered_at = NOW - timedelta(seconds=waited), NOW - timedelta(seconds=stood)
    pending = Pending(7, [Fees(100, 10)], given_at, None, lowest, offered_at, unseen)
    step, _ = next_step(pending, FeeQuote(1, 1), 10**6, Patience(), NOW)
    assert step is expected


def test_judge_idle__ahead_halts_behind_fills() -> None:
    assert judge_idle(5, 5) is IdleVerdict.OK
    assert judge_idle(6, 5) is IdleVerdict.AHEAD
    assert judge_idle(4, 5) is IdleVerdict.GAP


def test_schedule__missed_three_times__due_once_and_counted_from_now() -> None:
    schedule = parse_schedule("every 1h")
    due = judge(schedule, NOW - timedelta(hours=3), NOW)
    assert (due.now, due.next_at) == (True, NOW + timedelta(hours=1))
    assert judge(schedule, NOW + timedelta(minutes=1), NOW).now is False
    assert judge(schedule, None, NOW).now is False
    assert schedule_of("nonsense", "every 1h") == schedule


def _destination(
    number: int, token: str | None = None, active: int = 0, chain: str = "anvil"
) -> Destination:
    at = NOW + timedelta(seconds=active)
    address = Address(bytes([number]) * 20)
    return Destination(f"pd_{number}", "mer_1", chain, token, address, "active", at)


def test_choose_destination__token_before_chain__newest_of_several() -> None:
    balance = MerchantBalance("mer_1", "anvil", "USDC", 5, 0)
    one, two = _destination(1), _destination(2)
    exact, other = _destination(3, "USDC"), _destination(9, chain="other")
    assert choose_destination(balance, [one, two]) == two
    assert choose_destination(balance, [two, exact, one]) == exact
    assert choose_destination(balance, [other]) is None


def test_plan__newer_destination_cools_off__older_is_not_used() -> None:
    balance = MerchantBalance("mer_1", "anvil", "USDC", 5, 0)
    rules = Rules(NOW, {("mer_1", "anvil", "USDC"): 1}, (), {})
    plan = make_plan([balance], [_destination(1), _destination(2, active=60)], rules)
    assert plan.payouts == ()
    assert plan.held_back[0].reason == "destination is cooling off"


def _queued(token: str, *amounts: int) -> list[dict[str, object]]:
    return [{"id": i, "token": token, "amount": a} for i, a in enumerate(amounts)]


def test_pick_batch__large_one_does_not_hold_up_small_ones() -> None:
    picked = pick_batch(_queued("USDC", 100, 7, 3), {"USDC": 12}, 400)
    assert picked is not None
    assert [row["amount"] for row in picked[1]] == [7, 3]
    assert pick_batch(_queued("USDC", 100), {"USDC": 99}, 400) is None
    assert pick_batch(_queued("USDC", 1, 1, 1), {"USDC": 99}, 2) == (
        "USDC",
        _queued("USDC", 1, 1),
    )


def test_pick_batch__limit_of_a_transaction__cut_to_it__released_large_one_goes_alone() -> None:
    at_once = {"USDC": 10}
    amounts = []
    queue = _queued("USDC", 6, 5, 4, 11, 1)
    while picked := pick_batch(queue, {"USDC": 99}, 400, at_once):
        amounts.append([row["amount"] for row in picked[1]])
        queue = [row for row in queue if row not in picked[1]]
    assert amounts == [[6, 4], [5, 1], [11]]
    assert pick_batch(_queued("DAI", 6, 5), {"DAI": 99}, 400, at_once) is not None


def test_gas_limit__never_over_the_cap_of_a_transaction() -> None:
    assert gas_limit(100_000, may_fail=False) == 125_000
    assert gas_limit(100_000, may_fail=True) == 425_000
    assert gas_limit(16_000_000, may_fail=True) == TX_GAS_CAP
    with pytest.raises(ValueError, match="over the cap"):
        gas_limit(TX_GAS_CAP + 1, may_fail=True)
    assert most_entries(400) == 400
    assert most_entries(10_000) < 440


def test_gas_limit__chain_whose_gas_pays_for_data__above_the_cap_of_others() -> None:
    caps = {
        name: parse_settings({"chains": [{"chain": name, "rpc_urls": ["http://127.0.0.1:1"]}]})
        .chains[0]
        .gas_cap
        for name in ("arbitrum", "ethereum", "base", "polygon")
    }
    cap = caps.pop("arbitrum")
    assert gas_limit(40_000_000, may_fail=True, cap=cap) == 50_300_000
    with pytest.raises(ValueError, match="over the cap"):
        gas_limit(cap + 1, may_fail=True, cap=cap)
    assert set(caps.values()) == {TX_GAS_CAP}


@pytest.mark.parametrize(
    ("code", "nonce", "expected"),
    [
        (b"", 0, AccountState.FRESH),
        (delegation_code(FORWARDER), 1, AccountState.DELEGATED),
        (b"", 1, AccountState.STRANGE),
        (delegation_code(Address(b"\x01" * 20)), 1, AccountState.STRANGE),
        (b"\x60\x00", 0, AccountState.STRANGE),
    ],
)
def test_account_state__named_cases(code: bytes, nonce: int, expected: AccountState) -> None:
    assert account_state(code, nonce, FORWARDER) is expected


def test_account_state__used_account_of_a_test_mnemonic__fresh_but_never_with_foreign_code() -> (
    None
):
    assert account_state(b"", 7, FORWARDER, may_be_used=True) is AccountState.FRESH
    foreign = delegation_code(Address(b"\x01" * 20))
    assert account_state(foreign, 7, FORWARDER, may_be_used=True) is AccountState.STRANGE


def _deposit(index: int, amount: int, age: int = 0) -> Deposit:
    address = Address(index.to_bytes(20))
    since = NOW - timedelta(seconds=age)
    return Deposit(address, index, "USDC", amount, (f"pay_{index}",), since, since)


@pytest.mark.parametrize(
    ("needed", "minimum", "age", "expected"),
    [
        (0, 0, 0, []),  # nothing due, nobody has waited
        (0, 0, 60, [1, 2, 3]),  # waited: all go
        (0, 50, 60, [1]),  # only what is worth it
        (60, 1000, 0, [1, 2]),  # what a payout needs, largest first, whatever its size
        (10, 30, 0, [1, 2]),  # one is enough, the other worth it goes along
        (10**9, 1000, 0, [1, 2, 3]),
    ],
)
def test_choose__named_cases(needed: int, minimum: int, age: int, expected: list[int]) -> None:
    deposits = [_deposit(1, 50, age), _deposit(2, 30, age), _deposit(3, 5, age)]
    chosen = choose(deposits, needed=needed, minimum=minimum, gather=timedelta(seconds=60), now=NOW)
    assert [d.derivation_index for d in chosen] == expected


def test_fit__strange_accounts_stay__gas_bounds_the_rest() -> None:
    deposits = [_deposit(i, 1) for i in range(1, 900)]
    states = {d.address: AccountState.FRESH for d in deposits}
    states[deposits[0].address] = AccountState.STRANGE
    assert len(fit(deposits, states)) == 302
    assert deposits[0] not in fit(deposits, states)
    states = dict.fromkeys(states, AccountState.DELEGATED)
    assert len(fit(deposits, states)) == 812


def test_in_turn__too_many_wait_for_themselves__what_is_new_goes_first_and_each_has_a_look() -> (
    None
):
    waiting, held = list(range(100)), set(range(90))
    turns = [in_turn(waiting, held, 32, turn) for turn in range(90)]
    assert all(turn[:10] == list(range(90, 100)) and len(turn) == 32 for turn in turns)
    assert set().union(*turns) == set(waiting)
    assert in_turn(waiting, set(), 32, 7) == waiting[:32]


@pytest.mark.parametrize(
    ("worths", "count"),
    [
        ([], 0),
        ([400_000], 1),
        ([380_000], 0),  # it pays for itself, and not for its batch
        ([300_000, 300_000], 2),  # together they do
        ([400_000, 1, 1], 1),
        ([400_000, 13_749, 13_749], 1),
        ([400_000, 13_750, 13_749], 2),
        ([13_750] * 400, 0),
    ],
)
def test_worth_their_own__each_pays_its_gas_and_all_the_batch__never_one_that_does_not(
    worths: list[int], count: int
) -> None:
    """388,750 gas for one and 13,750 for each more, at a price of one wei; all of it may go."""
    cap = FeeCap(batch_bps=10_000)
    assert worth_their_own(worths, cap, FeeQuote(1, 0)) == count
