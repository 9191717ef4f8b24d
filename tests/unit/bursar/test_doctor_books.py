"""The doctor's words on coverage and checks, from what the books hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bursar.actions.doctor_books import ago, balances, covered, when_checked
from bursar.actions.doctor_chain import proven_by
from config.chains import ChainSettings
from ledger.chain_checks import CheckRun
from ledger.coverage import Coverage, Gap

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def settings(**changes: object) -> ChainSettings:
    return ChainSettings.model_validate(
        {
            "name": "base",
            "chain_id": 8453,
            "rpc_urls": ["http://127.0.0.1:1"],
            "finality": "finalized",
            **changes,
        }
    )


def test_covered__no_gap__from_where_to_where() -> None:
    found = covered("base", Coverage(5, 900, 880, 70, (), 0))
    assert found.good
    assert found.text == (
        "blocks 5 to 900 read in one piece, final up to 880, 70 hashes stored, no gap"
    )


def test_covered__gap__fails_and_names_it() -> None:
    found = covered("base", Coverage(5, 900, 880, 70, (Gap(7, 800, "why"),), 12))
    assert not found.good
    assert "12 blocks waiting to be read again" in found.text
    assert "1 gaps: 7 to 800: why" in found.text


def test_checks__each__when_or_why_not() -> None:
    runs = {
        "second_reading": CheckRun("base", "second_reading", NOW - timedelta(minutes=5), 800),
        "balance_audit": CheckRun(
            "base", "balance_audit", NOW - timedelta(seconds=9), 890, 4,
            NOW - timedelta(minutes=1), NOW - timedelta(hours=3),
        ),
    }  # fmt: skip
    coverage = Coverage(5, 900, 880, 70, (), 0)
    assert when_checked(settings(), coverage, runs, 1, NOW) == [
        "linked to block 900",
        "second_reading 5 min ago (to block 800)",
        "second_provider has none",
        "receipts_proof off",
        "balance_audit 9 s ago (all addresses 3 h ago)",
    ]
    told = when_checked(settings(receipts_proof=True), coverage, {}, 2, NOW)
    assert told[1:] == [
        "second_reading never",
        "second_provider never",
        "receipts_proof never",
        "balance_audit never",
    ]


def test_balances__differences__fail() -> None:
    assert balances("base", {"above": 0, "below": 0}).good
    found = balances("base", {"above": 2, "below": 0})
    assert not found.good and "2 above the books" in found.text


@pytest.mark.parametrize(
    ("providers", "proof", "words"),
    [(1, False, "not proven"), (2, False, "2 providers"), (1, True, "proven by receipts")],
)
def test_completeness__by_what_it_is_proven(providers: int, proof: bool, words: str) -> None:
    assert words in proven_by(settings(receipts_proof=proof), providers)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s ago"), (119, "119 s ago"), (120, "2 min ago"), (7200, "2 h ago"),
     (172_800, "2 days ago")],
)  # fmt: skip
def test_ago__each_size(seconds: int, text: str) -> None:
    assert ago(timedelta(seconds=seconds)) == text
