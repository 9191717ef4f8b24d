"""A slow provider at the head: the second is asked in time, and never more than needed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest

from chain import calls
from chain.client import ChainClient
from chain.rpc import hedge
from chain.rpc.errors import RpcError, TooLarge, Unreachable
from chain.rpc.health import ProviderState
from chain.rpc.pool import ROUNDS, RpcPool
from chain.rpc.transport import TransportError
from chain.send import SendOutcome
from config.units import Address, Hash32
from tests.support.clock import SeededEntropy
from tests.support.stepped_clock import SteppedClock

HASH = Hash32(b"\x0b" * 32)
HEADER = {
    "number": "0x5", "hash": "0x" + HASH.hex(), "parentHash": "0x" + "0a" * 32, "timestamp": "0x1",
    "logsBloom": "0x" + "00" * 256, "gasLimit": "0x1", "baseFeePerGas": "0x1",
}  # fmt: skip
RESULTS: dict[str, Any] = {
    "eth_chainId": "0x1", "eth_getBlockByNumber": HEADER, "eth_getBlockByHash": HEADER,
    "eth_getLogs": [], "eth_getBalance": "0x7",
}  # fmt: skip
Rule = float | Exception | Callable[[str], Any]


class Slow:
    """Hosts ``a``, ``b``, ``c``: each answers after its seconds, or fails, or as its rule says."""

    def __init__(self, clock: SteppedClock) -> None:
        self.clock = clock
        self.rules: dict[str, Rule] = {}
        self.results: dict[tuple[str, str], Any] = {}
        self.asked: Counter[tuple[str, str]] = Counter()
        self.cancelled: Counter[str] = Counter()

    async def post(
        self,
        url: str,
        body: bytes,
        timeout: float,  # noqa: ASYNC109
    ) -> tuple[int, Mapping[str, str], bytes]:
        host = url.split("/")[2]
        request = msgspec.json.decode(body)
        if isinstance(request, list):
            items = [{"id": item["id"], "result": RESULTS[item["method"]]} for item in request]
            return 200, {}, msgspec.json.encode(items)
        method = request["method"]
        if method != "eth_chainId":
            self.asked[host, method] += 1
            rule = self.rules.get(host, 0.01)
            try:
                await self.clock.sleep(rule if isinstance(rule, float) else 0.01)
            except asyncio.CancelledError:
                self.cancelled[host] += 1
                raise
            if isinstance(rule, Exception):
                raise rule
        result = self.results.get((host, method), RESULTS.get(method))
        reply = {"error": result[0]} if isinstance(result, tuple) else {"result": result}
        return 200, {}, msgspec.json.encode({"id": request["id"], **reply})


class Watch:
    def __init__(self) -> None:
        self.hedges: list[tuple[str, str]] = []
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.calls: Counter[tuple[str, str]] = Counter()

    def on_request(
        self, chain: str, provider: str, method: str, outcome: str, seconds: float
    ) -> None:
        self.outcomes[provider, outcome] += 1

    def on_calls(self, chain: str, provider: str, method: str, count: int) -> None:
        self.calls[provider, method] += count

    def on_hedge(self, chain: str, provider: str, method: str, outcome: str) -> None:
        self.hedges.append((provider, outcome))

    def on_provider_state(self, chain: str, provider: str, state: str) -> None: ...


class World:
    def __init__(self, *hosts: str) -> None:
        self.clock = SteppedClock()
        self.net, self.watch = Slow(self.clock), Watch()
        pool = RpcPool(
            "c", 1, [f"http://{host}" for host in hosts or ("a", "b")],
            transport=self.net, clock=self.clock, entropy=SeededEntropy(), observer=self.watch,
        )  # fmt: skip
        self.client = ChainClient(pool)

    async def spend(self, work: Any) -> tuple[Any, float]:
        """The result (or error) and the virtual seconds that it took."""
        started, ended = self.clock.time, 0.0

        async def timed() -> Any:
            nonlocal ended
            try:
                return await work
            except RpcError as error:
                return error
            finally:
                ended = self.clock.time

        task = asyncio.ensure_future(timed())
        for _ in range(10_000):
            await self.clock.settle()
            if task.done():
                return task.result(), ended - started
            await self.clock.advance(0.01)
        raise AssertionError("did not end")

    async def heads(self, count: int) -> list[float]:
        spent = []
        for _ in range(count):
            header, seconds = await self.spend(self.client.block("latest"))
            assert header.number == 5
            spent.append(seconds)
            await self.clock.advance(1.0)
        return spent


async def test_fast_provider__second__is_never_asked() -> None:
    world = World()
    await world.heads(30)
    assert world.net.asked == {("a", "eth_getBlockByNumber"): 30}
    assert world.watch.hedges == []


async def test_one_slow_answer__second__takes_over_and_the_first_is_cancelled() -> None:
    world = World()
    await world.heads(10)
    world.net.rules["a"] = 5.0
    [seconds] = await world.heads(1)
    assert seconds == pytest.approx(hedge.LEAST + 0.01, abs=0.005)
    assert world.net.cancelled["a"] == 1
    assert world.watch.hedges == [("a", "won")]
    assert world.watch.outcomes["a", "cancelled"] == 1
    assert world.client.provider_states()["a"] is ProviderState.alive
    await world.clock.advance(10)
    assert world.net.asked["a", "eth_getBlockByNumber"] == 11


async def test_before_anything_is_learned__half_a_second() -> None:
    world = World()
    world.net.rules["a"] = 5.0
    [seconds] = await world.heads(1)
    assert seconds == pytest.approx(hedge.AT_FIRST + 0.01, abs=0.005)


async def test_usually_slow_first__its_own_pace__is_no_reason_to_hedge() -> None:
    world = World()
    world.net.rules["a"] = 0.3
    await world.heads(20)
    assert world.watch.hedges == []
    assert world.net.asked["b", "eth_getBlockByNumber"] == 0


async def test_first_answers_after_the_hedge__its_answer_counts_and_the_second_is_cancelled() -> (
    None
):
    world = World()
    await world.heads(10)
    world.net.rules.update(a=0.08, b=5.0)
    [seconds] = await world.heads(1)
    assert seconds == pytest.approx(0.08, abs=0.005)
    assert world.watch.hedges == [("a", "lost")]
    assert world.net.cancelled["b"] == 1


async def test_first_goes_dead__loses_its_place_instead_of_costing_a_delay_for_ever() -> None:
    world = World()
    await world.heads(10)
    world.net.rules["a"] = 1000.0
    spent = await world.heads(30)
    assert max(spent) <= hedge.MOST + 0.02
    assert spent[-1] == pytest.approx(0.01, abs=0.005)
    assert sum(1 for seconds in spent if seconds > 0.02) <= 12


async def test_first_turns_slow__hedges_become_rare_again() -> None:
    """Ten times slower from now on: not every request may be doubled."""
    world = World()
    await world.heads(64)
    world.net.rules.update(a=0.1, b=0.1)
    await world.heads(64)
    before = len(world.watch.hedges)
    await world.heads(50)
    assert len(world.watch.hedges) - before <= 10


async def test_second_fails__the_first_is_waited_for() -> None:
    world = World()
    await world.heads(10)
    world.net.rules.update(a=0.2, b=TransportError("ServerDisconnectedError"))
    [seconds] = await world.heads(1)
    assert seconds == pytest.approx(0.2, abs=0.005)
    assert world.watch.hedges == [("a", "lost")]


async def test_both_fail__the_third_is_asked_and_nobody_twice_in_the_first_round() -> None:
    world = World("a", "b", "c")
    await world.heads(10)
    world.net.asked.clear()
    world.net.rules.update(a=TransportError("x"), b=TransportError("x"))
    header, _ = await world.spend(world.client.block("latest"))
    assert header.number == 5
    assert world.net.asked == {
        ("a", "eth_getBlockByNumber"): 1, ("b", "eth_getBlockByNumber"): 1,
        ("c", "eth_getBlockByNumber"): 1,
    }  # fmt: skip


async def test_all_fail__race__counts_as_the_first_round() -> None:
    world = World()
    await world.heads(10)
    world.net.asked.clear()
    world.net.rules.update(a=TransportError("x"), b=TransportError("x"))
    error, _ = await world.spend(world.client.block("latest"))
    assert isinstance(error, Unreachable)
    assert set(world.net.asked.values()) == {ROUNDS}


async def test_null_from_the_first__is_not_taken_while_the_second_may_know() -> None:
    world = World()
    world.net.results["a", "eth_getBlockByHash"] = None
    header, _ = await world.spend(world.client.block_by_hash(HASH))
    assert header is not None and header.hash == HASH
    world.net.results["b", "eth_getBlockByHash"] = None
    world.net.asked.clear()
    nothing, _ = await world.spend(world.client.block_by_hash(HASH))
    assert nothing is None
    assert world.net.asked == {("a", "eth_getBlockByHash"): 1, ("b", "eth_getBlockByHash"): 1}


async def test_bad_answer_of_a_hedge__is_refused_like_any_other() -> None:
    world = World()
    for _ in range(10):
        await world.spend(world.client.block_by_hash(HASH))
    world.net.rules["a"] = 0.4
    world.net.results["b", "eth_getBlockByHash"] = HEADER | {"hash": "0x" + "66" * 32}
    header, seconds = await world.spend(world.client.block_by_hash(HASH))
    assert header.hash == HASH and seconds == pytest.approx(0.4, abs=0.01)


async def test_chains_own_answer__ends_the_race() -> None:
    world = World()
    error = {"code": -32005, "message": "query returned more than 10000 results"}
    world.net.results["a", "eth_getLogs"] = (error,)
    found, _ = await world.spend(
        world.client.transfer_logs_of_block(HASH, tokens=None, recipients=None)
    )
    assert isinstance(found, TooLarge)
    assert world.net.asked["b", "eth_getLogs"] == 0


async def test_never_hedged__pinned_views_sends_heights_and_balances() -> None:
    world = World()
    await world.heads(10)
    world.net.rules["a"] = 3.0
    pinned = world.client.pinned()
    assert pinned.provider == "a"
    for work in (
        pinned.block("latest"), pinned.block_by_hash(HASH),
        pinned.transfer_logs_of_block(HASH, tokens=None, recipients=None),
        world.client.block(5), world.client.balance(Address(bytes(20))),
    ):  # fmt: skip
        _, seconds = await world.spend(work)
        assert seconds == pytest.approx(3.0, abs=0.01)
    from eth_utils.crypto import keccak

    world.net.results["a", "eth_sendRawTransaction"] = "0x" + keccak(b"raw").hex()
    sent, seconds = await world.spend(world.client.send_raw(b"raw"))
    assert sent.outcome is SendOutcome.accepted and seconds == pytest.approx(3.0, abs=0.01)
    assert world.watch.hedges == []
    assert not any(host == "b" for host, _ in world.net.asked)


async def test_second_rests_or_is_limited__left_in_peace() -> None:
    world = World()
    await world.heads(10)
    for _ in range(5):
        world.client.doubt("b")
    assert world.client.provider_states()["b"] is ProviderState.unreachable
    world.net.rules["a"] = 0.5
    [seconds] = await world.heads(1)
    assert seconds == pytest.approx(0.5, abs=0.01)
    assert world.watch.hedges == []


async def test_caller_is_cancelled__both_requests_end() -> None:
    world = World()
    await world.heads(10)
    world.net.rules.update(a=50.0, b=50.0)
    task = asyncio.ensure_future(world.client.block("latest"))
    await world.clock.advance(1.0)
    task.cancel()
    await world.clock.settle()
    assert task.cancelled()
    assert world.net.cancelled == {"a": 1, "b": 1}


async def test_calls__a_batch__counted_as_it_is_billed() -> None:
    world = World()
    owners = [Address(bytes(20))] * 3
    world_calls = [calls.number_of("eth_getBalance", owner.hex()) for owner in owners]
    world_calls.append(calls.number_of("eth_chainId"))
    assert (await world.spend(world.client.batch(world_calls)))[0] == [7, 7, 7, 1]
    assert world.watch.calls == {("a", "eth_getBalance"): 3, ("a", "eth_chainId"): 2}
    assert world.watch.outcomes == {("a", "ok"): 2}


# --- the policy by itself ----------------------------------------------------------------


def learned(*seconds: float) -> hedge.Pace:
    pace = hedge.Pace()
    for spent in seconds:
        pace = hedge.answered(pace, spent)
    return pace


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ((), hedge.AT_FIRST),
        ((0.1,) * 7, hedge.AT_FIRST),
        ((0.1,) * 8, 0.1),
        ((0.001,) * 20, hedge.LEAST),
        ((30.0,) * 20, hedge.MOST),
        ((0.1,) * 18 + (0.9, 0.9), 0.9),
        ((0.1,) * 19 + (0.9,), 0.1),
        ((5.0,) * 100 + (0.2,) * 64, 0.2),
    ],
    ids=str,
)
def test_delay__of_what_was_seen__90th_percentile_in_bounds(
    samples: tuple[float, ...], expected: float
) -> None:
    assert hedge.delay(learned(*samples)) == expected


def test_suspicion__only_after_patience__and_an_answer_ends_it() -> None:
    pace = learned(*(0.1,) * 10)
    for _ in range(hedge.PATIENCE):
        pace = hedge.outrun(pace, 0.2)
        assert not hedge.suspicious(pace)
    pace = hedge.outrun(pace, 0.2)
    assert hedge.suspicious(pace)
    assert not hedge.suspicious(hedge.answered(pace, 0.2))


def test_memory__however_many_answers__stays_bounded() -> None:
    pace = learned(*(0.1,) * 1000)
    for _ in range(1000):
        pace = hedge.outrun(pace, 0.2)
    assert len(pace.recent) == hedge.KEPT
