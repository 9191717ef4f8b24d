"""f28: whatever comes in, the answer is a clear problem document, and never a 500."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import sqlalchemy as sa

from config.settings import HttpSettings, RateLimit
from gateway import middleware, server
from gateway.checkout import routes
from gateway.resources import invoices
from tests.support.door import ADMIN_KEY, Door, door_settings, open_door

AMOUNTS = [
    10, 10.5, True, None, [], {}, "", " 1", "1 ", "+1", "-1", "01", "1.", ".5", "1e3", "1_000", "1,5",
    "0", "0.00", "0.0000001", "1" * 80, "1" * 19, "１", "NaN", "Infinity", "0x10", "1\n", "'; DROP TABLE invoices;--",
]  # fmt: skip


async def test_f28_invoice__amount_outside_the_grammar__422(door: Door) -> None:
    key = await door.merchant()
    for amount in AMOUNTS:
        answer = await door.call(
            "POST", "/v1/invoices", {"amount": amount, "currency": "USD"}, key=key
        )
        assert (answer.status, answer.code) == (422, "invalid_request")
        assert answer.body["errors"][0]["field"] == "amount"


async def test_invoice__amount_in_the_grammar__canonical(door: Door) -> None:
    key, nines = await door.merchant(), "9" * 18 + ".999999"
    for sent, canonical in (
        ("7.5", "7.50"),
        ("0.000001",) * 2,
        (nines, nines),
        ("1.100000", "1.10"),
    ):
        assert (await door.invoice(key, amount=sent))["amount"] == canonical


FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"unknown": 1}, "unknown"),
    ({"currency": "usd"}, "currency"),
    ({"currency": 5}, "currency"),
    ({"reference": "x" * 201}, "reference"),
    ({"reference": "a\u0000b"}, "reference"),
    ({"reference": "\ud800"}, "reference"),
    ({"metadata": []}, "metadata"),
    ({"metadata": {"a": "x" * 17_000}}, "metadata"),
    ({"metadata": {"a\u0000": 1}}, "metadata.a?"),
    ({"expires_in": "0s"}, "expires_in"),
    ({"expires_in": 30}, "expires_in"),
    ({"expires_in": "9999999d"}, "expires_in"),
    ({"options": []}, "options"),
    ({"options": [{"chain": "anvil"}]}, "options.0.token"),
    ({"options": [{"chain": "anvil", "token": "NOPE"}]}, "options.0"),
    ({"options": [{"chain": "anvil", "token": "USDC.e"}]}, "options.0"),
    ({"options": [{"chain": "anvil", "token": "USDC"}] * 2}, "options.1"),
    ({"redirect_url": "javascript:alert(1)"}, "redirect_url"),
    ({"redirect_url": "https://a\u0000b"}, "redirect_url"),
]


async def test_f28_invoice__field_wrong__named(door: Door) -> None:
    key = await door.merchant()
    for changes, field in FIELDS:
        body = json.dumps({"amount": "10", "currency": "USD", **changes}).encode()
        answer = await door.call("POST", "/v1/invoices", key=key, data=body)
        assert (answer.status, answer.body["errors"][0]["field"]) == (422, field), answer.body


BODIES: list[tuple[bytes, int]] = [
    (b"", 422),
    (b"null", 422),
    (b"[]", 422),
    (b'"x"', 422),
    (b"{", 400),
    (b"\xff\xfe", 400),
    (b'{"amount": NaN}', 400),
    (b'{"amount": 1e400}', 422),
    (b'{"amount": ' + b"9" * 5000 + b"}", 400),
    (b'{"a": 1, "a": 2}', 400),
    (b"[" * 100_000, 400),
    (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400),
    (b'{"metadata": ' + b"[" * 20 + b"]" * 20 + b"}", 400),
    (b"x" * (1024 * 1024 + 1), 413),
    (b" " * (10 * 1024 * 1024), 413),
]


async def test_f28_body__malformed_deep_or_large__problem(door: Door) -> None:
    key = await door.merchant()
    members = {"type", "title", "status", "detail", "code", "request_id", "errors"}
    for body, status in BODIES:
        answer = await door.call("POST", "/v1/invoices", key=key, data=body)
        assert answer.status == status, body[:40]
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        assert set(answer.body) == members


QUERIES = [
    "limit=0", "limit=101", "limit=x", "limit=1.5", "limit=-1", "limit=99999999999999999999", "limit=1&limit=2",
    "cursor=x", "cursor=%00", "cursor='--", "status=nope", "status=%ff", "reference=%00", "reference=" + "x" * 300,
    "created_after=yesterday", "created_after=2026-01-01", "created_after=99999-01-01T00:00:00Z", "unknown=1", "%00=1",
]  # fmt: skip


async def test_f28_list__query_wrong__422(door: Door) -> None:
    key = await door.merchant()
    for query in QUERIES:
        answer = await door.call("GET", f"/v1/invoices?{query}", key=key)
        assert (answer.status, answer.code) == (422, "invalid_request"), query


async def test_f28_sql_in_every_field__is_text(door: Door) -> None:
    key = await door.merchant("Robert'); DROP TABLE merchants;--")
    nasty = "' OR 1=1; DROP TABLE invoices; -- \" %s ${x} {{7*7}} <script>"
    invoice = await door.invoice(key, reference=nasty, metadata={nasty: [nasty]})
    assert invoice["reference"] == nasty
    from urllib.parse import quote

    listed = await door.call("GET", f"/v1/invoices?reference={quote(nasty, safe='')}", key=key)
    assert [i["id"] for i in listed.body["data"]] == [invoice["id"]]
    for path in (
        "%27%20OR%201=1",
        "%00",
        "%ff%fe",
        "..%2f..%2fetc",
        "x" * 4000,
        "inv_" + "0" * 25 + "'",
    ):
        for method, suffix in (("GET", ""), ("POST", "/cancel")):
            answer = await door.call(method, f"/v1/invoices/{path}{suffix}", key=key)
            assert answer.status in (400, 404), path
        assert (await door.call("GET", f"/i/{path}")).status in (400, 404)
        assert (await door.call("GET", f"/i/{path}/events")).status in (400, 404)
        assert (await door.call("GET", f"/assets/{path}")).status in (400, 404)


async def test_f28_created_after__edges_of_time__answered(door: Door) -> None:
    key = await door.merchant()
    invoice = await door.invoice(key)
    for after, found in (
        ("0001-01-01T00:00:00Z", 1),
        ("2020-01-01T00:00:00+05:30", 1),
        ("2020-01-01T00:00:00%2B05:30", 1),
        (invoice["created_at"], 0),
        ("9999-12-31T23:59:59Z", 0),
    ):
        listed = await door.call("GET", f"/v1/invoices?created_after={after}", key=key)
        assert (listed.status, len(listed.body["data"])) == (200, found), after


async def raw(door: Door, *chunks: bytes, wait: float = 5.0) -> bytes:
    """Bytes over a bare socket; what came back until the server closed or fell silent."""
    host, _, port = door.base.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), wait)
    finally:
        writer.close()


BROKEN = [
    b"NONSENSE\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n",
    b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    b"POST /v1/invoices HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    b"POST /v1/invoices HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40 + b"\r\n\r\n",
]


async def test_f28_http_itself_broken__400_problem(door: Door) -> None:
    for request in BROKEN:
        head, _, body = (await raw(door, request)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.")
        assert b" 400 " in head.splitlines()[0], request
        assert b"application/problem+json" in head
        assert json.loads(body)["code"] == "bad_request"


async def test_f28_slow_loris__headers_never_end__connection_closed(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "FIRST_REQUEST_SECONDS", 0.3)
    assert await raw(door, b"GET /v1/merchant HTTP/1.1\r\nHost:") == b""


async def test_f28_slow_loris__body_never_ends__408(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway import dispatch

    monkeypatch.setattr(dispatch, "BODY_SECONDS", 0.3)
    key = (await door.merchant()).encode()
    head = b"POST /v1/invoices HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + key
    answer = await raw(
        door, head + b"\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{", wait=15
    )
    assert b" 408 " in answer.splitlines()[0]


async def test_f28_compressed_body__broken_or_a_bomb__refused(door: Door) -> None:
    import gzip

    key = await door.merchant()
    for data in (b"not gzip at all", gzip.compress(b" " * 50_000_000)):
        answer = await door.call(
            "POST", "/v1/invoices", key=key, data=data, headers={"Content-Encoding": "gzip"}
        )
        assert answer.status in (400, 413), answer


async def test_f28_too_fast__429_with_retry_after__others_unaffected(migrated_url: str) -> None:
    limited = door_settings().model_copy(
        update={"http": HttpSettings(rate_limit=RateLimit(requests_per_second=1, burst=5))}
    )
    async with open_door(migrated_url, limited) as door:
        eager, other = await door.merchant(), await door.merchant()
        answers = [await door.call("GET", "/v1/merchant", key=eager) for _ in range(8)]
        statuses = [a.status for a in answers]
        assert statuses[:5] == [200] * 5
        assert statuses[5:] == [429] * 3
        assert (answers[-1].code, answers[-1].headers["Retry-After"]) == ("rate_limited", "1")
        assert (await door.call("GET", "/v1/merchant", key=other)).status == 200


async def test_f28_ten_times_the_load__shed_with_503_and_nothing_worse(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await door.merchant()
    monkeypatch.setattr(middleware, "MAX_AT_ONCE", 4)
    async with open_door(
        str(door.ledger.engine.url.render_as_string(hide_password=False))
    ) as small:
        body = {"amount": "1", "currency": "USD"}
        answers = await asyncio.gather(
            *(small.call("POST", "/v1/invoices", body, key=key) for _ in range(40))
        )
        codes = {a.status for a in answers}
        assert codes == {201, 503}
        refused = next(a for a in answers if a.status == 503)
        assert (refused.code, refused.headers["Retry-After"]) == ("overloaded", "1")
        in_disguise = await asyncio.gather(
            *(small.call("GET", "/v1/merchant?wait=1", key=key) for _ in range(40))
        )
        assert {a.status for a in in_disguise} == {422, 503}, "nothing waits there"
        health = await asyncio.gather(*(small.call("GET", "/livez") for _ in range(20)))
        assert {a.status for a in health} == {200}


async def test_f28_long_polls_and_streams__one_takes_no_other_s_places(
    migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "MAX_WAITING", 4)
    monkeypatch.setattr(invoices, "MOST_POLLS", 2)
    async with open_door(migrated_url) as door:
        eager, other = await door.merchant(), await door.merchant()
        mine, theirs = await door.invoice(eager), await door.invoice(other)
        path = f"/v1/invoices/{mine['id']}?wait=20"
        held = [asyncio.create_task(door.call("GET", path, key=eager)) for _ in range(2)]
        streams = [await door.session.get(f"{door.base}/i/{mine['id']}/events") for _ in range(4)]
        async with asyncio.timeout(10):
            while door.app[invoices.POLLS].total < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        refused = await door.call("GET", path, key=eager)
        assert (refused.status, refused.code) == (429, "rate_limited")
        assert refused.headers["Retry-After"] == "1"
        waited = f"/v1/invoices/{theirs['id']}?wait=1"
        assert (await door.call("GET", waited, key=other)).status == 200, "room for another"
        full = await door.call("GET", f"/i/{mine['id']}/events")
        assert (full.status, full.code) == (503, "overloaded")
        await door.call("POST", f"/v1/invoices/{mine['id']}/cancel", key=eager)
        assert {(await poll).status for poll in held} == {200}
        assert (await door.call("GET", path + "&since=new", key=eager)).status == 200
        for stream in streams:
            stream.close()


async def test_f28_many_pages_and_polls_open__read_together_and_few_of_one_invoice(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand of them, of one link, left merchants without a connection to the database."""
    monkeypatch.setattr(door.app[routes.STREAMS], "limit", 20)
    key = await door.merchant()
    mine, other = await door.invoice(key), await door.invoice(key)
    streams = [await door.session.get(f"{door.base}/i/{mine['id']}/events") for _ in range(20)]
    path = f"/v1/invoices/{mine['id']}?wait=20&since=new"
    held = [asyncio.create_task(door.call("GET", path, key=key)) for _ in range(20)]
    full = await door.call("GET", f"/i/{mine['id']}/events")
    assert (full.status, full.code) == (503, "overloaded")
    streams.append(await door.session.get(f"{door.base}/i/{other['id']}/events"))
    async with asyncio.timeout(10):
        while door.app[middleware.WAITING].count < 20:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    for stream in streams:
        await stream.content.readuntil(b"\n\n")

    taken: list[object] = []
    engine = door.ledger.engine.sync_engine
    sa.event.listen(engine, "checkout", lambda *_: taken.append(1))
    await asyncio.sleep(1.5)
    assert 0 < len(taken) <= 40, "a round for all of them, not a read for each"

    await door.call("POST", f"/v1/invoices/{mine['id']}/cancel", key=key)
    assert {(await poll).body["status"] for poll in held} == {"canceled"}
    for stream in streams[:20]:
        assert (await stream.content.readline()) == b"event: state\n"
    left = asyncio.create_task(door.call("GET", path[:-3] + "canceled", key=key))
    async with asyncio.timeout(10):
        while door.app[middleware.WAITING].count != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    left.cancel()
    for stream in streams:
        stream.close()
    async with asyncio.timeout(5):
        while door.app[middleware.STREAMING].count + door.app[middleware.WAITING].count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert door.app[routes.STREAMS].enter(mine["id"]), "their places are free again"


