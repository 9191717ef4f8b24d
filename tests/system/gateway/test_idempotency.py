"""One effect per idempotency key, on both databases, also in parallel and after a crash."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import sqlalchemy as sa

from gateway import writing
from gateway.housekeeping import KEPT_FOR, forget_old_keys
from ledger.idempotency import STALE_AFTER, InFlight, Reserved, finish, reserve
from ledger.schema import idempotency_keys, invoices, merchants
from tests.support.door import ADMIN_KEY, Door

BODY = {"amount": "10", "currency": "USD"}


async def count(door: Door, table: sa.Table) -> int:
    async with door.ledger.reading() as tx:
        return int(await tx.conn.scalar(sa.select(sa.func.count()).select_from(table)) or 0)


async def test_old_keys__forgotten_after_a_week__younger_ones_replayed(door: Door) -> None:
    key, made = await door.merchant(), []
    for name in ("old", "young", "young"):
        sent = {"Idempotency-Key": name}
        made.append((await door.call("POST", "/v1/invoices", BODY, key=key, headers=sent)).body)
        if name == "old":
            async with door.ledger.transaction() as tx:
                past = tx.now - KEPT_FOR - timedelta(seconds=1)
                await tx.conn.execute(idempotency_keys.update().values(created_at=past))
    assert await forget_old_keys(door.ledger) == 1
    assert made[1] == made[2]
    assert await count(door, idempotency_keys) == 1


async def test_f28_same_key_in_parallel__one_effect_and_one_answer(door: Door) -> None:
    key = await door.merchant()
    headers = {"Idempotency-Key": "order-1"}
    answers = await asyncio.gather(
        *(door.call("POST", "/v1/invoices", BODY, key=key, headers=headers) for _ in range(20))
    )
    first = answers[0].body
    assert [(a.status, a.body) for a in answers] == [(201, first)] * 20
    assert await count(door, invoices) == 1


async def test_same_key__body_spelled_otherwise__same_request(door: Door) -> None:
    key = await door.merchant()
    headers = {"Idempotency-Key": "order-1"}
    one = await door.call(
        "POST", "/v1/invoices", key=key, headers=headers, data=b'{"amount":"10","currency":"USD"}'
    )
    two = await door.call(
        "POST",
        "/v1/invoices",
        key=key,
        headers=headers,
        data=b'{ "currency": "USD", "amount": "10" }',
    )
    assert (two.status, two.body) == (201, one.body)


async def test_same_key__other_body_or_path__refused(door: Door) -> None:
    key = await door.merchant()
    headers = {"Idempotency-Key": "order-1"}
    made = await door.call("POST", "/v1/invoices", BODY, key=key, headers=headers)
    other = await door.call(
        "POST", "/v1/invoices", {**BODY, "amount": "11"}, key=key, headers=headers
    )
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    path = f"/v1/invoices/{made.body['id']}/cancel"
    assert (await door.call("POST", path, key=key, headers=headers)).status == 422
    other_merchant = await door.merchant()
    fresh = await door.call("POST", "/v1/invoices", BODY, key=other_merchant, headers=headers)
    assert fresh.status == 201
    assert fresh.body["id"] != made.body["id"], "keys belong to their merchant"


async def test_replay__secrets_shown_once__left_out(door: Door) -> None:
    headers = {"Idempotency-Key": "m-1"}
    call = ("POST", "/v1/admin/merchants", {"name": "Shop"})
    first = await door.call(*call, key=ADMIN_KEY, headers=headers)
    again = await door.call(*call, key=ADMIN_KEY, headers=headers)
    assert first.body["api_key"]
    assert again.body == {**first.body, "api_key": None}
    async with door.ledger.reading() as tx:
        stored = await tx.conn.scalar(sa.select(idempotency_keys.c.response))
    assert first.body["api_key"] not in str(stored)
    assert await count(door, merchants) == 1


async def test_refused_request__key_is_free_again(door: Door) -> None:
    key = await door.merchant()
    headers = {"Idempotency-Key": "order-1"}
    refused = await door.call(
        "POST", "/v1/invoices", {**BODY, "currency": "NOPE"}, key=key, headers=headers
    )
    assert refused.status == 422
    assert await count(door, idempotency_keys) == 0
    made = await door.call("POST", "/v1/invoices", BODY, key=key, headers=headers)
    assert made.status == 201


async def test_key__not_visible_ascii__refused(door: Door) -> None:
    key = await door.merchant()
    for wrong in ("x" * 256, "a b", ""):
        answer = await door.call(
            "POST", "/v1/invoices", BODY, key=key, headers={"Idempotency-Key": wrong}
        )
        assert (answer.status, answer.body["errors"][0]["field"]) == (422, "Idempotency-Key"), wrong


async def test_in_flight__answer_does_not_come__conflict_with_retry_after(
    door: Door, monkeypatch: object
) -> None:
    key = await door.merchant()
    headers = {"Idempotency-Key": "order-1"}
    made = await door.call("POST", "/v1/invoices", BODY, key=key, headers=headers)
    assert made.status == 201
    # As if the first request were still at work, or its process had just died.
    async with door.ledger.transaction() as tx:
        await tx.conn.execute(
            idempotency_keys.update().values(status_code=None, response=None, created_at=tx.now)
        )
    waiting = await door.call("POST", "/v1/invoices", BODY, key=key, headers=headers)
    assert (waiting.status, waiting.code) == (409, "request_in_flight")
    assert waiting.headers["Retry-After"] == "1"
    async with door.ledger.transaction() as tx:
        await tx.conn.execute(idempotency_keys.update().values(created_at=tx.now - STALE_AFTER))
    retaken = await door.call("POST", "/v1/invoices", BODY, key=key, headers=headers)
    assert retaken.status == 201
    assert retaken.body["id"] != made.body["id"]


async def test_f12_overtaken_holder__cannot_commit_its_effect(door: Door) -> None:
    ledger = door.ledger
    async with ledger.transaction() as tx:
        slow = await reserve(tx, "admin", "k", b"h" * 32)
    assert slow == Reserved(1)
    async with ledger.transaction() as tx:
        assert await reserve(tx, "admin", "k", b"h" * 32) == InFlight()
        await tx.conn.execute(
            idempotency_keys.update().values(created_at=tx.now - STALE_AFTER - timedelta(seconds=1))
        )
    async with ledger.transaction() as tx:
        assert await reserve(tx, "admin", "k", b"h" * 32) == Reserved(2)
    refused = False
    try:
        async with ledger.transaction() as tx:
            await tx.conn.execute(
                merchants.insert().values(id="mer_slow", name="x", created_at=tx.now)
            )
            await finish(tx, "admin", "k", 1, status_code=201, response="{}")
    except Exception:  # noqa: BLE001 - whatever it is, the effect must be gone
        refused = True
    assert refused
    assert await count(door, merchants) == 0
    assert STALE_AFTER.total_seconds() > writing.WAIT_SECONDS
