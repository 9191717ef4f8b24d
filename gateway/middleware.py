"""What every request passes: an id, headers, a bound, problems for errors, a measure."""

from __future__ import annotations

import re
from typing import Final

import sqlalchemy as sa
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from config.errors import BursarError
from config.log import get_logger
from gateway.deps import DEPS, GatewayDeps
from gateway.limits import Gauge
from gateway.problems import REQUEST_ID, Code, ProblemError, from_error, problem_response

log = get_logger(__name__)

MAX_AT_ONCE: Final = 256
"""Requests under way; more would only wait for the database, and time out there."""
MAX_WAITING: Final = 2_000
"""Long polls, and as many event streams: they mostly sleep. Streams are open to everybody, and
must not take the places of merchants."""
RUNNING: web.AppKey[Gauge] = web.AppKey("running", Gauge)
WAITING: web.AppKey[Gauge] = web.AppKey("waiting", Gauge)
STREAMING: web.AppKey[Gauge] = web.AppKey("streaming", Gauge)
UNMATCHED: Final = "unmatched"
_ALWAYS: Final = frozenset({"/livez", "/readyz", "/metrics"})
_LONG_POLL: Final = "/v1/invoices/{id}"
_HEADERS: Final = {
    "Server": "bursar",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


def route_of(request: web.BaseRequest) -> str:
    """Pattern of the matched route: a label from a small closed set."""
    if not isinstance(request, web.Request):
        return UNMATCHED
    resource = request.match_info.route.resource
    return UNMATCHED if resource is None else resource.canonical


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Signal handler: security headers and the request's id, on streams too."""
    for name, value in _HEADERS.items():
        if name == "Server" or name not in response.headers:
            response.headers[name] = value
    if REQUEST_ID in request:
        response.headers["X-Request-Id"] = request[REQUEST_ID]


def edge(deps: GatewayDeps) -> Middleware:
    """Outermost: gives the request its id and measures it."""

    @web.middleware
    async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[REQUEST_ID] = f"req_{deps.entropy.token_bytes(10).hex()}"
        started = deps.clock.monotonic()
        code = 499  # the client went away
        try:
            response = await handler(request)
            code = response.status
        finally:
            seconds = deps.clock.monotonic() - started
            deps.observer.on_request(route_of(request), code, seconds)
        return response

    return measure


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Expected errors become problem documents."""
    try:
        return await handler(request)
    except ProblemError as problem:
        return problem_response(request, problem)
    except (BursarError, sa.exc.SQLAlchemyError) as error:
        translated = from_error(error)
        if translated.status >= 500:
            log.warning("request_failed", request_id=request[REQUEST_ID], error=str(error)[:300])
        return problem_response(request, translated)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return problem_response(request, _of_http(error))


def _of_http(error: web.HTTPException) -> ProblemError:
    match error:
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return ProblemError(
                Code.METHOD_NOT_ALLOWED, f"allowed: {allowed}", headers={"Allow": allowed}
            )
        case web.HTTPNotFound():
            return ProblemError(Code.NOT_FOUND, "there is nothing at this path")
        case web.HTTPRequestEntityTooLarge():
            return ProblemError(Code.PAYLOAD_TOO_LARGE, "the body is too large")
        case _:
            reason = re.sub(r"[^\x20-\x7e]", "?", error.reason or "")[:100]
            return ProblemError(Code.BAD_REQUEST, reason or "the request cannot be understood")


@web.middleware
async def shed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse at once what could only be answered late; health and metrics always pass."""
    route = route_of(request)
    if route in _ALWAYS:
        return await handler(request)
    # By what the route does, not by what was asked: a parameter must open no other door.
    if route == "/i/{id}/events":
        gauge = request.app[STREAMING]
    elif route == _LONG_POLL and request.query.get("wait", "0") != "0":
        gauge = request.app[WAITING]
    else:
        gauge = request.app[RUNNING]
    if not gauge.enter():
        raise ProblemError(
            Code.OVERLOADED, "too many requests are under way: try again", retry_after=1
        )
    try:
        return await handler(request)
    finally:
        gauge.leave()


def middlewares(deps: GatewayDeps) -> list[Middleware]:
    """From the outside in."""
    guard = [deps.crash_guard] if deps.crash_guard is not None else []
    return [edge(deps), *guard, problems, shed]


def prepare(app: web.Application, deps: GatewayDeps) -> None:
    """What the middlewares keep in the application."""
    app[DEPS] = deps
    app[RUNNING] = Gauge(MAX_AT_ONCE)
    app[WAITING] = Gauge(MAX_WAITING)
    app[STREAMING] = Gauge(MAX_WAITING)
    app.on_response_prepare.append(add_headers)