async def test_f12_database_gone__503_and_not_500(door: Door) -> None:
    key = await door.merchant()
    original = door.ledger.engine
    from ledger.store import make_engine

    door.ledger.engine = make_engine("sqlite+aiosqlite:////nonexistent/dir/x.db")
    try:
        for method, path in (("GET", "/v1/merchant"), ("POST", "/v1/invoices")):
            body = {"amount": "1", "currency": "USD"} if method == "POST" else None
            answer = await door.call(method, path, body, key=key)
            assert (answer.status, answer.code) == (503, "unavailable")
            assert "/nonexistent" not in answer.body["detail"]
    finally:
        await door.ledger.engine.dispose()
        door.ledger.engine = original


async def test_no_xpub__invoices__503_and_everything_else_works(migrated_url: str) -> None:
    async with open_door(migrated_url, derive=None) as door:
        key = await door.merchant()
        answer = await door.call(
            "POST", "/v1/invoices", {"amount": "1", "currency": "USD"}, key=key
        )
        assert (answer.status, answer.code) == (503, "unavailable")
        assert (await door.call("GET", "/v1/merchant", key=key)).status == 200


async def test_authorization__odd_headers__401(door: Door) -> None:
    for value in (
        "",
        "Bearer",
        "Bearer ",
        "Basic abc",
        "Bearer a b",
        "Bearer " + "x" * 5000,
        "Bearer \xff\xfe",
        "bearer" + ADMIN_KEY,
    ):
        answer = await door.call("GET", "/v1/admin/holds", headers={"Authorization": value})
        assert answer.status == 401, value
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
