"""f27: a name server that never answers keeps nobody waiting but who asked for that name."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.webhooks import names
from gateway.webhooks.names import NameLookups
from gateway.webhooks.sender import Message, http_sender, message_body
from tests.system.gateway.test_webhooks import receiver

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def message(host: str, port: int = 443, scheme: str = "https") -> Message:
    body = message_body({"id": "evt_1"})
    return Message(f"{scheme}://{host}:{port}/hook", "evt_1", body, (SECRET,))


class NameServer:
    """What the system's resolver would say; names under ``slow.example`` are never answered."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.over = threading.Event()

    def getaddrinfo(self, host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        self.asked.append(host)
        if host.endswith("slow.example"):
            self.over.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    made = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    yield made
    made.over.set()


async def test_f27_webhook__name_servers_that_never_answer__neither_payouts_nor_others_wait(
    server: NameServer,
) -> None:
    async with receiver() as shop, http_sender(allow_private=True) as sender:
        hosts = [f"shop{n}.slow.example" for n in range(60)]
        stuck = [asyncio.create_task(sender.send(message(host), NOW)) for host in hosts]
        async with asyncio.timeout(5):
            while len(server.asked) < len(hosts):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            # asyncio's own threads: the journal of payouts is written in them.
            assert await asyncio.to_thread(threading.active_count) > 60
            port = int(shop.url.split(":")[2].split("/")[0])
            reply = await sender.send(message("quick.example", port, "http"), NOW)
        assert reply.outcome == "ok"
        assert not any(task.done() for task in stuck)
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
    waiting = [t for t in threading.enumerate() if t.name == "webhook-name"]
    assert all(thread.daemon for thread in waiting), "they hold up no exit"


async def test_f27_names__one_name_asked_for_again_and_again__one_thread(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "MOST", 2)
    lookups = NameLookups()
    assert await lookups.resolve("b.example", 443)
    for _ in range(10):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(lookups.resolve("a.slow.example"), 0.001)
    assert server.asked == ["b.example", "a.slow.example"]
    server.over.set()
    (found,) = await lookups.resolve("a.slow.example")
    assert (found["host"], found["hostname"]) == ("127.0.0.1", "a.slow.example")


async def test_f27_names__all_places_taken__one_that_was_found_before_still_has_some(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One merchant can register names that nobody answers for as fast as places become free."""
    monkeypatch.setattr(names, "MOST", 4)
    lookups = NameLookups()
    server.over.set()
    for name in ("shop.example", "0.other.slow.example", "1.other.slow.example"):
        assert await lookups.resolve(name, 443)
    server.over.clear()
    stuck = [asyncio.create_task(lookups.resolve(f"{n}.slow.example")) for n in range(3)]
    await asyncio.sleep(0)
    for name in ("3.slow.example", "stranger.example"):
        with pytest.raises(OSError, match="too many"):
            await lookups.resolve(name)
    assert await lookups.resolve("shop.example", 443), "found at once before"
    last = asyncio.create_task(lookups.resolve("0.other.slow.example", 443))
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="too many"):
        await lookups.resolve("1.other.slow.example", 443)
    last.cancel()
    server.over.set()
    assert all(await asyncio.gather(*stuck))


async def test_f27_names__found_after_a_long_time__no_place_of_its_own_any_more(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "MOST", 4)
    lookups = NameLookups()
    assert await lookups.resolve("shop.example", 443)
    stuck = [asyncio.create_task(lookups.resolve(f"{n}.slow.example")) for n in range(3)]
    await asyncio.sleep(0)
    monkeypatch.setattr(names, "PROMPT_SECONDS", 0)
    assert await lookups.resolve("shop.example", 443), "the last time that it took long"
    with pytest.raises(OSError, match="too many"):
        await lookups.resolve("shop.example", 443)
    server.over.set()
    assert all(await asyncio.gather(*stuck))


async def test_f27_names__no_such_name__told_to_whoever_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nobody(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    lookups = NameLookups()
    for _ in range(2):
        with pytest.raises(OSError, match="not known"):
            await lookups.resolve("nobody.example")
    async with http_sender(allow_private=False) as sender:
        reply = await sender.send(message("nobody.example"), NOW)
    assert reply.outcome == "failed"
    assert "not known" in str(reply.error)
