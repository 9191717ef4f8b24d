"""I11, I13: webhooks go to whom they should, signed as they should be; a revoked key does nothing."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.webhooks.sender import Message, headers_of
from tests.simulation.hooks import ASTRAY, Hook
from tests.simulation.machine.clock import EPOCH
from tests.simulation.world import World

Row = Any


class HookChecks:
    """Follows endpoints and keys as they are committed, and hears of each delivery."""

    def __init__(self, world: World) -> None:
        self._world = world
        world.mailbox.on_arrival = self.arrived

    def changed(self, endpoint_ids: Iterable[str]) -> None:
        """Endpoints that were made or changed by the commit that has just happened."""
        for endpoint_id in dict.fromkeys(endpoint_ids):
            row = self._world.books.execute(
                "SELECT * FROM webhook_endpoints WHERE id = ?", (endpoint_id,)
            ).fetchone()
            if row is not None:
                self._follow(row)

    def _follow(self, row: Row) -> None:
        world = self._world
        hook = world.hooks.get(row["url"])
        if hook is None or hook.id != row["id"]:
            hook = world.hooks[row["url"]] = self._made(row)
        if not hook.secrets or hook.secrets[-1].sealed != row["secret_encrypted"]:
            hook.rotated(row["secret_encrypted"], world.now())
        hook.over = is_over(row)
        hook.under_way.clear()
        for event, attempts in self._attempts(hook).items():
            if attempts > hook.sent[event]:
                hook.under_way[event] = attempts - hook.sent[event]

    def _made(self, row: Row) -> Hook:
        (newest,) = self._world.books.execute("SELECT COALESCE(MAX(seq), 0) FROM events").fetchone()
        given = json.loads(row["events"]) if isinstance(row["events"], str) else row["events"]
        types = None if given is None else frozenset(given)
        now = self._world.now()
        return Hook(row["id"], row["merchant_id"], row["url"], types, newest, now)

    def _attempts(self, hook: Hook) -> dict[str, int]:
        found: dict[str, int] = defaultdict(int)
        for row in self._world.books.execute(
            "SELECT e.id, d.attempts FROM webhook_deliveries d JOIN events e ON e.seq = d.event_seq"
            " WHERE d.endpoint_id = ? AND d.attempts > 0",
            (hook.id,),
        ):
            found[row["id"]] += int(row["attempts"])
        return found

    def begin_again(self) -> None:
        """An older database has taken the image's place, and no daemon runs."""
        world = self._world
        rows = {r["id"]: r for r in world.books.execute("SELECT * FROM webhook_endpoints")}
        for hook in world.hooks.values():
            hook.sent.clear()
            hook.under_way.clear()
            row = rows.get(hook.id)
            hook.over = row is None or is_over(row)
            sealed = [secret.sealed for secret in hook.secrets]
            if row is not None and row["secret_encrypted"] in sealed:
                del hook.secrets[sealed.index(row["secret_encrypted"]) + 1 :]
                hook.secrets[-1].replaced_at = None
        world.revoked.clear()
        world.mailbox.told_gone.clear()

    def arrived(self, message: Message, now: datetime) -> None:
        """A delivery is under way to an endpoint.

        :param now: by the clock of the process that sends it.
        """
        world = self._world
        hook = world.hooks.get(message.url)
        if hook is None:
            world.violated("I11", f"{message.event_id} went to {message.url}: nobody asked for it")
            return
        hook.sent[message.event_id] += 1
        late = hook.under_way[message.event_id] > 0
        hook.under_way[message.event_id] -= late
        world.counts["late deliveries"] += late
        if hook.over and not late:
            text = f"{message.event_id} went to {message.url}, deleted or disabled before"
            world.violated("I11", text)
            return
        seconds = world.now()
        wrong = hook.fault_in(
            message.body, headers_of(message, now), EPOCH + timedelta(seconds=seconds), seconds,
            late=late,
        )  # fmt: skip
        if wrong:
            world.violated("I11", f"{message.event_id} at {message.url}: {wrong}")

    def keys_changed(self, key_ids: Iterable[str]) -> None:
        """Keys that were made or revoked by this commit: how much was done with them by now."""
        world = self._world
        for key_id in key_ids:
            row = world.books.execute(
                "SELECT key_hash, revoked_at FROM api_keys WHERE id = ?", (key_id,)
            ).fetchone()
            if row is not None and row["revoked_at"] is not None:
                key_hash = bytes(row["key_hash"])
                if key_hash not in world.revoked:
                    world.revoked[key_hash] = done_with(world, key_hash)


