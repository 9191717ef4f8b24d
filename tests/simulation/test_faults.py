"""Kinds of faults, so strong that each is met: short runs, judged row by row.

A run that breaks a rule fails every row that it stands for; the totals say what struck.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from tests.simulation.test_simulation import LONGEST, simulate

pytestmark = pytest.mark.timeout(LONGEST)


def run(seed: int, *more: str, **levels: float) -> dict[str, Any]:
    """The totals of a clean seed that had these faults and no others."""
    given = [f for name, level in levels.items() for f in ("--fault", f"{name}={level}")]
    return simulate("--calm", "--seed", str(seed), *more, *given)


@cache
def bad_providers() -> dict[str, Any]:
    return run(
        31, reorg=5, reorg_back=0.5, reorg_drop=0.2, rpc_no_logs=0.6, rpc_html=0.03, rpc_cut=0.03,
        rpc_null=0.03, rpc_foreign_log=0.1, rpc_limited=0.05, rpc_down=0.2, rpc_lag=0.1,
        rpc_timeout=0.02, rpc_slow=0.05,
    )  # fmt: skip


@cache
def bad_machines() -> dict[str, Any]:
    return run(
        32, db_begin=0.005, db_statement=0.002, db_commit=0.01, db_committed=0.01, kill=0.0005,
        kill_at_commit=0.005, kill_at_send=0.3, kill_while_writing=0.3, send_unknown=0.4,
        send_refused=0.2, send_lost=0.2, two_daemons=1, frozen=3, clock_jump=3,
    )  # fmt: skip


@cache
def bad_luck() -> dict[str, Any]:
    """One of the two chains knows no delegation."""
    return run(
        65, "--invoices", "5", no_delegation=0.5, fee_spike=0.3, slow_miner=0.4, token_paused=0.3,
        blacklisted=0.5, sponsor_empty=1, webhook_fails=0.4, webhook_slow=0.05, webhook_down=0.2,
    )  # fmt: skip


@cache
def disasters() -> dict[str, Counter[str]]:
    """Two seeds: what strikes a batch needs a batch at that moment."""
    totals = [
        run(
            seed, "--invoices", "6",
            restored=1, reorg_deep=0.5, epoch_raised=1, blacklisted_in_flight=1, slow_miner=0.3,
        )
        for seed in (34, 38)
    ]  # fmt: skip
    names = ("faults", "counts")
    return {name: sum((Counter(t[name]) for t in totals), Counter()) for name in names}


@cache
def oblivion() -> dict[str, Any]:
    """The journal is lost with the database, and a merchant moved after the backup was made."""
    more = ("--days", "0.06", "--invoices", "5", "--quiet", "2")
    return run(1095, *more, restored_without_journal=1)


@cache
def final_losses() -> dict[str, Any]:
    more = ("--invoices", "3", "--quiet", "1", "--slack", "6")
    return run(3102, *more, reorg_deep_lossy=1)


@cache
def lies_about_receipts() -> dict[str, Any]:
    """One of two providers."""
    more = ("--invoices", "3", "--quiet", "1.5")
    return run(4012, *more, receipt_bare=0.3, receipt_null=0.1, nonce_stale=0.3)


@cache
def lies_about_state() -> dict[str, Any]:
    """One of two providers."""
    more = ("--invoices", "3", "--quiet", "1.5")
    return run(4014, *more, nonce_ahead=0.8, call_lied=0.1, balance_lied=0.3, code_lied=0.3)


@cache
def strangers() -> dict[str, Any]:
    """They give, are first with a batch, and use a sponsor's key; one provider stands still, and
    blocks in which something of ours ran leave the chain, often with what ran forgotten."""
    more = ("--days", "0.04", "--invoices", "3", "--quiet", "1.5")
    return run(
        1004, *more,
        gift=0.5, front_run=1, foreign_nonce=2, rpc_stopped=1, reorg_ours=1, reorg_forgotten=0.5,
    )  # fmt: skip


@cache
def proven() -> dict[str, Any]:
    """A chain with one provider, which adds deposits to true receipts and leaves logs out."""
    more = ("--days", "0.03", "--quiet", "1")
    return run(1025, *more, receipts_proof=1, rpc_forged=0.5, rpc_some_logs=0.5, rpc_no_logs=0.3)


@cache
def guarded() -> dict[str, Any]:
    """A house with a second person for everything, limits, and a busy bookkeeper."""
    more = ("--days", "0.04", "--invoices", "5", "--quiet", "1.5")
    return run(
        408, *more, limited=1, refunds_approved=1, payouts_approved=1, destinations_approved=1,
        merchant_refunds=1, merchant_moves=0.3, terms_changed=1, debt_written_off=10,
        owner_withdraws=1,
    )  # fmt: skip


@cache
def told() -> dict[str, Any]:
    """Endpoints, their secrets and API keys change all the time; a backup forgets some of it."""
    more = ("--invoices", "3", "--quiet", "1.5")
    return run(
        5, *more, restored=1, endpoint_changed=2, secret_rotated=2, key_rotated=2,
        webhook_fails=0.5, webhook_slow=0.3, webhook_down=0.3,
    )  # fmt: skip


@cache
def listed() -> Counter[str]:
    """Issuers list customers who are to get refunds, deposit addresses and the treasury."""
    totals = run(
        2003, "--invoices", "4", "--quiet", "1.5", merchant_refunds=2, customer_blacklisted=1,
        deposit_blacklisted=0.5, treasury_blacklisted=0.5,
    )  # fmt: skip
    return Counter(totals["counts"])


def struck(totals: Mapping[str, Any], *names: str) -> None:
    """At least one of these did happen."""
    assert any(totals["faults"].get(name) for name in names), totals["faults"]


def test_f01_simulated_reorgs__every_few_minutes__paid_once_and_agreeing() -> None:
    struck(bad_providers(), "reorg")


def test_f06_simulated_providers__pages_stumps_and_foreign_logs__refused() -> None:
    struck(bad_providers(), "rpc_html", "rpc_cut", "rpc_null", "rpc_foreign_log")


def test_f08_simulated_providers__limits_and_outages__catches_up_whole() -> None:
    struck(bad_providers(), "rpc_limited", "rpc_down", "rpc_timeout")


def test_f12_simulated_database__errors_at_every_moment__whole_or_nothing() -> None:
    struck(bad_machines(), "db_begin", "db_statement", "db_commit", "db_committed")


def test_f13_simulated_deaths__at_statements_commits_and_sends__paid_once() -> None:
    assert bad_machines()["counts"]["deaths"] >= 1


def test_f14_simulated_sends__answers_that_say_nothing__decided_by_hash_and_nonce() -> None:
    struck(bad_machines(), "send_unknown", "send_refused", "send_lost")


def test_f19_simulated_daemons__two_of_them_frozen_in_turn__one_pays() -> None:
    struck(bad_machines(), "frozen")


def test_f26_simulated_clocks__jump_ninety_seconds_either_way__books_as_they_were() -> None:
    struck(bad_machines(), "clock_jump")


def test_f02_simulated_reorgs__below_finality__halted_cleared_and_exact() -> None:
    assert disasters()["counts"]["halts cleared"] >= 1


def test_f18_simulated_owner__raises_epochs__what_was_signed_is_paid_once() -> None:
    struck(disasters(), "epoch_raised")


def test_f20_simulated_backup__restored_while_money_flows__nothing_paid_twice() -> None:
    struck(disasters(), "restored")


def test_f20_simulated_backup__its_journal_lost_too__outflows_named_and_nothing_paid_twice() -> (
    None
):
    assert oblivion()["counts"]["outflows resolved"] >= 1


def test_f02_simulated_reorgs__final_payments_lost_or_in_another_order__cleared_and_exact() -> None:
    assert final_losses()["counts"]["halts cleared"] >= 1
    assert final_losses()["counts"]["final payments: drop"] >= 1


def test_f21_simulated_blacklist__strikes_a_batch_in_flight__held_and_paid_later() -> None:
    assert disasters()["counts"]["payouts failed on chain"] >= 1


def test_simulated_chain_without_delegation__deposit_addresses_send__swept_and_paid() -> None:
    assert bad_luck()["counts"]["sent by deposit addresses"] >= 1


def test_f14_simulated_lies__receipts_without_logs_or_none__booked_by_what_two_show() -> None:
    struck(lies_about_receipts(), "receipt_bare", "receipt_null")


def test_f16_simulated_lies__nonces_of_some_blocks_ago__no_nonce_filled_or_used_twice() -> None:
    struck(lies_about_receipts(), "nonce_stale")


def test_f16_simulated_lies__state_of_contracts_and_accounts__paid_once_and_nothing_given_up() -> (
    None
):
    for name in ("nonce_ahead", "call_lied", "balance_lied", "code_lied"):
        struck(lies_about_state(), name)


def test_simulated_deposits_without_keys__created_and_swept__paid() -> None:
    """One chain, with reorgs that take created addresses back."""
    totals = run(3, "--invoices", "3", "--quiet", "1", keyless_deposits=1, reorg=2)
    assert totals["counts"]["broadcasts"] >= 2


def test_simulated_deposits_signed_offline__files_run_short_again_and_again__swept_and_paid() -> (
    None
):
    totals = run(3, "--invoices", "4", "--quiet", "1", cold_deposits=1)
    assert totals["counts"]["files imported"] >= 2
    assert totals["counts"]["broadcasts"] >= 2


def test_f18_simulated_key__used_by_somebody_else__halted_released_and_exact() -> None:
    assert strangers()["counts"]["foreign nonces passed"] >= 1
    assert strangers()["counts"]["lane holds released"] >= 1


def test_f01_simulated_reorgs__take_back_what_we_sent_and_forget_it__sent_again() -> None:
    struck(strangers(), "reorg_ours")
    struck(strangers(), "reorg_forgotten")


def test_simulated_strangers__give_and_are_first_with_a_batch__booked_and_nothing_stops() -> None:
    for name in ("gift", "front_run"):
        struck(strangers(), name)


def test_simulated_owner__takes_tokens_out_and_pays_by_hand__named_resolved_and_owed() -> None:
    """Seed 1000: outflows that a start looked at twice were booked as if more had come in."""
    more = ("--invoices", "5", "--quiet", "1.5")
    totals = run(1000, *more, owner_withdraws=2, owner_first=0.5)
    assert totals["counts"]["outflows resolved"] >= 1


def test_simulated_house__second_persons_and_limits__nothing_is_sealed_unasked() -> None:
    counts = guarded()["counts"]
    for kind in ("refunds", "payouts", "payout_destinations"):
        assert counts[f"{kind}: approve"] >= 1, counts
    assert counts["payout holds released"] >= 1, counts


def test_simulated_bookkeeper__changes_terms_and_gives_debts_up__exact() -> None:
    counts = guarded()["counts"]
    assert counts["debts written off"] >= 1, counts
    assert counts["terms changed"] >= 1, counts


def test_f03_simulated_provider__stands_still_for_ever__all_paid_by_what_the_others_show() -> None:
    struck(strangers(), "rpc_stopped")


def test_f05_simulated_proofs__one_provider_that_adds_and_leaves_out__credited_as_the_root_says() -> (
    None
):
    for name in ("rpc_forged", "rpc_some_logs", "rpc_no_logs"):
        struck(proven(), name)


def test_f15_simulated_fees__spikes_and_slow_miners__waits_and_pays() -> None:
    struck(bad_luck(), "fee_spike", "slow_miner")


def test_f21_simulated_issuers__paused_blacklisted_and_no_gas_money__all_paid_later() -> None:
    struck(bad_luck(), "token_paused", "blacklisted", "sponsor_empty")


def test_f21_simulated_customers__listed_before_and_after_sealing__taken_back_or_paid_once() -> (
    None
):
    assert listed()["refunds of listed customers taken back"] >= 1
    assert listed()["payouts failed on chain"] >= 1
    assert listed()["listed in flight"] >= 1


def test_f21_simulated_deposit_addresses__listed_for_a_while__others_go_and_they_are_swept() -> (
    None
):
    assert listed()["put off a list"] >= 3
    assert listed()["batch holds released"] >= 1


def test_f27_simulated_endpoints__fail_and_time_out__told_in_order() -> None:
    struck(bad_luck(), "webhook_fails", "webhook_slow", "webhook_down")


def test_f27_simulated_endpoints__deleted_added_gone_and_secrets_rotated__told_and_verified() -> (
    None
):
    for name in ("endpoint_changed", "secret_rotated"):
        struck(told(), name)


def test_f28_simulated_keys__revoked_while_somebody_uses_them__refused_and_nothing_done() -> None:
    struck(told(), "key_rotated")
    assert told()["counts"]["revoked keys tried"] >= 1, told()["counts"]
