"""One provider: its URL, its health, its pace. Sends, reads, classifies; never retries.

The URL may hold an API key. Only its host is ever shown, and words that a
provider echoes back are cleaned of the URL's path, query and user before they
reach an error.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import count
from typing import Any, Final, TypeVar

import msgspec

from chain.rpc import health as healths
from chain.rpc import throttle as throttles
from chain.rpc.errors import (
    BadReply,
    BatchRefused,
    RateLimited,
    RpcError,
    Timeout,
    TooLarge,
    Unreachable,
    WrongChain,
)
from chain.rpc.health import Health, ProviderState
from chain.rpc.labels import clean, secrets_of
from chain.rpc.methods import Timeouts, method_class
from chain.rpc.observer import RpcObserver
from chain.rpc.table import classify, classify_http
from chain.rpc.throttle import Throttle
from chain.rpc.transport import ReplyTooLargeError, Transport, TransportError
from chain.rpc.wire import (
    Call,
    ErrorBody,
    Reply,
    Shape,
    decode_many,
    decode_one,
    encode_batch,
    encode_call,
    error_data,
)
from config.clock import Clock, Entropy
from config.log import get_logger

log = get_logger(__name__)

R = TypeVar("R")

_CHAIN_ID: Final = Call("eth_chainId", (), Shape(str), lambda text: int(text, 16))
BATCHES_LARGER_AFTER: Final = 600.0
"""Seconds after which larger batches are tried again: some refuse them only for a moment."""
LONGEST_WAIT: Final = 20.0
"""Seconds a request waits for its provider's pace before giving up as rate-limited."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every endpoint of a pool shares."""

    chain: str
    chain_id: int
    transport: Transport
    clock: Clock
    entropy: Entropy
    observer: RpcObserver
    timeouts: Timeouts
    batch_items: int