def is_over(row: Row) -> bool:
    return row["deleted_at"] is not None or row["status"] != "enabled"


def mark_of(key_hash: bytes) -> str:
    """By which whatever somebody does with a key that is not his is known."""
    return f"stolen {key_hash.hex()[:12]}"


def done_with(world: World, key_hash: bytes) -> int:
    """How many things were made by whoever has a key that is not his."""
    row = world.books.execute(
        "SELECT COUNT(*) FROM invoices WHERE reference LIKE ?", (f"{mark_of(key_hash)}%",)
    ).fetchone()
    return int(row[0])


def final(world: World) -> None:
    """Now that nothing moves: nothing is missing, nothing came after its time."""
    _taken(world)
    _in_order(world)
    for key_hash, count in world.revoked.items():
        now = done_with(world, key_hash)
        if now != count:
            world.violated("I13", f"a revoked key was used: {count} things, now {now}")


def _taken(world: World) -> None:
    """Every event of a merchant, at each endpoint that was there then and still is."""
    events: dict[str, list[Row]] = defaultdict(list)
    for row in world.books.execute(
        "SELECT seq, id, type, object_id, merchant_id, created_at FROM events ORDER BY seq"
    ):
        events[row["merchant_id"]].append(row)
    for hook in world.hooks.values():
        if hook.url in world.mailbox.told_gone and not hook.over:
            world.violated("I11", f"{hook.url} said that it is gone, and is not disabled")
        if hook.over or hook.url in world.mailbox.gone:
            continue
        taken = set(world.mailbox.taken.get(hook.url, ()))
        for event in events[hook.merchant_id]:
            what = f"event {event['type']} of {event['object_id']}"
            came, wanted = event["id"] in taken, asked_for(hook, event["type"])
            if came and not wanted:
                world.violated("I11", f"{what} came to {hook.url}, which did not ask for it")
            due = wanted and event["seq"] > hook.since
            if due and not came and not _at_once(world, hook, event):
                world.violated("I11", f"{what} never came to {hook.url}")


def asked_for(hook: Hook, event_type: str) -> bool:
    """As docs/api.md has it, and not as the product does it: dust is told of by request only."""
    return event_type != "payment.ignored" if hook.types is None else event_type in hook.types


def _at_once(world: World, hook: Hook, event: Row) -> bool:
    """On PostgreSQL an event's transaction may have begun before the endpoint was there."""
    if world.database.url.startswith("sqlite"):
        return False
    at = event["created_at"].replace(tzinfo=UTC) - EPOCH
    return bool(at.total_seconds() < hook.made_at + ASTRAY)


def _in_order(world: World) -> None:
    """Each delivery was made, those of one object in their order."""
    urls = {hook.id: hook.url for hook in world.hooks.values() if not hook.over}
    order: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in world.books.execute(
        "SELECT d.endpoint_id, d.object_id, d.status, e.id, e.type FROM webhook_deliveries d"
        " JOIN events e ON e.seq = d.event_seq ORDER BY d.id"
    ).fetchall():
        url = urls.get(row["endpoint_id"])
        if url is None:
            continue
        if row["status"] != "delivered" or row["id"] not in world.mailbox.taken.get(url, ()):
            world.violated("I11", f"event {row['type']} of {row['object_id']} was not delivered")
        order[url, row["object_id"]].append(row["id"])
    for (url, thing), expected in order.items():
        wanted = set(expected)
        got = [event for event in world.mailbox.taken.get(url, ()) if event in wanted]
        if got != [event for event in expected if event in set(got)]:
            world.violated("I11", f"events of {thing} came out of order at {url}")
