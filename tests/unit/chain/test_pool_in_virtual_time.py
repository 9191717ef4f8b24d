"""The pool without sockets and without waiting: a scripted transport and a virtual clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import msgspec
import pytest

from chain.client import ChainClient
from chain.rpc.errors import RateLimited, Unreachable, WrongChain
from chain.rpc.pool import RpcPool
from chain.rpc.transport import AiohttpTransport, TransportError
from config.units import Address, Hash32

NOBODY = Address(bytes(20))
Answer = tuple[int, Mapping[str, str], bytes]
GOOD, OTHER = "https://good.example/KEYKEYKEY", "https://other.example/KEYKEYKEY"


class VirtualClock:
    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.time)

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


class NoEntropy:
    def token_bytes(self, length: int) -> bytes:
        return bytes(length)


class Script:
    """A transport whose answers are a function of (host, method)."""

    def __init__(self, answer: Callable[[str, str], Any]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str]] = []
        self.chain_id = 1

    async def post(self, url: str, body: bytes, timeout: float) -> Answer:  # noqa: ASYNC109
        request = msgspec.json.decode(body)
        host = url.split("/")[2].split(".", maxsplit=1)[0]
        self.asked.append((host, request["method"]))
        if request["method"] == "eth_chainId":
            result: Any = hex(self.chain_id)
        else:
            result = self.answer(host, request["method"])
        if isinstance(result, Exception):
            raise result
        if isinstance(result, tuple):
            return result
        return 200, {}, msgspec.json.encode({"id": request["id"], "result": result})


class Watch:
    def __init__(self) -> None:
        self.requests: list[tuple[str, str, str, str]] = []
        self.states: list[tuple[str, str]] = []
        self.calls: list[tuple[str, str, int]] = []

    def on_request(
        self, chain: str, provider: str, method: str, outcome: str, seconds: float
    ) -> None:
        self.requests.append((chain, provider, method, outcome))

    def on_calls(self, chain: str, provider: str, method: str, count: int) -> None:
        self.calls.append((provider, method, count))

    def on_hedge(self, chain: str, provider: str, method: str, outcome: str) -> None:
        raise AssertionError("nothing here is slow")

    def on_provider_state(self, chain: str, provider: str, state: str) -> None:
        self.states.append((provider, state))


class World:
    def __init__(self, answer: Callable[[str, str], Any], *urls: str) -> None:
        self.clock, self.script, self.watch = VirtualClock(), Script(answer), Watch()
        pool = RpcPool(
            "ethereum", 1, urls or (GOOD,),
            transport=self.script, clock=self.clock, entropy=NoEntropy(), observer=self.watch,
        )  # fmt: skip
        self.client = ChainClient(pool)


async def test_f09_down_for_an_hour__then_back__answers_at_once() -> None:
    down = True
    world = World(lambda host, method: TransportError("ClientConnectorError") if down else "0x5")
    for _ in range(60):
        with pytest.raises(Unreachable):
            await world.client.balance(NOBODY)
        world.clock.time += 60
    down = False
    before = world.clock.time
    assert await world.client.balance(bytes(20)) == 5  # type: ignore[arg-type]
    assert world.clock.time == before
    assert [state for _, state in world.watch.states][-1] == "alive"
    assert "unreachable" in {state for _, state in world.watch.states}


async def test_retry__same_provider__waits_longer_each_round() -> None:
    world = World(lambda host, method: TransportError("ServerDisconnectedError"))
    with pytest.raises(Unreachable):
        await world.client.balance(NOBODY)
    assert world.clock.slept == [0.05, 0.1]


async def test_f09_back_after_an_outage__chain_id_is_proven_again() -> None:
    down = False
    world = World(lambda host, method: TransportError("ClientOSError") if down else "0x5")
    await world.client.balance(NOBODY)
    await world.client.balance(NOBODY)
    assert world.script.asked.count(("good", "eth_chainId")) == 1
    down = True
    with pytest.raises(Unreachable):
        await world.client.balance(NOBODY)
    down = False
    await world.client.balance(NOBODY)
    assert world.script.asked.count(("good", "eth_chainId")) == 2


async def test_f09_chain_id_changes_without_an_outage__noticed_within_a_minute() -> None:
    world = World(lambda host, method: "0x5")
    await world.client.balance(NOBODY)
    world.script.chain_id = 10
    world.clock.time += 61
    with pytest.raises(WrongChain):
        await world.client.balance(NOBODY)
    world.script.chain_id = 1
    world.clock.time += 61
    assert await world.client.balance(NOBODY) == 5


async def test_f08_retry_after_as_a_date__understood() -> None:
    clock_start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=1000)
    date = (clock_start + timedelta(seconds=100)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    world = World(lambda host, method: (429, {"retry-after": date}, b"slow down"))
    with pytest.raises(RateLimited) as caught:
        await world.client.balance(NOBODY)
    assert caught.value.retry_after == pytest.approx(100, abs=1)


async def test_f08_retry_after_of_an_impossible_zone__as_if_it_said_nothing() -> None:
    date = "Thu, 01 Jan 2026 00:00:00 +99999999999999999999"
    world = World(lambda host, method: (429, {"retry-after": date}, b"slow down"))
    with pytest.raises(RateLimited) as caught:
        await world.client.balance(NOBODY)
    assert caught.value.retry_after is None


async def test_f09_flapping__one_of_two__the_steady_one_serves_nearly_all() -> None:
    flips = iter(range(10**6))
    world = World(
        lambda host, method: TransportError("x") if host == "good" and next(flips) % 2 else "0x5",
        GOOD,
        OTHER,
    )
    for _ in range(200):
        world.clock.time += 1
        assert await world.client.balance(bytes(20)) == 5  # type: ignore[arg-type]
    served = [host for host, method in world.script.asked if method == "eth_getBalance"]
    assert served.count("other") > 100


async def test_observer__label_is_the_host__never_the_key() -> None:
    world = World(lambda host, method: "0x5")
    await world.client.balance(NOBODY)
    assert world.watch.requests == [
        ("ethereum", "good.example", "eth_chainId", "ok"),
        ("ethereum", "good.example", "eth_getBalance", "ok"),
    ]
    assert world.watch.calls == [
        ("good.example", "eth_chainId", 1),
        ("good.example", "eth_getBalance", 1),
    ]
    assert world.watch.states == [("good.example", "alive")]


async def test_receipts__nulls_in_a_batch__stay_in_their_places() -> None:
    world = World(lambda host, method: None)
    assert await world.client.receipts([Hash32(bytes(32))]) == [None]
    assert await world.client.receipts([]) == []


@pytest.mark.parametrize(
    "url", ["http:///KEYKEYKEY", "http://127.0.0.1:1/KEYKEYKEY", "ftp://x/KEYKEYKEY"]
)
async def test_transport__any_failure__the_url_is_not_in_it(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(TransportError) as caught:
            await AiohttpTransport(session).post(url, b"{}", 1.0)
    assert "KEY" not in str(caught.value)
    assert caught.value.__suppress_context__
