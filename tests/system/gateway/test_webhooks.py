"""Webhooks end to end: real receivers on this machine, verified by the public library."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from config.settings import SecuritySettings
from gateway.webhooks.dispatcher import LEASE, WebhookDispatcher
from gateway.webhooks.sender import Message, Reply, http_sender
from gateway.webhooks.vault import Vault
from ledger.replaced_secrets import MOST_REPLACED, Replaced, columns_of, still_signing
from ledger.schema import webhook_deliveries, webhook_endpoints
from ledger.store import Ledger
from tests.support.door import Door, door_settings, open_door

PRIVATE_ALLOWED = door_settings().model_copy(
    update={
        "security": SecuritySettings.model_validate(
            {"destination_cooling_off": "0s", "allow_private_webhooks": True}
        )
    }
)
Answering = Callable[[web.Request], Awaitable[web.Response]]


@dataclass
class Receiver:
    """A merchant's server; ``answers`` are given in turn, the last one for ever."""

    url: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=lambda: [200])
    delay: float = 0
    location: str | None = None

    async def handle(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        if self.delay:
            await asyncio.sleep(self.delay)
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.Response(
            status=status, headers={"Location": self.location} if self.location else {}
        )

    def types(self) -> list[str]:
        import json

        return [json.loads(body)["type"] for _, body in self.got]


@asynccontextmanager
async def receiver(**changes: Any) -> AsyncIterator[Receiver]:
    made = Receiver(**changes)
    app = web.Application()
    app.router.add_post("/{tail:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield made
    await runner.cleanup()


@pytest.fixture
async def door(migrated_url: str) -> AsyncIterator[Door]:
    async with open_door(migrated_url, PRIVATE_ALLOWED) as served:
        yield served


@asynccontextmanager
async def dispatching(
    door: Door, *, allow_private: bool = True, resolver: Any = None
) -> AsyncIterator[WebhookDispatcher]:
    async with http_sender(allow_private=allow_private, resolver=resolver) as sender:
        yield WebhookDispatcher(
            ledger=door.ledger,
            sender=sender,
            vault=Vault(door.deps.data_key),
            clock=door.deps.clock,
            entropy=door.deps.entropy,
            observer=door.observer,
        )


async def deliver(dispatcher: WebhookDispatcher) -> int:
    """Everything that is due now, the followers of each object too."""
    made = 0
    while started := await dispatcher.tick():
        made += started
        await dispatcher.drain()
    return made


async def make_due(ledger: Ledger) -> None:
    async with ledger.transaction() as tx:
        await tx.conn.execute(
            webhook_deliveries.update()
            .where(webhook_deliveries.c.status == "pending")
            .values(next_attempt_at=tx.now)
        )


async def subscribe(door: Door, key: str, url: str, **fields: Any) -> dict[str, Any]:
    made = await door.call("POST", "/v1/webhook-endpoints", {"url": url, **fields}, key=key)
    assert made.status == 201, made
    return dict(made.body)


async def test_webhook__delivered__verified_by_the_public_library(door: Door) -> None:
    key = await door.merchant()
    async with receiver() as shop, dispatching(door) as dispatcher:
        endpoint = await subscribe(door, key, shop.url)
        invoice = await door.invoice(key)
        assert await deliver(dispatcher) == 1
        headers, body = shop.got[0]
        event = Webhook(endpoint["secret"]).verify(body, headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(endpoint["secret"]).verify(body + b" ", headers)
        assert list(event) == ["id", "type", "timestamp", "api_version", "data"]
        assert event["id"] == {k.lower(): v for k, v in headers.items()}["webhook-id"]
        assert (event["type"], event["data"]) == ("invoice.created", invoice)
        got = await door.call("GET", f"/v1/events/{event['id']}", key=key)
        assert got.body == event
        listed = await door.call(
            "GET", f"/v1/webhook-endpoints/{endpoint['id']}/deliveries", key=key
        )
        (delivery,) = listed.body["data"]
        assert (delivery["status"], delivery["response_status"]) == ("delivered", 200)
        assert (
            "secret"
            not in (await door.call("GET", f"/v1/webhook-endpoints/{endpoint['id']}", key=key)).body
        )


async def test_webhook__secret_at_rest__not_readable_from_the_database(door: Door) -> None:
    key = await door.merchant()
    endpoint = await subscribe(door, key, "http://127.0.0.1:1/x")
    async with door.ledger.reading() as tx:
        sealed = await tx.conn.scalar(sa.select(webhook_endpoints.c.secret_encrypted))
    assert endpoint["secret"][6:] not in str(sealed)
    assert Vault(door.deps.data_key).open(str(sealed), endpoint["id"]) == endpoint["secret"]


async def test_f27_webhook__endpoint_fails_then_recovers__retried_in_order(door: Door) -> None:
    key = await door.merchant()
    async with (
        receiver(answers=[500, 302, 200], location="http://127.0.0.1:1/elsewhere") as shop,
        dispatching(door) as dispatcher,
    ):
        await subscribe(door, key, shop.url)
        invoice = await door.invoice(key)
        await door.call("POST", f"/v1/invoices/{invoice['id']}/cancel", key=key)
        assert await deliver(dispatcher) == 1, "the second event of an object waits for the first"
        await make_due(door.ledger)
        assert await deliver(dispatcher) == 1, "a redirect is a failure, not followed"
        await make_due(door.ledger)
        assert await deliver(dispatcher) == 2
        assert shop.types() == ["invoice.created"] * 3 + ["invoice.canceled"]
        bodies = [body for _, body in shop.got]
        assert bodies[0] == bodies[1] == bodies[2]
    assert door.observer.deliveries == ["retry", "retry", "delivered", "delivered"]


async def test_f27_webhook__dead_endpoint_with_much_that_waits__none_of_it_is_looked_at_again(
    door: Door,
) -> None:
    """Each tick looked at all that waited behind what was failing, holding SQLite's write lock."""
    key = await door.merchant()
    async with receiver(answers=[500, 200]) as shop, dispatching(door) as dispatcher:
        await subscribe(door, key, shop.url)
        invoice = await door.invoice(key)
        await door.call("POST", f"/v1/invoices/{invoice['id']}/cancel", key=key)
        assert await deliver(dispatcher) == 1
        commits: list[object] = []
        sa.event.listen(door.ledger.engine.sync_engine, "commit", commits.append)
        assert await dispatcher.tick() == 0, "puts off what waits, if it has not been"
        del commits[:]
        assert await dispatcher.tick() == 0
        assert not commits, "nothing is due, so nothing is claimed"
        head = webhook_deliveries.c.attempts == 1
        async with door.ledger.transaction() as tx:  # its time has come
            await tx.conn.execute(
                webhook_deliveries.update().where(head).values(next_attempt_at=tx.now)
            )
        assert await deliver(dispatcher) == 2, "the other goes as soon as it is over"
        assert shop.types() == ["invoice.created"] * 2 + ["invoice.canceled"]


async def test_webhook__given_up__what_waited_for_it_goes_at_once(door: Door) -> None:
    key = await door.merchant()
    async with receiver(answers=[500, 500, 200]) as shop, dispatching(door) as dispatcher:
        await subscribe(door, key, shop.url)
        invoice = await door.invoice(key)
        await door.call("POST", f"/v1/invoices/{invoice['id']}/cancel", key=key)
        assert await deliver(dispatcher) == 1
        await dispatcher.tick()
        first = webhook_deliveries.c.attempts == 1
        async with door.ledger.transaction() as tx:
            long_ago = {"next_attempt_at": tx.now, "created_at": tx.now - timedelta(days=4)}
            await tx.conn.execute(webhook_deliveries.update().where(first).values(long_ago))
        assert await deliver(dispatcher) == 2
        assert shop.types() == ["invoice.created"] * 2 + ["invoice.canceled"]


async def test_f27_webhook__gone__disables_the_endpoint(door: Door) -> None:
    key = await door.merchant()
    async with receiver(answers=[410]) as shop, dispatching(door) as dispatcher:
        endpoint = await subscribe(door, key, shop.url)
        for _ in range(8):
            await door.invoice(key)
        await deliver(dispatcher)
        await make_due(door.ledger)
        assert await deliver(dispatcher) == 0
        got = await door.call("GET", f"/v1/webhook-endpoints/{endpoint['id']}", key=key)
        assert got.body["status"] == "disabled"
        await door.invoice(key)
        assert await deliver(dispatcher) == 0


async def test_f27_webhook__dead_for_three_days__given_up_and_visible_then_redelivered(
    door: Door,
) -> None:
    key = await door.merchant()
    async with receiver(answers=[500, 200]) as shop, dispatching(door) as dispatcher:
        endpoint = await subscribe(door, key, shop.url)
        await door.invoice(key)
        async with door.ledger.transaction() as tx:
            await tx.conn.execute(
                webhook_deliveries.update().values(created_at=tx.now - timedelta(days=3, seconds=1))
            )
        assert await deliver(dispatcher) == 1
        path = f"/v1/webhook-endpoints/{endpoint['id']}/deliveries?status=dead"
        (dead,) = (await door.call("GET", path, key=key)).body["data"]
        assert dead["error"] == "the endpoint answered 500"
        again = await door.call("POST", f"/v1/events/{dead['event']}/redeliver", key=key)
        assert (again.status, len(again.body["deliveries"])) == (200, 1)
        assert await deliver(dispatcher) == 1
        assert len(shop.got) == 2


async def test_f27_webhook__slow_endpoint__others_are_delivered_meanwhile(door: Door) -> None:
    key, other = await door.merchant(), await door.merchant()
    async with receiver(delay=30) as slow, receiver() as quick, dispatching(door) as dispatcher:
        await subscribe(door, key, slow.url)
        await subscribe(door, other, quick.url)
        for _ in range(12):
            await door.invoice(key)
            await door.invoice(other)
        stop = asyncio.Event()
        running = asyncio.create_task(dispatcher.run(stop))
        async with asyncio.timeout(8):
            while len(quick.got) < 12:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert len(slow.got) <= 8, "no more at once than an endpoint may have"
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_webhook__secret_rotated__both_sign_for_a_while(door: Door) -> None:
    key = await door.merchant()
    async with receiver() as shop, dispatching(door) as dispatcher:
        endpoint = await subscribe(door, key, shop.url)
        path = f"/v1/webhook-endpoints/{endpoint['id']}/rotate-secret"
        rotated = await door.call("POST", path, key=key)
        assert rotated.body["secret"] != endpoint["secret"]
        await door.invoice(key)
        await deliver(dispatcher)
        headers, body = shop.got[0]
        for secret in (endpoint["secret"], rotated.body["secret"]):
            assert Webhook(secret).verify(body, headers)
        async with door.ledger.transaction() as tx:
            await tx.conn.execute(webhook_endpoints.update().values(previous_secret_until=tx.now))
        await door.invoice(key)
        await deliver(dispatcher)
        with pytest.raises(WebhookVerificationError):
            Webhook(endpoint["secret"]).verify(shop.got[1][1], shop.got[1][0])


async def test_webhook__secret_rotated_again__each_before_signs_for_its_own_day(
    door: Door,
) -> None:
    """The answer that showed a secret may be lost: rotating again must not cut receivers off."""
    key = await door.merchant()
    async with receiver() as shop, dispatching(door) as dispatcher:
        endpoint = await subscribe(door, key, shop.url)
        secrets = [endpoint["secret"], *[await rotate(door, key, endpoint) for _ in range(2)]]
        assert await signed_by(door, dispatcher, shop, key, secrets) == secrets
        await hours_pass(door, 23)
        secrets.append(await rotate(door, key, endpoint))
        assert await signed_by(door, dispatcher, shop, key, secrets) == secrets
        await hours_pass(door, 2)
        assert await signed_by(door, dispatcher, shop, key, secrets) == secrets[2:]
        await hours_pass(door, 22)
        assert await signed_by(door, dispatcher, shop, key, secrets) == secrets[3:]


async def test_webhook__secret_rotated_in_a_loop__the_newest_sign(door: Door) -> None:
    """What is kept and sent has a bound."""
    key = await door.merchant()
    async with receiver() as shop, dispatching(door) as dispatcher:
        endpoint = await subscribe(door, key, shop.url)
        newer = [await rotate(door, key, endpoint) for _ in range(MOST_REPLACED + 3)]
        secrets = [endpoint["secret"], *newer]
        signing = await signed_by(door, dispatcher, shop, key, secrets)
        assert signing == secrets[-1 - MOST_REPLACED :]


async def rotate(door: Door, key: str, endpoint: dict[str, Any]) -> str:
    """The new secret."""
    path = f"/v1/webhook-endpoints/{endpoint['id']}/rotate-secret"
    return str((await door.call("POST", path, key=key)).body["secret"])


async def signed_by(
    door: Door, dispatcher: WebhookDispatcher, shop: Receiver, key: str, secrets: list[str]
) -> list[str]:
    """Which of these verify what comes next."""
    await door.invoice(key)
    await deliver(dispatcher)
    headers, body = shop.got[-1]
    return [secret for secret in secrets if verifies(secret, body, headers)]


def verifies(secret: str, body: bytes, headers: dict[str, str]) -> bool:
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


async def hours_pass(door: Door, hours: int) -> None:
    """For whatever ends some time after a secret was rotated."""
    async with door.ledger.transaction() as tx:
        (row,) = await tx.conn.execute(sa.select(webhook_endpoints))
        earlier = timedelta(hours=hours)
        kept = [
            Replaced(one.sealed, one.until - earlier)
            for one in still_signing(
                row.previous_secret_encrypted, row.previous_secret_until, tx.now
            )
        ]
        await tx.conn.execute(webhook_endpoints.update().values(**columns_of(kept)))


async def test_webhook__types_chosen__others_are_not_sent(door: Door) -> None:
    key = await door.merchant()
    async with receiver() as shop, dispatching(door) as dispatcher:
        await subscribe(door, key, shop.url, events=["invoice.canceled"])
        invoice = await door.invoice(key)
        await door.call("POST", f"/v1/invoices/{invoice['id']}/cancel", key=key)
        await deliver(dispatcher)
        assert shop.types() == ["invoice.canceled"]
    wrong = await door.call(
        "POST", "/v1/webhook-endpoints", {"url": "https://x.example", "events": ["nope"]}, key=key
    )
    assert wrong.status == 422


async def test_webhook__two_workers__each_delivery_once(door: Door) -> None:
    key = await door.merchant()
    async with receiver() as shop, dispatching(door) as one, dispatching(door) as two:
        await subscribe(door, key, shop.url)
        for _ in range(10):
            await door.invoice(key)
        await asyncio.gather(deliver(one), deliver(two))
        assert len({dict(h)["webhook-id"] for h, _ in shop.got}) == len(shop.got) == 10


async def test_webhook__worker_died_after_claiming__tried_again_after_the_lease(door: Door) -> None:
    key = await door.merchant()
    async with receiver() as shop, dispatching(door) as dispatcher:
        await subscribe(door, key, shop.url)
        await door.invoice(key)
        async with door.ledger.transaction() as tx:
            await tx.conn.execute(
                webhook_deliveries.update().values(attempts=1, next_attempt_at=tx.now + LEASE)
            )
        assert await deliver(dispatcher) == 0
        await make_due(door.ledger)
        assert await deliver(dispatcher) == 1
        assert len(shop.got) == 1


@dataclass
class Gate:
    """Stands in for the network: every answer comes at the same moment."""

    opened: asyncio.Event = field(default_factory=asyncio.Event)
    sent: list[str] = field(default_factory=list)

    async def send(self, message: Message, now: datetime) -> Reply:
        self.sent.append(message.event_id)
        await self.opened.wait()
        return Reply("ok", 200)


async def test_webhook__many_answered_at_once__one_commit_for_all(door: Door) -> None:
    key = await door.merchant()
    for place in range(3):
        await subscribe(door, key, f"http://127.0.0.1:9/{place}")
    for _ in range(8):
        await door.invoice(key)
    gate = Gate()
    dispatcher = WebhookDispatcher(
        ledger=door.ledger, sender=gate, vault=Vault(door.deps.data_key),
        clock=door.deps.clock, entropy=door.deps.entropy, observer=door.observer,
    )  # fmt: skip
    commits = []
    sa.event.listen(door.ledger.engine.sync_engine, "commit", commits.append)
    assert await dispatcher.tick() == 24
    assert len(commits) == 1, "all endpoints' deliveries are claimed together"
    async with asyncio.timeout(10):
        while len(gate.sent) < 24:  # noqa: ASYNC110
            await asyncio.sleep(0)
    gate.opened.set()
    await dispatcher.drain()
    assert len(commits) == 2, "a commit for each answer would keep the chain's recorder waiting"
    async with door.ledger.reading() as tx:
        found = await tx.conn.execute(sa.select(webhook_deliveries.c.status))
        assert set(found.scalars()) == {"delivered"}


class Rebinding(AbstractResolver):
    """A name server that says something else each time it is asked."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        address = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0
            )
        ]

    async def close(self) -> None: ...


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1"])
async def test_f27_webhook__name_leads_inside__refused_and_told(door: Door, address: str) -> None:
    key = await door.merchant()
    endpoint = await subscribe(door, key, "https://hooks.example/x")
    await door.invoice(key)
    async with dispatching(door, allow_private=False, resolver=Rebinding(address)) as dispatcher:
        assert await deliver(dispatcher) == 1
    path = f"/v1/webhook-endpoints/{endpoint['id']}/deliveries"
    (delivery,) = (await door.call("GET", path, key=key)).body["data"]
    assert delivery["error"] == "refused: resolves to a private address"


async def test_f27_webhook__setting_was_allowed_before__literal_refused_at_delivery(
    door: Door,
) -> None:
    key = await door.merchant()
    async with receiver() as shop:
        await subscribe(door, key, shop.url.replace("http:", "https:"))
        await door.invoice(key)
        async with dispatching(door, allow_private=False) as dispatcher:
            assert await deliver(dispatcher) == 1
        assert not shop.got


async def test_f27_endpoint__private_or_plain_targets__refused_when_registered(
    migrated_url: str,
) -> None:
    async with open_door(migrated_url) as strict:
        key = await strict.merchant()
        for url in (
            "http://shop.example/hook",
            "https://127.0.0.1/hook",
            "https://[::1]/hook",
            "https://[::ffff:10.0.0.1]/hook",
            "https://169.254.169.254/latest/meta-data",
            "https://localhost/hook",
            "https://user:pw@shop.example/",
            "https:///nothing",
            "ftp://shop.example/",
            "https://shop.example/#x",
            "javascript:alert(1)",
        ):
            answer = await strict.call("POST", "/v1/webhook-endpoints", {"url": url}, key=key)
            assert (answer.status, answer.body["errors"][0]["field"]) == (422, "url"), url
        assert (
            await strict.call(
                "POST", "/v1/webhook-endpoints", {"url": "https://shop.example/h"}, key=key
            )
        ).status == 201
