"""From an HTTP request to an operation: admit, read, validate, run, answer."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import ValidationError

from gateway.auth import admit
from gateway.body import MAX_BYTES, parse_json
from gateway.deps import DEPS
from gateway.fields import Body
from gateway.operation import Call, Operation
from gateway.problems import Code, ProblemError, from_validation, invalid
from gateway.writing import run_write

BODY_SECONDS: Final = 10.0
"""A body that takes longer is a slow-loris (f28)."""
JSON: Final = "application/json"


def handler_of(operation: Operation) -> Handler:
    """The aiohttp handler that runs an operation."""

    async def handle(request: web.Request) -> web.StreamResponse:
        deps = request.app[DEPS]
        merchant_id = await admit(request, deps, operation.who)
        document = None if operation.body is None else await _document(request)
        call = Call(
            deps=deps,
            request=request,
            merchant_id=merchant_id,
            query=_query(request, operation.query),
            body=None if operation.body is None else _validated(document, operation.body),
            document=document,
        )
        if operation.read is not None:
            answer = await operation.read(call)
            return _json(operation.status, msgspec.json.encode(answer))
        written = await run_write(operation, call)
        return _json(written.status, written.body)

    return handle


def _json(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, content_type=JSON)


def _query(request: web.Request, model: type[Body]) -> Body:
    for name in request.query:
        if len(request.query.getall(name)) > 1:
            raise invalid(name[:60], "is given more than once")
    try:
        return model.model_validate(dict(request.query))
    except ValidationError as error:
        raise from_validation(error, "query") from None


async def _document(request: web.Request) -> Any:
    raw = await read_body(request)
    return parse_json(raw) if raw.strip() else {}


def _validated(document: Any, model: type[Body]) -> Body:
    if not isinstance(document, dict):
        raise invalid("body", "must be a JSON object")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise from_validation(error) from None


async def read_body(request: web.Request) -> bytes:
    """All bytes of a body.

    :raises ProblemError: larger than a mebibyte, too slow, or broken off.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ProblemError(Code.BAD_REQUEST, "compressed bodies are not taken: send it as it is")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError:
        raise ProblemError(Code.REQUEST_TIMEOUT, f"the body took over {BODY_SECONDS} s") from None
    except web.HTTPRequestEntityTooLarge:
        raise ProblemError(
            Code.PAYLOAD_TOO_LARGE, f"the body is larger than {MAX_BYTES} bytes"
        ) from None
    except web.RequestPayloadError:
        raise ProblemError(Code.BAD_REQUEST, "the body's transfer encoding is broken") from None