class Endpoint:
    """State of one provider and the only code that posts to it."""

    def __init__(self, url: str, label: str, order: int, around: Surroundings) -> None:
        self._url = url
        self.label = label
        self.order = order
        self._batch_limit = around.batch_items
        self._batches_larger_at = 0.0
        self._around = around
        self._health = Health()
        self._throttle = Throttle()
        self._ids = count(1)
        self._secrets = secrets_of(url)
        self._shown_state: ProviderState | None = None
        self._named_wrong = False

    def _clean(self, message: str) -> str:
        return clean(message, self._secrets)

    def __repr__(self) -> str:
        return f"Endpoint({self.label})"

    @property
    def where(self) -> str:
        return f"{self._around.chain}/{self.label}"

    @property
    def head(self) -> int | None:
        return self._health.head

    def state(self) -> ProviderState:
        return healths.state_at(self._health, self._around.clock.monotonic())

    def rank(self) -> tuple[int, int, int]:
        return healths.rank(self._health, self._around.clock.monotonic(), self.order)

    def saw_head(self, number: int, best: int | None) -> None:
        now = self._around.clock.monotonic()
        self._become(healths.saw_head(self._health, now, number, best))

    def doubt(self) -> None:
        """Something it said is contradicted by others: one failure."""
        self._become(healths.failed(self._health, self._around.clock.monotonic()))

    async def request(self, call: Call[R], *, check_chain: bool = True) -> R:
        """One request, one answer.

        :raises RpcError: classified, with ``provider`` set.
        """
        if check_chain:
            await self._ensure_chain()
        request_id = next(self._ids)
        timeout = self._around.timeouts.of(method_class(call.method))

        def read(status: int, headers: Mapping[str, str], body: bytes) -> R:
            reply = self._decode(status, headers, lambda: decode_one(call.shape, body, request_id))
            return self._value(call, reply)

        return await self._exchange((call,), encode_call(call, request_id), timeout, read)

    async def batch(self, calls: Sequence[Call[R]]) -> list[R | RpcError]:
        """One HTTP request for all; each item has its value or its own error.

        All calls have the same :class:`Shape`.

        :raises RpcError: the exchange as a whole failed.
        """
        if len(calls) == 1:
            try:
                value = await self.request(calls[0])
            except RpcError as error:
                return [error]
            return [value]
        await self._ensure_chain()
        first = next(self._ids)
        self._ids = count(first + len(calls))
        kind = method_class(calls[0].method)
        timeout = self._around.timeouts.of(kind, len(calls))

        def read(status: int, headers: Mapping[str, str], body: bytes) -> list[R | RpcError]:
            shape = calls[0].shape
            replies = self._decode(
                status, headers, lambda: decode_many(shape, body, first, len(calls))
            )
            if isinstance(replies, Reply):
                raise self._batch_error(replies)
            items: list[R | RpcError] = []
            for call, reply in zip(calls, replies, strict=True):
                item: R | RpcError = self._item(call, reply)
                items.append(item)
            return items

        return await self._exchange(calls, encode_batch(calls, first), timeout, read)

    @property
    def batch_limit(self) -> int:
        """Items that a batch may have; after a while without a refusal twice as many are tried."""
        now = self._around.clock.monotonic()
        if self._batch_limit < self._around.batch_items and now >= self._batches_larger_at:
            self._batch_limit = min(self._around.batch_items, 2 * self._batch_limit)
            self._batches_larger_at = now + BATCHES_LARGER_AFTER
        return self._batch_limit

    def shrink_batches(self, most: int | None = None) -> None:
        """Fewer items per batch from now on, at least one."""
        self._batch_limit = max(1, min(most or self._batch_limit // 2, self._batch_limit - 1))
        self._batches_larger_at = self._around.clock.monotonic() + BATCHES_LARGER_AFTER

    async def chain_id(self) -> int:
        """The chain id that the provider reports, whatever is configured."""
        found = await self.request(_CHAIN_ID, check_chain=False)
        right = found == self._around.chain_id
        judge = healths.on_right_chain if right else healths.misled
        self._become(judge(self._health, self._around.clock.monotonic()))
        self._name_wrong(None if right else found)
        return found

    async def _ensure_chain(self) -> None:
        if self._around.clock.monotonic() >= self._health.chain_proven_until:
            await self.prove_chain()

    async def prove_chain(self) -> None:
        """Ask for the chain id, however lately it was right.

        :raises WrongChain: it is another one; the provider is out for a minute.
        """
        found = await self.chain_id()
        if found == self._around.chain_id:
            return
        error = WrongChain(
            f"the provider serves chain id {found}, configured is {self._around.chain_id}",
            where=self.where,
            remedy="correct rpc_urls or chain_id",
        )
        error.provider = self.label
        raise error

    def _name_wrong(self, found: int | None) -> None:
        """Once when it goes astray, though it is asked every minute, and once when it is back."""
        if found is not None and not self._named_wrong:
            # No error: where nothing goes on without it, whoever asked refuses in one line.
            log.warning(
                "provider_wrong_chain",
                chain=self._around.chain,
                provider=self.label,
                serves=found,
                configured=self._around.chain_id,
                remedy="correct rpc_urls, or tell the provider; it is not used meanwhile",
            )
        elif found is None and self._named_wrong:
            log.info("provider_right_chain_again", chain=self._around.chain, provider=self.label)
        self._named_wrong = found is not None

    async def _exchange(
        self,
        calls: Sequence[Call[Any]],
        body: bytes,
        timeout: float,  # noqa: ASYNC109 - handed on to the transport, which keeps it
        read: Callable[[int, Mapping[str, str], bytes], R],
    ) -> R:
        await self._pace(len(calls))
        clock = self._around.clock
        started = clock.monotonic()
        outcome = "cancelled"
        try:
            answer = await self._around.transport.post(self._url, body, timeout)
            value = read(*answer)
            outcome = "ok"
        except (RpcError, TimeoutError, TransportError) as error:
            failure = self._typed(error, timeout)
            outcome = failure.outcome
            self._learn(failure)
            raise failure from None
        finally:
            seconds = clock.monotonic() - started
            self._tell(calls, outcome, seconds)
        self._accepted(value)
        return value

    def _tell(self, calls: Sequence[Call[Any]], outcome: str, seconds: float) -> None:
        observer, chain = self._around.observer, self._around.chain
        observer.on_request(chain, self.label, calls[0].method, outcome, seconds)
        for method, sent in Counter(call.method for call in calls).items():
            observer.on_calls(chain, self.label, method, sent)

    def _accepted(self, value: object) -> None:
        """An answer came; in a batch, single items may still have failed."""
        items = value if isinstance(value, list) else []
        slow = next((item for item in items if isinstance(item, RateLimited)), None)
        bad = next((item for item in items if isinstance(item, BadReply)), None)
        if slow is not None:
            self._learn(slow)
            return
        self._throttle = throttles.accepted(self._throttle)
        if bad is not None:
            self._learn(bad)
        else:
            self._become(healths.succeeded(self._health, self._around.clock.monotonic()))

    async def _pace(self, weight: int) -> None:
        """Wait for the provider's pace. A wait that was reserved and then cancelled is
        not given back: the next caller waits a little longer, nobody is sent faster."""
        now = self._around.clock.monotonic()
        throttle, wait = throttles.reserve(self._throttle, now, weight)
        if wait > LONGEST_WAIT:
            error = RateLimited(
                f"not asked again for {wait:.0f} s", where=self.where, retry_after=wait
            )
            error.provider = self.label
            raise error
        self._throttle = throttle
        if wait > 0:
            await self._around.clock.sleep(wait)

    def _typed(self, error: Exception, limit: float) -> RpcError:
        if isinstance(error, RpcError):
            typed = error
            typed.where = typed.where or self.where
            typed.args = (str(typed),)
        elif isinstance(error, TimeoutError):
            typed = Timeout(f"no answer within {limit:g} s", where=self.where)
        elif isinstance(error, ReplyTooLargeError):
            typed = TooLarge("the reply is larger than this client reads", where=self.where)
        else:
            typed = Unreachable(f"the connection failed ({error})", where=self.where)
        typed.provider = self.label
        return typed

    def _learn(self, error: RpcError) -> None:
        """Only what is the provider's fault counts against it."""
        now = self._around.clock.monotonic()
        if isinstance(error, RateLimited):
            self._slow_down(error.retry_after)
        elif isinstance(error, Timeout | Unreachable | BadReply):
            self._become(healths.failed(self._health, now))
        elif isinstance(error, BatchRefused):
            self.shrink_batches(error.max_items)

    def _slow_down(self, retry_after: float | None) -> None:
        now = self._around.clock.monotonic()
        jitter = self._around.entropy.token_bytes(1)[0] / 255
        self._throttle, pause = throttles.limited(self._throttle, now, retry_after, jitter)
        self._become(healths.limited(self._health, now, pause))

    def _become(self, health: Health) -> None:
        self._health = health
        state = self.state()
        if state is not self._shown_state:
            self._shown_state = state
            self._around.observer.on_provider_state(self._around.chain, self.label, state)

    def _decode(
        self,
        status: int,
        headers: Mapping[str, str],
        decode: Callable[[], R],
    ) -> R:
        retry_after = self._retry_after(headers)
        try:
            decoded = decode()
        except BadReply:
            # An error page's status says more than its unreadable body.
            if status != 200:
                raise classify_http(status, retry_after, where=self.where) from None
            raise
        failed = isinstance(decoded, Reply) and decoded.error is not None
        if status in (429, 420) or (status != 200 and not failed):
            raise classify_http(status, retry_after, where=self.where)
        return decoded

    def _value(self, call: Call[R], reply: Reply[Any]) -> R:
        if reply.error is not None:
            raise self._error(reply.error)
        if reply.result is msgspec.UNSET:
            raise BadReply("the reply has neither result nor error", where=self.where)
        head = self._health.head
        height = call.height if call.height is not None and reply.result is None else None
        if height is not None and head is not None and height <= head:
            raise BadReply(f"null for block {height}, its own head is {head}")
        try:
            return call.build(reply.result)
        except ValueError as error:
            raise BadReply(f"{call.method}: {error}", where=self.where) from None

    def _item(self, call: Call[Any], reply: Reply[Any] | None) -> Any:
        try:
            if reply is None:
                raise BadReply("the batch reply lacks an item", where=self.where)
            return self._value(call, reply)
        except RpcError as error:
            error.provider = self.label
            return error

    def _error(self, body: ErrorBody | str) -> RpcError:
        if isinstance(body, str):
            return classify(None, self._clean(body), where=self.where)
        code = int(body.code) if isinstance(body.code, int | float) else None
        data, words = error_data(body.data)
        message = body.message or words
        return classify(code, self._clean(message), data, where=self.where)

    def _batch_error(self, reply: Reply[Any]) -> RpcError:
        if reply.error is None:
            return BatchRefused("a single object came back for a batch", where=self.where)
        error = self._error(reply.error)
        if isinstance(error, RateLimited | Timeout | Unreachable | BatchRefused):
            return error
        # Nodes that take no batches call them an invalid request, each in its own words.
        return BatchRefused(error.what, where=self.where)

    def _retry_after(self, headers: Mapping[str, str]) -> float | None:
        """``Retry-After`` in seconds: a number or an HTTP date (RFC 9110, §10.2.3)."""
        text = headers.get("retry-after")
        if text is None:
            return None
        if re.fullmatch(r"\d{1,9}(\.\d+)?", text.strip(), re.ASCII):
            return float(text)
        try:
            until = parsedate_to_datetime(text)
            return max(0.0, (until - self._around.clock.now()).total_seconds())
        except (ValueError, TypeError, OverflowError):
            return None
