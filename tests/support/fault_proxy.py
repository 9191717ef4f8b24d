"""A JSON-RPC proxy that lies, stalls and breaks on request, in front of a node.

::

    async with FaultProxy(anvil.rpc_url, seed=7) as proxy:
        proxy.add(Fault(Kind.empty_logs, share=0.5))
        proxy.add(Fault(Kind.rate_limited, methods={"eth_call"}, times=3, value=1))
        client = make_client([proxy.url])

Whether a fault with a ``share`` strikes is a hash of (seed, fault, request, how
often that request was asked), so a seed replays whatever the order of calls.
Without a node behind it, ``canned`` answers: method → result, or a function of
the parameters.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web
from eth_utils.crypto import keccak


class Kind(StrEnum):
    """What goes wrong. ``value`` is the argument where one is named."""

    # the answer is well-formed and false
    empty_logs = "empty_logs"
    null_block = "null_block"
    wrong_height = "wrong_height"  # value: by how many blocks (default 1)
    head_behind = "head_behind"  # value: by how many blocks; "latest" answers the older one
    wrong_chain = "wrong_chain"  # value: the id answered
    foreign_log = "foreign_log"  # logs moved to another block
    outside_log = "outside_log"  # logs of the right block, said to be of one before it
    removed_log = "removed_log"
    cut_data = "cut_data"  # value: topic 0 of the logs that lose their data, also in receipts
    null_receipt = "null_receipt"
    answers = "answers"  # value: the result, whatever the node's is
    elsewhere = "elsewhere"  # value: URL of another node, which is asked instead
    milliseconds = "milliseconds"  # a block's timestamp, which is in seconds
    kept = "kept"  # signed bytes are taken, and passed on to nobody
    other_hash = "other_hash"  # block hash, or the hash of a sent transaction, changed
    # the node answers with an error
    error = "error"  # value: (code, message) or (code, message, data)
    # HTTP is broken
    rate_limited = "rate_limited"  # value: Retry-After in seconds, or None
    status = "status"  # value: HTTP status
    html = "html"
    not_json = "not_json"  # status 200 and application/json, but words
    truncated = "truncated"
    garbled = "garbled"  # a byte that is no letter of UTF-8
    dropped = "dropped"  # connection closed in the middle of the body
    refused = "refused"  # connection closed without an answer, the node was not asked
    swallowed = "swallowed"  # the node was asked, the answer is lost
    slow = "slow"  # value: seconds before the answer
    wrong_id = "wrong_id"
    missing_item = "missing_item"  # a batch loses its last item
    no_batches = "no_batches"  # value: most items, default 0


@dataclass(slots=True, eq=False)
class Fault:
    """One thing that goes wrong.

    :param methods: for these only; ``None`` for all.
    :param share: of the requests concerned, 0 … 1.
    :param times: how often at most; ``None`` for ever. Counts down.
    :param naming: requests whose parameters hold this text only.
    """

    kind: Kind
    methods: set[str] | None = None
    share: float = 1.0
    times: int | None = None
    value: Any = None
    naming: str = ""
    struck: int = field(default=0, init=False)


_BLOCKS = {"eth_getBlockByNumber", "eth_getBlockByHash"}
_LOGS = {"eth_getLogs"}
_CONCERNS: dict[Kind, set[str]] = {
    Kind.empty_logs: _LOGS,
    Kind.foreign_log: _LOGS,
    Kind.outside_log: _LOGS,
    Kind.removed_log: _LOGS,
    Kind.cut_data: _LOGS | {"eth_getTransactionReceipt"},
    Kind.null_receipt: {"eth_getTransactionReceipt", "eth_getBlockReceipts"},
    Kind.null_block: _BLOCKS,
    Kind.wrong_height: _BLOCKS,
    Kind.milliseconds: _BLOCKS,
    Kind.head_behind: {"eth_getBlockByNumber", "eth_blockNumber"},
    Kind.wrong_chain: {"eth_chainId", "net_version"},
    Kind.kept: {"eth_sendRawTransaction"},
    Kind.other_hash: _BLOCKS | {"eth_sendRawTransaction"},
}
_RESULTS = {
    Kind.empty_logs, Kind.null_block, Kind.wrong_height, Kind.wrong_chain,
    Kind.foreign_log, Kind.outside_log, Kind.removed_log, Kind.null_receipt, Kind.other_hash,
    Kind.answers, Kind.error, Kind.milliseconds, Kind.cut_data,
}  # fmt: skip

Canned = Mapping[str, Any]


class FaultProxy:
    """Serves on 127.0.0.1; ``requests`` counts JSON-RPC calls by method, ``posts`` HTTP requests."""

    def __init__(
        self, upstream: str | None = None, *, canned: Canned | None = None, seed: int = 0
    ) -> None:
        assert (upstream is None) != (canned is None)
        self._upstream = upstream
        self._canned = canned or {}
        self._seed = seed
        self._asked: Counter[str] = Counter()
        self._faults: list[Fault] = []
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self.requests: Counter[str] = Counter()
        self.posts = 0
        self.url = ""

    def add(self, fault: Fault) -> Fault:
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        self._faults.clear()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._runner is not None and self._session is not None
        await self._session.close()
        await self._runner.cleanup()

    # --- one HTTP request --------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.posts += 1
        body = json.loads(await request.read())
        items: list[dict[str, Any]] = body if isinstance(body, list) else [body]
        for item in items:
            self.requests[item["method"]] += 1
        struck = {item["id"]: self._strikes(item, isinstance(body, list)) for item in items}
        every = [fault for faults in struck.values() for fault in faults]
        early = await self._before(request, every, len(items) if isinstance(body, list) else 0)
        if early is not None:
            return early
        replies = [await self._answer(item, struck[item["id"]]) for item in items]
        return await self._after(request, every, replies, isinstance(body, list))

    async def _before(
        self, request: web.Request, faults: list[Fault], batch: int
    ) -> web.StreamResponse | None:
        """Faults that keep the request from the node."""
        for fault in faults:
            match fault.kind:
                case Kind.slow:
                    await asyncio.sleep(fault.value)
                case Kind.rate_limited:
                    headers = {} if fault.value is None else {"Retry-After": str(fault.value)}
                    return web.Response(status=429, headers=headers, text="Too Many Requests")
                case Kind.status:
                    return web.Response(status=fault.value, text="no")
                case Kind.html:
                    page = "<!DOCTYPE html><html><body>Just a moment...</body></html>"
                    return web.Response(text=page, content_type="text/html")
                case Kind.not_json:
                    return web.Response(text="upstream says no", content_type="application/json")
                case Kind.refused:
                    _cut(request)
                    return web.Response()
                case Kind.no_batches if batch > (fault.value or 0):
                    error = {"code": -32600, "message": "batch too large"}
                    return web.json_response({"jsonrpc": "2.0", "id": None, "error": error})
                case _:
                    pass
        return None

    async def _after(
        self,
        request: web.Request,
        faults: list[Fault],
        replies: list[dict[str, Any]],
        batch: bool,
    ) -> web.StreamResponse:
        """Faults on the way back."""
        kinds = {fault.kind for fault in faults}
        if Kind.wrong_id in kinds:
            for reply in replies:
                reply["id"] = 999_999_999
        if Kind.missing_item in kinds and batch:
            replies.pop()
        text = json.dumps(replies if batch else replies[0]).encode()
        if Kind.swallowed in kinds:
            _cut(request)
            return web.Response()
        if Kind.truncated in kinds:
            text = text[: len(text) // 2]
        if Kind.garbled in kinds:
            text = text.replace(b'"0x', b'"0\xff', 1)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = len(text)
        await response.prepare(request)
        if Kind.dropped in kinds:
            await response.write(text[: len(text) // 2])
            _cut(request)
            return response
        await response.write(text)
        await response.write_eof()
        return response

    # --- one JSON-RPC call -------------------------------------------------------------

    def _strikes(self, item: dict[str, Any], batch: bool) -> list[Fault]:
        """Faults that hit this request now."""
        key = json.dumps([item["method"], item.get("params")], sort_keys=True)
        self._asked[key] += 1
        found = []
        for number, fault in enumerate(self._faults):
            methods = fault.methods or _CONCERNS.get(fault.kind)
            if fault.times == 0 or (methods is not None and item["method"] not in methods):
                continue
            if fault.kind in (Kind.no_batches, Kind.missing_item) and not batch:
                continue
            if fault.naming not in key:
                continue
            if self._draw(number, key, self._asked[key]) >= fault.share:
                continue
            fault.struck += 1
            if fault.times is not None:
                fault.times -= 1
            found.append(fault)
        return found

    def _draw(self, number: int, key: str, asked: int) -> float:
        text = f"{self._seed}/{number}/{key}/{asked}".encode()
        return int.from_bytes(hashlib.sha256(text).digest()[:4], "big") / 2**32

    async def _answer(self, item: dict[str, Any], faults: list[Fault]) -> dict[str, Any]:
        asked = dict(item)
        for fault in faults:
            if fault.kind is Kind.kept:
                taken = "0x" + keccak(bytes.fromhex(item["params"][0][2:])).hex()
                return {"jsonrpc": "2.0", "id": item["id"], "result": taken}
            if fault.kind is Kind.head_behind:
                asked = await self._behind(asked, fault.value or 1)
        other = next((fault.value for fault in faults if fault.kind is Kind.elsewhere), None)
        reply = await self._forward(asked, other)
        reply["id"] = item["id"]
        for fault in faults:
            if fault.kind in _RESULTS:
                _falsify(reply, fault)
        return reply

    async def _behind(self, item: dict[str, Any], blocks: int) -> dict[str, Any]:
        """Ask for an older block instead of the latest."""
        if item["method"] != "eth_getBlockByNumber" or item["params"][0] != "latest":
            return item
        head = await self._forward({"id": 0, "method": "eth_blockNumber", "params": []})
        height = max(0, int(head["result"], 16) - blocks)
        return {**item, "params": [hex(height), *item["params"][1:]]}

    async def _forward(self, item: dict[str, Any], other: str | None = None) -> dict[str, Any]:
        upstream = other or self._upstream
        if upstream is None:
            result = self._canned[item["method"]]
            if callable(result):
                result = result(*item.get("params", ()))
            return {"jsonrpc": "2.0", "id": item["id"], "result": result}
        assert self._session is not None
        body = {"jsonrpc": "2.0", **item}
        async with self._session.post(upstream, json=body) as response:
            reply: dict[str, Any] = await response.json(content_type=None)
            return reply


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _shift(text: str, by: int) -> str:
    return hex(int(text, 16) + by)


def _cut_data(result: Any, topic: str) -> Any:
    if isinstance(result, dict):
        return {**result, "logs": _cut_data(result["logs"], topic)}
    return [{**log, "data": "0x"} if log["topics"][:1] == [topic] else log for log in result or []]


def _falsify(reply: dict[str, Any], fault: Fault) -> None:
    if fault.kind is Kind.answers:
        reply.pop("error", None)
    result = reply.get("result")
    changes: dict[Kind, Callable[[], Any]] = {
        Kind.empty_logs: lambda: [] if isinstance(result, list) else result,
        Kind.null_block: lambda: None,
        Kind.wrong_height: lambda: (
            result and {**result, "number": _shift(result["number"], fault.value or 1)}
        ),
        Kind.milliseconds: lambda: (
            result and {**result, "timestamp": hex(1000 * int(result["timestamp"], 16))}
        ),
        Kind.wrong_chain: lambda: hex(fault.value or 1),
        Kind.foreign_log: lambda: [
            {
                **log,
                "blockNumber": _shift(log["blockNumber"], 1_000_000),
                "blockHash": "0x" + "66" * 32,
            }
            for log in result or []
        ],
        Kind.outside_log: lambda: [
            {**log, "blockNumber": _shift(log["blockNumber"], -1)} for log in result or []
        ],
        Kind.null_receipt: lambda: None,
        Kind.answers: lambda: fault.value,
        Kind.removed_log: lambda: [{**log, "removed": True} for log in result or []],
        Kind.cut_data: lambda: _cut_data(result, fault.value),
        Kind.other_hash: lambda: (
            {**result, "hash": "0x" + "66" * 32} if isinstance(result, dict) else "0x" + "66" * 32
        ),
    }
    if fault.kind is Kind.error:
        code, message, *data = fault.value
        reply.pop("result", None)
        reply["error"] = {"code": code, "message": message}
        if data:
            reply["error"]["data"] = data[0]
    elif "error" not in reply:
        reply["result"] = changes[fault.kind]()
