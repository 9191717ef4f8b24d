"""Refunds and second persons over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from config.settings import SecuritySettings
from ledger.invoices import Tolerance, Touched, refresh_invoices
from ledger.payment_moves import PaymentMove, move_payments, open_payments
from ledger.payment_rows import PaymentPolicy
from ledger.payments import record_sightings
from ledger.schema import audit_log
from ledger.states import PaymentStatus
from settlement.runs import PayoutRuns, request_run
from tests.support.books import Books
from tests.support.clock import ManualClock
from tests.support.door import ADMIN_KEY, Door, door_settings, open_door

APPROVER_KEY = "approver-key-for-tests"
PAYER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


@pytest.fixture
async def guarded(migrated_url: str) -> AsyncIterator[Door]:
    """A door at which addresses, refunds and payouts above 5 USDC wait for a second person."""
    security = SecuritySettings.model_validate(
        {
            "destination_cooling_off": "0s",
            "approve_destinations": True,
            "approve_refunds": True,
            "approve_payouts_above": {"USDC": "5"},
        }
    )
    settings = door_settings().model_copy(update={"security": security})
    async with open_door(migrated_url, settings, approver_key=APPROVER_KEY) as served:
        yield served


async def paid(door: Door, key: str, units: int = 10_000000) -> str:
    """An invoice with confirmed money, as the watcher would leave it."""
    books, touched = Books(door.ledger, ManualClock()), Touched()
    invoice = await door.invoice(key)
    sighting = books.sighting(bytes.fromhex(invoice["address"][2:]), units)  # type: ignore[arg-type]
    async with door.ledger.transaction() as tx:
        await record_sightings(tx, [sighting], PaymentPolicy(), touched)
        found = await open_payments(tx, "anvil")
        moves = [PaymentMove(p, PaymentStatus.CONFIRMED) for p in found]
        await move_payments(tx, moves, PaymentPolicy(), touched)
        await refresh_invoices(tx, touched.ids, Tolerance())
    return str(invoice["id"])


async def test_refund__asked_listed_read_and_canceled(door: Door) -> None:
    key = await door.merchant()
    invoice = await paid(door, key)
    body = {"invoice": invoice, "amount": "2.5", "address": PAYER}
    made = await door.call("POST", "/v1/refunds", body, key=key)
    assert made.status == 201
    assert (made.body["kind"], made.body["amount"], made.body["invoice"]) == (
        "refund",
        "2.50",
        invoice,
    )
    path = f"/v1/refunds/{made.body['id']}"
    assert (await door.call("GET", path, key=key)).body == made.body
    listed = await door.call("GET", f"/v1/refunds?invoice={invoice}", key=key)
    assert [r["id"] for r in listed.body["data"]] == [made.body["id"]]
    others = await door.merchant("Other")
    assert (await door.call("GET", path, key=others)).status == 404
    assert (await door.call("POST", path + "/cancel", key=others)).status == 404
    assert (await door.call("POST", path + "/cancel", key=key)).body["status"] == "canceled"


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"amount": "10.01"}, 422, "amount"),
        ({"amount": "0"}, 422, "amount"),
        ({"amount": 1}, 422, "amount"),
        ({"invoice": "inv_00000000000000000000000000"}, 422, "invoice"),
        ({"invoice": "'; DROP TABLE payouts; --"}, 422, "invoice"),
        ({"address": "0x" + "00" * 20}, 422, "address"),
        ({"address": "0x" + "aa" * 20}, 422, "address"),
        ({"chain": "nowhere"}, 422, "chain"),
        ({"token": "DAI"}, 422, "invoice"),
    ],
)
async def test_refund__what_cannot_be_meant__named_and_nothing_reserved(
    door: Door, change: dict[str, object], status: int, field: str
) -> None:
    key = await door.merchant()
    body = {"invoice": await paid(door, key), "address": PAYER} | change
    refused = await door.call("POST", "/v1/refunds", body, key=key)
    assert (refused.status, refused.body["errors"][0]["field"]) == (status, field)
    balances = await door.call("GET", "/v1/balances", key=key)
    (usdc,) = [b for b in balances.body["data"] if (b["chain"], b["token"]) == ("anvil", "USDC")]
    assert (usdc["available"], usdc["reserved"]) == ("10.00", "0.00")


async def test_refund__same_idempotency_key__one_refund(door: Door) -> None:
    key = await door.merchant()
    body = {"invoice": await paid(door, key), "amount": "1", "address": PAYER}
    sent = {"Idempotency-Key": "refund-1"}
    first = await door.call("POST", "/v1/refunds", body, key=key, headers=sent)
    again = await door.call("POST", "/v1/refunds", body, key=key, headers=sent)
    assert (first.status, first.body) == (again.status, again.body)
    assert len((await door.call("GET", "/v1/refunds", key=key)).body["data"]) == 1


async def test_second_person__only_the_approvers_key_decides(guarded: Door) -> None:
    key = await guarded.merchant()
    made = await guarded.call(
        "POST", "/v1/payout-destinations", {"chain": "anvil", "address": PAYER}, key=key
    )
    assert made.body["status"] == "pending_approval"
    path = f"/v1/admin/approvals/{made.body['id']}/approve"
    for wrong in (key, ADMIN_KEY, "nobody"):
        assert (await guarded.call("POST", path, {}, key=wrong)).status == 401
    for may_look in (ADMIN_KEY, APPROVER_KEY):
        listed = await guarded.call("GET", "/v1/admin/approvals", key=may_look)
        assert [a["id"] for a in listed.body["data"]] == [made.body["id"]]
    assert (await guarded.call("GET", "/v1/admin/approvals", key=key)).status == 401
    assert (await guarded.call("GET", "/v1/admin/holds", key=APPROVER_KEY)).status == 401
    approved = await guarded.call("POST", path, {}, key=APPROVER_KEY)
    assert (approved.status, approved.body["status"]) == (200, "active")
    assert (await guarded.call("POST", path, {}, key=APPROVER_KEY)).status == 409


async def test_second_person__same_idempotency_key__one_decision_and_its_answer_again(
    guarded: Door,
) -> None:
    key = await guarded.merchant()
    ids = []
    for _ in range(3):
        body = {"invoice": await paid(guarded, key), "address": PAYER}
        ids.append((await guarded.call("POST", "/v1/refunds", body, key=key)).body["id"])
    sent = {"Idempotency-Key": "decision-1"}
    path = "/v1/admin/approvals"
    listed = await guarded.call("GET", f"{path}?limit=2", key=APPROVER_KEY)
    assert [a["id"] for a in listed.body["data"]] == ids[:2]
    rest = f"{path}?limit=2&cursor={listed.body['next_cursor']}"
    listed = await guarded.call("GET", rest, key=APPROVER_KEY)
    assert [a["id"] for a in listed.body["data"]] == ids[2:]
    assert listed.body["next_cursor"] is None
    for _ in range(2):
        answer = await guarded.call(
            "POST", f"{path}/{ids[0]}/approve", {}, key=APPROVER_KEY, headers=sent
        )
        assert (answer.status, answer.body["status"]) == (200, "queued")
    for other in (f"{ids[0]}/reject", f"{ids[1]}/approve"):
        answer = await guarded.call("POST", f"{path}/{other}", {}, key=APPROVER_KEY, headers=sent)
        assert answer.body["code"] == "idempotency_key_reused"
    statuses = [
        (await guarded.call("GET", f"/v1/refunds/{i}", key=key)).body["status"] for i in ids
    ]
    assert statuses == ["queued", "pending_approval", "pending_approval"]


async def test_second_person__rejected_refund__money_is_available_again(guarded: Door) -> None:
    key = await guarded.merchant()
    body = {"invoice": await paid(guarded, key), "address": PAYER}
    made = await guarded.call("POST", "/v1/refunds", body, key=key)
    assert made.body["status"] == "pending_approval"
    path = f"/v1/admin/approvals/{made.body['id']}/reject"
    rejected = await guarded.call("POST", path, {}, key=APPROVER_KEY)
    assert rejected.body["status"] == "canceled"
    got = await guarded.call("GET", f"/v1/refunds/{made.body['id']}", key=key)
    assert got.body["status"] == "canceled"


async def test_no_approver__nobody_approves(door: Door) -> None:
    path = "/v1/admin/approvals/po_00000000000000000000000000/approve"
    assert (await door.call("POST", path, {}, key=ADMIN_KEY)).status == 401
    assert (await door.call("POST", path, {}, key="")).status == 401


async def test_run__before_and_after__one_object_with_its_plan(guarded: Door) -> None:
    key = await guarded.merchant()
    await paid(guarded, key)
    planner = PayoutRuns(guarded.ledger, settings=guarded.deps.settings, refused=(), gated=False)
    async with guarded.ledger.transaction() as tx:
        run_id = await request_run(tx, None, "api")
    path = f"/v1/admin/payouts/runs/{run_id}"
    before = await guarded.call("GET", path, key=ADMIN_KEY)
    assert (before.body["status"], before.body["plan"], before.body["payouts"]) == (
        "requested",
        None,
        [],
    )
    await planner.tick()
    after = await guarded.call("GET", path, key=ADMIN_KEY)
    assert after.body["plan"]["held_back"][0]["reason"] == "no payout destination"
    listed = await guarded.call("GET", "/v1/admin/payouts/runs", key=ADMIN_KEY)
    assert [run["id"] for run in listed.body["data"]] == [run_id]
    unknown = "/v1/admin/payouts/runs/run_00000000000000000000000000"
    assert (await guarded.call("GET", unknown, key=ADMIN_KEY)).status == 404


async def test_payout_terms__replaced_as_a_whole(door: Door) -> None:
    made = await door.call("POST", "/v1/admin/merchants", {"name": "Shop"}, key=ADMIN_KEY)
    path = f"/v1/admin/merchants/{made.body['id']}/payout-terms"
    given = {"schedule": "30 17 * * 1-5 Europe/Berlin", "delay": "7d", "reserve_bps": 500}
    changed = await door.call("POST", path, given, key=ADMIN_KEY)
    assert changed.status == 200
    assert changed.body["payout"] == {
        **given,
        "minimum_payout": "1.00",
        "fee_bps": 0,
        "reserve_for": "90d",
    }
    reset = await door.call("POST", path, {}, key=ADMIN_KEY)
    assert reset.body["payout"]["delay"] == "0s"
    assert (await door.call("POST", path, {"delay": "-1d"}, key=ADMIN_KEY)).status == 422
    nobody = "/v1/admin/merchants/mer_00000000000000000000000000/payout-terms"
    assert (await door.call("POST", nobody, {}, key=ADMIN_KEY)).status == 404
    async with door.ledger.reading() as tx:
        lines = await tx.conn.execute(sa.select(audit_log).order_by(audit_log.c.id))
        told = [(line.actor, line.action, line.object_id, line.detail) for line in lines]
    merchant = made.body["id"]
    assert told == [
        ("admin", "payout_terms", merchant, given),
        ("admin", "payout_terms", merchant, {}),
    ]
