"""The API over TCP, on both databases: what merchants and operators do every day."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from ledger.schema import audit_log
from tests.support.door import ADMIN_KEY, Door

OWN = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


async def test_invoice__exact_body__as_the_contract_has_it(door: Door) -> None:
    key = await door.merchant()
    made = await door.call(
        "POST",
        "/v1/invoices",
        {"amount": "7.5", "currency": "USD", "reference": "order-1", "metadata": {"a": [1, "é"]}},
        key=key,
    )
    assert made.status == 201
    invoice = made.body
    assert invoice["id"].startswith("inv_")
    assert (invoice["status"], invoice["amount"], invoice["currency"]) == ("new", "7.50", "USD")
    assert [(o["chain"], o["token"], o["amount"]) for o in invoice["options"]] == [
        ("anvil", "USDC", "7.50"),
        ("anvil", "USDT", "7.50"),
        ("anvil", "DAI", "7.50"),
        ("other", "USDC", "7.50"),
    ]
    assert invoice["metadata"] == {"a": [1, "é"]}
    assert invoice["settlement"] == {"status": "none", "payouts": []}
    got = await door.call("GET", f"/v1/invoices/{invoice['id']}", key=key)
    assert (got.status, got.body) == (200, invoice)
    listed = await door.call("GET", "/v1/invoices?reference=order-1&status=new", key=key)
    assert listed.body == {"data": [invoice], "next_cursor": None}


async def test_invoice__canceled_twice__is_canceled(door: Door) -> None:
    key = await door.merchant()
    invoice = await door.invoice(key)
    for _ in range(2):
        answer = await door.call("POST", f"/v1/invoices/{invoice['id']}/cancel", key=key)
        assert (answer.status, answer.body["status"]) == (200, "canceled")


async def test_f28_objects__of_another_merchant__not_found(door: Door) -> None:
    mine, other = await door.merchant("Mine"), await door.merchant("Other")
    invoice = await door.invoice(mine)
    destination = await door.call(
        "POST", "/v1/payout-destinations", {"chain": "anvil", "address": OWN}, key=mine
    )
    events = await door.call("GET", "/v1/events", key=mine)
    (event,) = [e for e in events.body["data"] if e["type"] == "invoice.created"]
    for method, path in [
        ("GET", f"/v1/invoices/{invoice['id']}"),
        ("GET", f"/v1/invoices/{invoice['id']}?wait=1"),
        ("POST", f"/v1/invoices/{invoice['id']}/cancel"),
        ("GET", f"/v1/payout-destinations/{destination.body['id']}"),
        ("DELETE", f"/v1/payout-destinations/{destination.body['id']}"),
        ("GET", f"/v1/events/{event['id']}"),
    ]:
        answer = await door.call(method, path, key=other)
        assert (answer.status, answer.code) == (404, "not_found"), path
    for path in (
        "invoices",
        "payments",
        "payouts",
        "events",
        "payout-destinations",
        "ledger-entries",
    ):
        listed = await door.call("GET", f"/v1/{path}", key=other)
        assert listed.body == {"data": [], "next_cursor": None}, path


async def test_keys__missing_wrong_or_revoked__unauthorized(door: Door) -> None:
    key = await door.merchant()
    assert (await door.call("GET", "/v1/merchant")).status == 401
    assert (await door.call("GET", "/v1/merchant", key="nonsense")).status == 401
    assert (await door.call("GET", "/v1/merchant", key=ADMIN_KEY)).status == 401
    assert (await door.call("GET", "/v1/admin/holds", key=key)).status == 401
    assert (await door.call("POST", "/v1/admin/merchants", {"name": "x"}, key=key)).status == 401
    second = await door.call("POST", "/v1/api-keys", {"name": "second"}, key=key)
    assert (await door.call("GET", "/v1/merchant", key=second.body["api_key"])).status == 200
    gone = await door.call("DELETE", f"/v1/api-keys/{second.body['id']}", key=key)
    assert gone.status == 200
    assert gone.body["revoked_at"]
    assert (await door.call("GET", "/v1/merchant", key=second.body["api_key"])).status == 401


async def test_keys__lost__the_operator_gives_another_and_ends_the_old(door: Door) -> None:
    lost, bystander = await door.merchant(), await door.merchant("Other")
    merchant_id = (await door.call("GET", "/v1/merchant", key=lost)).body["id"]
    path = f"/v1/admin/merchants/{merchant_id}/api-keys"
    once = {"Idempotency-Key": "lost-1"}

    assert (await door.call("POST", path, {}, key=lost)).status == 401
    spare = await door.call("POST", path, {"name": "spare"}, key=ADMIN_KEY)
    assert (await door.call("GET", "/v1/merchant", key=lost)).status == 200
    body = {"revoke_others": True}
    made = await door.call("POST", path, body, key=ADMIN_KEY, headers=once)
    again = await door.call("POST", path, body, key=ADMIN_KEY, headers=once)

    assert (spare.status, made.status) == (201, 201)
    assert again.body == made.body | {"api_key": None}
    for old in (lost, spare.body["api_key"]):
        assert (await door.call("GET", "/v1/merchant", key=old)).status == 401
    mine = await door.call("GET", "/v1/merchant", key=made.body["api_key"])
    assert mine.body["id"] == merchant_id
    assert (await door.call("GET", "/v1/merchant", key=bystander)).status == 200
    listed = (await door.call("GET", path, key=ADMIN_KEY)).body["data"]
    assert [key["revoked_at"] is None for key in listed] == [True, False, False]

    gone = f"/v1/admin/api-keys/{made.body['id']}"
    for _ in range(2):
        answer = await door.call("DELETE", gone, key=ADMIN_KEY)
        assert (answer.status, answer.body["id"]) == (200, made.body["id"])
    assert (await door.call("GET", "/v1/merchant", key=made.body["api_key"])).status == 401
    for method, nowhere in (
        ("POST", path.replace(merchant_id, "mer_0")),
        ("GET", path.replace(merchant_id, "mer_0")),
        ("DELETE", "/v1/admin/api-keys/key_0"),
    ):
        sent = {} if method == "POST" else None
        assert (await door.call(method, nowhere, sent, key=ADMIN_KEY)).status == 404
    async with door.ledger.reading() as tx:
        columns = (audit_log.c.actor, audit_log.c.action, audit_log.c.object_id, audit_log.c.detail)
        lines = [tuple(row) for row in await tx.conn.execute(sa.select(*columns).order_by("id"))]
    first = {listed[2]["id"], spare.body["id"]}
    assert {**lines[1][3], "revoked": set(lines[1][3]["revoked"])} == {
        "merchant": merchant_id,
        "name": None,
        "revoked": first,
    }
    assert [line[:3] for line in lines] == [
        ("admin", "issue_api_key", spare.body["id"]),
        ("admin", "issue_api_key", made.body["id"]),
        ("admin", "revoke_api_key", made.body["id"]),
    ]
    assert made.body["api_key"] not in str(lines)


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "slow-1"}])
async def test_f28_key__revoked_while_a_request_under_it_is_read__refused_and_nothing_done(
    door: Door, headers: dict[str, str]
) -> None:
    """Whoever has a stolen key may have its request at the door already, and send the rest later."""
    stolen = await door.merchant()
    kept = (await door.call("POST", "/v1/api-keys", {}, key=stolen)).body["api_key"]
    old = (await door.call("GET", "/v1/api-keys", key=kept)).body["data"][-1]["id"]
    admitted, revoked = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b'{"amount": "1", "currency": "USD"'
        admitted.set()
        await revoked.wait()
        yield b"}"

    sent = {"Authorization": f"Bearer {stolen}", "Content-Type": "application/json", **headers}
    url = door.base + "/v1/invoices"
    thief = asyncio.create_task(door.session.post(url, data=body(), headers=sent))
    await admitted.wait()
    await asyncio.sleep(0.3)  # until the key was looked up
    assert (await door.call("DELETE", f"/v1/api-keys/{old}", key=kept)).status == 200
    revoked.set()
    answer = await thief

    assert answer.status == 401
    assert (await answer.json())["code"] == "unauthorized"
    assert (await door.call("GET", "/v1/invoices", key=kept)).body["data"] == []
    mine = {"amount": "2", "currency": "USD"}
    again = await door.call("POST", "/v1/invoices", mine, key=kept, headers=headers)
    assert again.status == 201


async def test_destination__addresses_that_cannot_be_meant__refused(door: Door) -> None:
    key = await door.merchant()
    invoice = await door.invoice(key)
    refused = {
        "0x" + "00" * 20: "zero",
        "0x" + "11" * 20: "token",
        "0x" + "aa" * 20: "installation",
        invoice["address"]: "deposit",
        OWN.replace("5aA", "5aa"): "EIP-55",
        "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed": "not an address",
    }
    for address, why in refused.items():
        answer = await door.call(
            "POST", "/v1/payout-destinations", {"chain": "anvil", "address": address}, key=key
        )
        assert (answer.status, answer.code) == (422, "invalid_request"), address
        assert answer.body["errors"][0]["field"] == "address"
        assert why in answer.body["errors"][0]["message"], answer.body
    unknown = await door.call(
        "POST", "/v1/payout-destinations", {"chain": "anvl", "address": OWN}, key=key
    )
    assert (unknown.status, unknown.body["errors"][0]["field"]) == (422, "chain")


async def test_destination__created_and_revoked__told_by_events(door: Door) -> None:
    key = await door.merchant()
    made = await door.call(
        "POST", "/v1/payout-destinations", {"chain": "anvil", "address": OWN.lower()}, key=key
    )
    assert made.status == 201
    assert (made.body["status"], made.body["address"], made.body["token"]) == ("active", OWN, None)
    gone = await door.call("DELETE", f"/v1/payout-destinations/{made.body['id']}", key=key)
    assert gone.body["status"] == "revoked"
    events = (await door.call("GET", "/v1/events", key=key)).body["data"]
    assert [e["type"] for e in events] == ["destination.revoked", "destination.created"]
    assert events[1]["data"] == made.body


async def test_lists__pages_while_new_ones_are_added__each_old_one_once(door: Door) -> None:
    key = await door.merchant()
    made = [(await door.invoice(key, reference=str(n)))["id"] for n in range(7)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = await door.call("GET", f"/v1/invoices?limit=3&cursor={cursor}", key=key)
        seen += [invoice["id"] for invoice in page.body["data"]]
        await door.invoice(key)
        cursor = page.body["next_cursor"]
        if cursor is None:
            break
    assert sorted(seen) == sorted(made)
    assert len(set(seen)) == len(seen)


async def test_long_poll__status_changes__answers_with_the_change(door: Door) -> None:
    key = await door.merchant()
    invoice = await door.invoice(key)
    path = f"/v1/invoices/{invoice['id']}"
    waiting = asyncio.create_task(door.call("GET", f"{path}?wait=30&since=new", key=key))
    await door.call("POST", f"{path}/cancel", key=key)
    answer = await asyncio.wait_for(waiting, 10)
    assert (answer.status, answer.body["status"]) == (200, "canceled")
    at_once = await door.call("GET", f"{path}?wait=30&since=new", key=key)
    assert at_once.body["status"] == "canceled"
    unchanged = await door.call("GET", f"{path}?wait=1&since=canceled", key=key)
    assert (unchanged.status, unchanged.body["status"]) == (200, "canceled")
    assert (await door.call("GET", f"{path}?wait=61", key=key)).status == 422


async def test_admin__pause_and_resume__seen_and_undone(door: Door) -> None:
    body = {"chain": "anvil", "only": "payouts", "reason": "audit"}
    paused = await door.call("POST", "/v1/admin/pause", body, key=ADMIN_KEY)
    assert [p["scope"] for p in paused.body["paused"]] == ["payouts:anvil"]
    resumed = await door.call("POST", "/v1/admin/resume", key=ADMIN_KEY)
    assert (resumed.status, resumed.body) == (200, {"paused": []})
    wrong = await door.call("POST", "/v1/admin/pause", {"chain": "nowhere"}, key=ADMIN_KEY)
    assert (wrong.status, wrong.body["errors"][0]["field"]) == (422, "chain")


async def test_merchant__own_terms__shown_with_configured_ones(door: Door) -> None:
    made = await door.call(
        "POST",
        "/v1/admin/merchants",
        {"name": "Shop", "payout": {"schedule": "every 10s", "fee_bps": 50}},
        key=ADMIN_KEY,
    )
    terms = {
        "schedule": "every 10s",
        "minimum_payout": "1.00",
        "fee_bps": 50,
        "delay": "0s",
        "reserve_bps": 0,
        "reserve_for": "90d",
    }
    assert made.body["payout"] == terms
    got = await door.call("GET", "/v1/merchant", key=made.body["api_key"])
    assert (got.body["id"], got.body["payout"]) == (made.body["id"], terms)
    listed = await door.call("GET", "/v1/admin/merchants", key=ADMIN_KEY)
    assert [m["id"] for m in listed.body["data"]] == [made.body["id"]]


async def test_balances__nothing_yet__a_zero_line_per_payable_token(door: Door) -> None:
    lines = (await door.call("GET", "/v1/balances", key=await door.merchant())).body["data"]
    assert [(b["chain"], b["token"]) for b in lines] == [
        ("anvil", "USDC"),
        ("anvil", "USDT"),
        ("anvil", "DAI"),
        ("other", "USDC"),
    ]
    assert all(b[name] == "0.00" for b in lines for name in ("pending", "available", "paid"))


async def test_health__served__with_headers_and_metrics_by_route(door: Door) -> None:
    assert (await door.call("GET", "/livez")).status == 200
    ready = await door.call("GET", "/readyz")
    assert (ready.status, ready.body["ready"]) == (200, True)
    assert (await door.call("GET", "/metrics")).status == 200
    missing = await door.call("GET", "/v1/nothing-here")
    assert (missing.status, missing.code) == (404, "not_found")
    assert missing.headers["Content-Type"].startswith("application/problem+json")
    assert missing.headers["Server"] == "bursar"
    assert missing.headers["X-Request-Id"] == missing.body["request_id"]
    wrong = await door.call("PUT", "/v1/invoices", {})
    assert (wrong.status, wrong.code) == (405, "method_not_allowed")
    assert ("unmatched", 404) in door.observer.seen
    assert ("/readyz", 200) in door.observer.seen
