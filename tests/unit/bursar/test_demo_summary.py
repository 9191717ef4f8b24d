"""The demo's last table: pure computation over books, chain and story."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from bursar.demo.report import amounts
from bursar.demo.story import BY_SYMBOL, COINS, SCENES, SHOPS, Coin, Promise, fee_of, promise
from bursar.demo.summary import (
    Books,
    OnChain,
    books_of,
    broken_promises,
    differences,
    exact,
    missing_webhooks,
    sheet,
    wrong_ending,
    wrong_payouts,
)
from ledger.postings import AccountKind, AccountRef, Totals

USDC = BY_SYMBOL["USDC"]
BOOKS = Books(received=1000, deposits=0, treasury=5, fees=5, paid=(600, 395), owed=(0, 0))
CHAIN = OnChain(received=1000, deposits=0, treasury=5, paid=(600, 395))
PROMISE = Promise(received=1000, fees=5, paid=(600, 395))
EXACT = next(scene for scene in SCENES if scene.key == "exact")
POISON = next(scene for scene in SCENES if scene.key == "poison")


def test_sheet__ledger_equals_chain__agrees() -> None:
    one = sheet(USDC, BOOKS, CHAIN, SHOPS)
    assert one.agrees
    assert differences([one]) == []
    assert [line.ledger for line in one.lines] == [1000, 0, 5, 600, 395, 5]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"received": 1001}, "received"),
        ({"deposits": 1}, "not swept yet"),
        ({"treasury": 4}, "in the treasury"),
        ({"paid": (601, 395)}, "paid to Corner Shop"),
        ({"paid": (600, 394)}, "paid to Paper & Ink"),
    ],
)
def test_differences__one_unit_on_chain__is_named(changed: dict[str, Any], named: str) -> None:
    one = sheet(USDC, BOOKS, replace(CHAIN, **changed), SHOPS)
    assert not one.agrees
    assert any(named in line for line in differences([one]))


def test_sheet__fees_in_the_books_only__differ_from_what_stayed() -> None:
    one = sheet(USDC, replace(BOOKS, fees=6), CHAIN, SHOPS)
    assert differences([one]) == [
        "USDC kept as fees: 0.000006 in the ledger, 0.000005 on the chain"
    ]


def test_broken_promises__all_as_played__none() -> None:
    assert broken_promises(USDC, PROMISE, BOOKS, CHAIN, SHOPS) == []


def test_broken_promises__both_sides_wrong_together__still_found() -> None:
    books = replace(BOOKS, received=2000, paid=(1600, 395))
    chain = replace(CHAIN, received=2000, paid=(1600, 395))
    assert sheet(USDC, books, chain, SHOPS).agrees
    found = broken_promises(USDC, PROMISE, books, chain, SHOPS)
    assert [line.split(":")[0] for line in found] == ["USDC received", "USDC paid to Corner Shop"]


def test_broken_promises__something_not_paid_out__still_owed() -> None:
    found = broken_promises(USDC, PROMISE, replace(BOOKS, owed=(0, 7)), CHAIN, SHOPS)
    assert found == ["USDC still owed to Paper & Ink: 0.000007 instead of 0.00"]


@pytest.mark.parametrize(
    ("amount", "decimals", "text"),
    [
        (1, 6, "0.000001"),
        (-1, 6, "-0.000001"),
        (25_000000, 6, "25.000000"),
        (10**18, 18, "1." + "0" * 18),
    ],
)
def test_exact__any_amount__keeps_every_decimal(amount: int, decimals: int, text: str) -> None:
    assert exact(amount, decimals) == text


def test_books_of__totals__are_read_on_their_normal_side() -> None:
    def ref(kind: AccountKind, merchant: str = "") -> AccountRef:
        return AccountRef(kind, "anvil", "USDC", merchant)

    totals = {
        ref(AccountKind.DEPOSITS): Totals(debits_posted=1000, credits_posted=990),
        ref(AccountKind.TREASURY): Totals(debits_posted=990, credits_posted=600),
        ref(AccountKind.FEES): Totals(credits_posted=5),
        ref(AccountKind.MERCHANT, "mer_a"): Totals(debits_posted=600, credits_posted=995),
        ref(AccountKind.PAYOUTS, "mer_a"): Totals(debits_posted=600, credits_posted=600),
        AccountRef(AccountKind.DEPOSITS, "other", "USDC"): Totals(debits_posted=9),
    }
    assert books_of(totals, "anvil", USDC, ["mer_a", "mer_b"]) == Books(
        received=1000, deposits=10, treasury=390, fees=5, paid=(600, 0), owed=(395, 0)
    )


@pytest.mark.parametrize("coin", COINS, ids=lambda coin: coin.symbol)
def test_promise__each_coin__sums_to_what_came_in(coin: Coin) -> None:
    promised = promise(coin)
    assert promised.received == promised.fees + sum(promised.paid)
    assert all(promised.paid), "each shop is paid in each coin, so that batches have two"


def test_story__fees__are_rounded_down_per_payment() -> None:
    assert fee_of(199) == 0
    assert fee_of(20_123456789012345678) == 100617283945061728


def test_story__units__keep_every_decimal() -> None:
    assert BY_SYMBOL["DAI"].units("20.123456789012345678") == 20_123456789012345678
    assert USDC.units("25") == 25_000000


def invoice(**changed: Any) -> dict[str, Any]:
    good: dict[str, Any] = {
        "status": "paid",
        "exceptions": [],
        "options": [{"token": "USDC", "decimals": 6}],
        "payments": [{"status": "confirmed", "amount": "25.00", "reason": None}],
        "settlement": {"status": "paid"},
    }
    return {**good, **changed}


def test_wrong_ending__as_the_scene_asks__nothing() -> None:
    assert wrong_ending(EXACT, invoice()) == []


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"status": "processing"}, "status is processing, not paid"),
        ({"exceptions": ["late"]}, "exceptions is ['late'], not []"),
        (
            {"payments": [{"status": "confirmed", "amount": "25.00", "reason": None}] * 2},
            "credited is ['25.00', '25.00'], not ['25.00']",
        ),
        (
            {"payments": [{"status": "orphaned", "amount": "25.00", "reason": None}]},
            "unfinished payments is ['orphaned'], not []",
        ),
        ({"settlement": {"status": "due"}}, "settlement is due, not paid"),
    ],
)
def test_wrong_ending__anything_else__is_named(changed: dict[str, Any], named: str) -> None:
    assert any(named in line for line in wrong_ending(EXACT, invoice(**changed)))


def test_wrong_ending__poison_credited__is_named() -> None:
    ignored = {"status": "ignored", "amount": "0.00", "reason": "zero_value"}
    fine = invoice(status="new", payments=[ignored], settlement={"status": "none"})
    assert wrong_ending(POISON, fine) == []
    credited = {**fine, "payments": [{**ignored, "status": "confirmed", "reason": None}]}
    assert len(wrong_ending(POISON, credited)) == 2


def payout(token: str, batch: str, status: str = "paid") -> dict[str, Any]:
    return {"id": "po_1", "token": token, "batch": batch, "status": status, "reason": None}


def test_wrong_payouts__two_shops_in_one_batch_each__none() -> None:
    good = [payout(coin.symbol, f"batch_{coin.symbol}") for coin in COINS for _ in SHOPS]
    assert wrong_payouts(good, COINS) == []


def test_wrong_payouts__two_batches_of_a_coin_or_not_paid__named() -> None:
    found = wrong_payouts(
        [payout("USDC", "batch_1"), payout("USDC", "batch_2", status="submitted")], [USDC]
    )
    assert found == [
        "payout po_1: submitted (no reason), not paid",
        "USDC: 2 payouts in 2 batches, not 2 in 1",
    ]


def test_missing_webhooks__fewer_than_happened_or_refused__named() -> None:
    assert missing_webhooks({"payout.paid": 7}, {"payout.paid": 6}, refused=0) == []
    assert missing_webhooks({}, {"payout.paid": 6}, refused=1) == [
        "webhook payout.paid: 0 delivered, at least 6 expected",
        "1 webhooks whose signature does not verify",
    ]


def test_amounts__narrow_terminal_and_differences__are_never_cut() -> None:
    dai = BY_SYMBOL["DAI"]
    books = Books(80 * 10**18 + 1, 0, 1, 1, (20 * 10**18 + 7, 0), (0, 0))
    one = sheet(dai, books, OnChain(80 * 10**18, 0, 2, (20 * 10**18, 0)), SHOPS)
    out = StringIO()
    Console(width=60, file=out).print(amounts((one,)), crop=False)
    assert "…" not in out.getvalue()
    received = next(line for line in out.getvalue().splitlines() if "received" in line)
    assert received.split()[1:] == [
        "80.000000000000000001",
        "80.000000000000000000",
        "0.000000000000000001",
    ]
