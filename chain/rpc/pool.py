"""All providers of one chain: who is asked, who is asked next, what is believed.

Guarantees: a request is sent to the best provider first, each other one may get
it after a failure that is the provider's own, and the error that is raised is
the most telling of those seen. A provider on another chain is never used. The
last provider is never dropped. Values went through the call's own checks.

Not guaranteed: that two requests meet the same provider (use a pinned
:class:`Route` for that), or that a provider behind a load balancer is one node.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from eth_utils.crypto import keccak

from chain.ranges import LogSpans
from chain.rpc.endpoint import Endpoint, Surroundings
from chain.rpc.errors import (
    BadReply,
    BatchRefused,
    NodeError,
    RpcError,
    Timeout,
    TooLarge,
    Unreachable,
    WrongChain,
)
from chain.rpc.health import ProviderState
from chain.rpc.labels import labels_of
from chain.rpc.methods import Timeouts
from chain.rpc.observer import RpcObserver, SilentObserver
from chain.rpc.race import Answers, Racer
from chain.rpc.transport import Transport
from chain.rpc.wire import Call, Shape
from chain.send import DECISIVE, SendOutcome, SendResult, classify_send_error, combine
from config.clock import Clock, Entropy

R = TypeVar("R")

ROUNDS: Final = 3
_BACK_OFF: Final = 0.1
_HASH: Final = Shape(str)


@dataclass(frozen=True, slots=True)
class Route:
    """Which providers a request may use; empty means any.

    :param only: label of the one provider to use.
    :param excluding: labels not to use.
    """

    only: str | None = None
    excluding: frozenset[str] = field(default_factory=frozenset)


ANY: Final = Route()


class RpcPool:
    """Providers of one chain. Labels are hosts; see :class:`Route`."""

    def __init__(
        self,
        chain: str,
        chain_id: int,
        urls: Sequence[str],
        *,
        transport: Transport,
        clock: Clock,
        entropy: Entropy,
        observer: RpcObserver | None = None,
        timeouts: Timeouts | None = None,
        batch_items: int = 100,
    ) -> None:
        assert urls, "a chain has at least one provider"
        self.chain = chain
        self.chain_id = chain_id
        self._clock = clock
        self._entropy = entropy
        observer = observer or SilentObserver()
        self._racer = Racer(chain, clock, observer)
        self.log_spans = LogSpans()
        """What was learned about ranges of logs; shared by all who ask."""
        around = Surroundings(
            chain=chain,
            chain_id=chain_id,
            transport=transport,
            clock=clock,
            entropy=entropy,
            observer=observer,
            timeouts=timeouts or Timeouts(),
            batch_items=batch_items,
        )
        self._endpoints = [
            Endpoint(url, label, order, around)
            for order, (url, label) in enumerate(zip(urls, labels_of(urls), strict=True))
        ]

    @property
    def providers(self) -> tuple[str, ...]:
        """Labels in the order of configuration."""
        return tuple(endpoint.label for endpoint in self._endpoints)

    def states(self) -> dict[str, ProviderState]:
        """State of each provider now."""
        return {endpoint.label: endpoint.state() for endpoint in self._endpoints}

    def best(self, route: Route = ANY) -> str | None:
        """Label of the provider that a request would meet first; ``None`` if the route has none."""
        ranked = self._ranked(route)
        return ranked[0].label if ranked else None

    def heads(self) -> dict[str, int | None]:
        """Highest head each provider last reported."""
        return {endpoint.label: endpoint.head for endpoint in self._endpoints}

    def saw_head(self, provider: str, number: int) -> None:
        """``provider`` reported this head; the pool compares it with the others'."""
        others = [e.head for e in self._endpoints if e.label != provider and e.head is not None]
        for endpoint in self._endpoints:
            if endpoint.label == provider:
                endpoint.saw_head(number, max(others, default=None))

    def doubt(self, provider: str) -> None:
        """What ``provider`` answered was refuted by the caller (bloom, second provider)."""
        for endpoint in self._endpoints:
            if endpoint.label == provider:
                endpoint.doubt()

    async def request(self, call: Call[R], route: Route = ANY) -> R:
        """The answer of the first provider that gives a good one.

        :raises RpcError: the chain's own answer (revert, too large) at once, or the
            most telling failure when nobody answered.
        """
        value, _ = await self.request_from(call, route)
        return value

    async def request_from(
        self, call: Call[R], route: Route = ANY, *, hedge: bool = False
    ) -> tuple[R, str]:
        """As :meth:`request`, with the label of the provider that answered.

        :param hedge: ask a second provider when the first is slow. For small reads only;
            a route that is pinned to one provider is never hedged.
        """
        answers: Answers[R] = Answers()
        failures = answers.failures
        if hedge:
            won = await self._raced(call, route, answers)
            if won is not None:
                return won
        for round_number in range(ROUNDS):
            for endpoint in self._askable(route, failures, round_number):
                if any(endpoint.label == label for _, label in answers.late):
                    continue
                try:
                    value = await endpoint.request(call)
                except RpcError as error:
                    if not error.elsewhere:
                        raise
                    failures[endpoint.label] = error
                    continue
                if value is None and call.null_is_late:
                    answers.late.append((value, endpoint.label))
                    continue
                return value, endpoint.label
            if answers.late:
                return answers.late[0]
            if not any(error.again for error in failures.values()):
                break
            if round_number + 1 < ROUNDS:
                await self._pause(round_number)
        raise self._most_telling(failures)

    async def _raced(
        self, call: Call[R], route: Route, answers: Answers[R]
    ) -> tuple[R, str] | None:
        """The two best, if both are well: a hedge must not wake one that rests or is limited."""
        pair = self._ranked(route)[:2]
        if len(pair) < 2 or any(e.state() is not ProviderState.alive for e in pair):
            return None
        return await self._racer.race(call, pair[0], pair[1], answers)

    async def batch(self, calls: Sequence[Call[R]], route: Route = ANY) -> list[R | RpcError]:
        """Values in the order of asking; an item that nobody answers holds its error.

        Failed items are asked again, elsewhere first; the others are not repeated.
        """
        results: dict[int, R | RpcError] = {}
        pending = list(range(len(calls)))
        failures: dict[str, RpcError] = {}
        for round_number in range(ROUNDS):
            for endpoint in self._askable(route, failures, round_number):
                if not pending:
                    break
                pending, failure = await self._batch_at(endpoint, calls, pending, results)
                if failure is not None:
                    failures[endpoint.label] = failure
            if not pending or not any(error.again for error in failures.values()):
                break
            if round_number + 1 < ROUNDS:
                await self._pause(round_number)
        for i in pending:
            results.setdefault(i, self._most_telling(failures))
        return [results[i] for i in range(len(calls))]

    async def _batch_at(
        self,
        endpoint: Endpoint,
        calls: Sequence[Call[R]],
        pending: list[int],
        results: dict[int, R | RpcError],
    ) -> tuple[list[int], RpcError | None]:
        """Ask one provider for the pending items, in chunks that it takes.

        Returns what another provider has to be asked, and why.
        """
        left: list[int] = []
        failure: RpcError | None = None
        todo = list(pending)
        while todo:
            size = endpoint.batch_limit
            chunk, rest = todo[:size], todo[size:]
            try:
                answers = await endpoint.batch([calls[i] for i in chunk])
            except BatchRefused:
                # The endpoint has lowered its limit; one item is always a plain request.
                continue
            except RpcError as error:
                if isinstance(error, TooLarge) and len(chunk) > 1:
                    endpoint.shrink_batches()
                    continue
                return left + todo, error
            smaller = []
            for i, answer in zip(chunk, answers, strict=True):
                results[i] = answer
                if isinstance(answer, TooLarge) and len(chunk) > 1:
                    smaller.append(i)
                elif isinstance(answer, RpcError) and answer.elsewhere:
                    left.append(i)
                    failure = answer
            if smaller:
                # geth: items past its limit for a whole batch reply say "response too large".
                endpoint.shrink_batches()
            todo = smaller + rest
        return left, failure

    async def send_raw(
        self, raw: bytes, route: Route = ANY, *, everywhere: bool = False
    ) -> SendResult:
        """Give signed bytes to one provider after another until a verdict is decisive.

        Identical bytes can be mined once only, so another provider is always safe
        to ask. Never raises for a provider's failure: that is ``unknown``.

        :param everywhere: to each, whatever the ones before said: one that takes them and passes
            them on to nobody says what the others say.
        """
        results: list[SendResult] = []
        for endpoint in self._ranked(route):
            if results and everywhere and endpoint.state() is ProviderState.unreachable:
                continue  # it would be waited for with every transaction in flight
            result = await self._send_to(endpoint, raw)
            results.append(result)
            if result.outcome in DECISIVE and not everywhere:
                break
        return combine(results)

    async def _send_to(self, endpoint: Endpoint, raw: bytes) -> SendResult:
        expected = "0x" + keccak(raw).hex()

        def build(text: str) -> str:
            if text.lower() != expected:
                raise ValueError("the node returned another transaction's hash")
            return text

        call = Call("eth_sendRawTransaction", ("0x" + raw.hex(),), _HASH, build)
        try:
            await self._twice(endpoint, call)
        except NodeError as error:
            outcome = classify_send_error(error.code, error.message)
            return SendResult(outcome, error.message)
        except RpcError as error:
            # Words like "execution reverted" or "limit" may be classed otherwise than
            # as a plain node error; the send table sees all of them.
            return SendResult(_verdict(error), error.what)
        return SendResult(SendOutcome.accepted)

    async def _twice(self, endpoint: Endpoint, call: Call[str]) -> str:
        """A connection that broke is tried once more: the answer may be "already known"."""
        try:
            return await endpoint.request(call)
        except (Unreachable, BadReply):
            return await endpoint.request(call)

    async def prove_chain(self, route: Route) -> None:
        """Ask those of the route for their chain ids, however lately they were right.

        :raises RpcError: nobody answers; :class:`WrongChain` if one serves another chain.
        """
        for endpoint in self._ranked(route):
            await endpoint.prove_chain()

    async def chain_ids(self) -> dict[str, int | RpcError]:
        """What each provider says its chain id is, whatever is configured."""
        found: dict[str, int | RpcError] = {}
        for endpoint in self._endpoints:
            try:
                found[endpoint.label] = await endpoint.chain_id()
            except RpcError as error:
                found[endpoint.label] = error
        return found

    def _ranked(self, route: Route) -> list[Endpoint]:
        wanted = [
            endpoint
            for endpoint in self._endpoints
            if (route.only is None or endpoint.label == route.only)
            and endpoint.label not in route.excluding
        ]
        right = [e for e in wanted if e.state() is not ProviderState.wrong_chain]
        return sorted(right, key=Endpoint.rank)

    def _askable(
        self, route: Route, failures: dict[str, RpcError], round_number: int
    ) -> Iterator[Endpoint]:
        """First everybody in order of trust, later those whose failure may pass."""
        for endpoint in self._ranked(route):
            failure = failures.get(endpoint.label)
            if failure is None or (round_number > 0 and failure.again):
                yield endpoint

    async def _pause(self, round_number: int) -> None:
        jitter = self._entropy.token_bytes(1)[0] / 255
        await self._clock.sleep(_BACK_OFF * 2**round_number * (0.5 + jitter))

    def _most_telling(self, failures: dict[str, RpcError]) -> RpcError:
        if not failures:
            wrong = [p for p, s in self.states().items() if s is ProviderState.wrong_chain]
            if wrong:
                return WrongChain(
                    f"every provider serves another chain ({', '.join(wrong)})",
                    where=self.chain,
                    remedy="correct rpc_urls or chain_id",
                )
            return Unreachable("no provider is left to ask", where=self.chain)
        return max(failures.values(), key=_telling)


_TELLING: Final = ("unreachable", "rate_limited", "bad_reply", "timeout", "unsupported", "behind")


def _telling(error: RpcError) -> int:
    """Answers of a node tell more than the absence of one."""
    known = error.outcome in _TELLING
    return _TELLING.index(error.outcome) if known else len(_TELLING)


def _verdict(error: RpcError) -> SendOutcome:
    if isinstance(error, Timeout | Unreachable | WrongChain | BadReply):
        return SendOutcome.unknown
    return classify_send_error(None, error.what)
