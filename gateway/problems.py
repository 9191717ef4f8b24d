"""Errors as problem documents (RFC 9457), each with a code that never changes its meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from aiohttp import web
from pydantic import ValidationError

from config.errors import (
    BursarError,
    ConflictError,
    DatabaseError,
    InvalidInputError,
    NotFoundError,
)

REQUEST_ID: web.RequestKey[str] = web.RequestKey("request_id", str)
PROBLEM_TYPE: Final = "application/problem+json"
RETRY_SECONDS: Final = 1


class Code(StrEnum):
    """The closed set of codes; each is explained in ``docs/api.md``."""

    MALFORMED_JSON = "malformed_json"
    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    REQUEST_TIMEOUT = "request_timeout"
    CONFLICT = "conflict"
    REQUEST_IN_FLIGHT = "request_in_flight"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    INVALID_REQUEST = "invalid_request"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    RATE_LIMITED = "rate_limited"
    INTERNAL_ERROR = "internal_error"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"


_STATUS: Final = {
    Code.MALFORMED_JSON: (400, "The body is not JSON"),
    Code.BAD_REQUEST: (400, "The request is not HTTP as it should be"),
    Code.UNAUTHORIZED: (401, "A valid API key is needed"),
    Code.NOT_FOUND: (404, "There is no such thing"),
    Code.METHOD_NOT_ALLOWED: (405, "This method is not allowed here"),
    Code.REQUEST_TIMEOUT: (408, "The request did not arrive in time"),
    Code.CONFLICT: (409, "The present state does not allow it"),
    Code.REQUEST_IN_FLIGHT: (409, "The first request with this key is still at work"),
    Code.PAYLOAD_TOO_LARGE: (413, "The body is too large"),
    Code.INVALID_REQUEST: (422, "The request is not valid"),
    Code.IDEMPOTENCY_KEY_REUSED: (422, "The idempotency key belongs to another request"),
    Code.RATE_LIMITED: (429, "Too many requests"),
    Code.INTERNAL_ERROR: (500, "Something broke on our side"),
    Code.OVERLOADED: (503, "Too much is going on at once"),
    Code.UNAVAILABLE: (503, "Not available at the moment"),
}


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field; ``field`` is a dotted path, or a header's name."""

    field: str
    message: str


class ProblemError(Exception):
    """Ends a request with a problem document.

    :param detail: one sentence for this very case.
    :param retry_after: seconds, for the header of that name.
    """

    def __init__(
        self,
        code: Code,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after = retry_after
        self.headers = dict(headers or {})

    @property
    def status(self) -> int:
        """HTTP status of the code."""
        return _STATUS[self.code][0]


def problem_body(problem: ProblemError, request_id: str) -> dict[str, Any]:
    """The document; pure."""
    status, title = _STATUS[problem.code]
    return {
        "type": f"urn:bursar:problem:{problem.code}",
        "title": title,
        "status": status,
        "detail": problem.detail,
        "code": problem.code.value,
        "request_id": request_id,
        "errors": [{"field": error.field, "message": error.message} for error in problem.errors],
    }


def problem_response(request: web.BaseRequest, problem: ProblemError) -> web.Response:
    """The answer to a request that ended so."""
    headers = dict(problem.headers)
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    return web.Response(
        body=msgspec.json.encode(problem_body(problem, _id_of(request))),
        status=problem.status,
        headers=headers,
        content_type=PROBLEM_TYPE,
    )


def _id_of(request: web.BaseRequest) -> str:
    # What the parser refused never came as far as the middleware that gives out ids.
    return request.get(REQUEST_ID, "") if isinstance(request, web.Request) else ""


def internal_problem() -> ProblemError:
    """For the hook that catches what nobody foresaw; says nothing about it."""
    return ProblemError(
        Code.INTERNAL_ERROR,
        "It was logged under this request_id. Whether it took effect is not known: "
        "send it again with the same Idempotency-Key.",
    )


def invalid(field: str, message: str) -> ProblemError:
    """422 about one field."""
    return ProblemError(
        Code.INVALID_REQUEST, f"{field}: {message}", errors=[FieldError(field, message)]
    )


def from_validation(error: ValidationError, prefix: str = "") -> ProblemError:
    """Every refused field of a body or a query."""
    errors = []
    for item in error.errors(include_url=False, include_context=False, include_input=False)[:50]:
        path = ".".join(str(part)[:100] for part in item["loc"]) or prefix or "body"
        message = item["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
        if item["type"] == "extra_forbidden":
            message = "is not a known field"
        errors.append(FieldError(path, message))
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return ProblemError(
        Code.INVALID_REQUEST, f"{first.field}: {first.message}{more}", errors=errors
    )


def from_error(error: BursarError | sa.exc.SQLAlchemyError) -> ProblemError:
    """Expected errors of the floors below, in HTTP's terms."""
    if isinstance(error, sa.exc.IntegrityError):
        return ProblemError(Code.CONFLICT, "something changed at the same moment: try again")
    if isinstance(error, sa.exc.SQLAlchemyError | DatabaseError):
        return ProblemError(
            Code.UNAVAILABLE,
            "the database does not answer: nothing was changed, or it is not known; "
            "send it again with the same Idempotency-Key",
            retry_after=RETRY_SECONDS,
        )
    text = error.what + (f" ({error.remedy})" if error.remedy else "")
    match error:
        case InvalidInputError():
            return invalid(error.where or "body", text)
        case NotFoundError():
            return ProblemError(Code.NOT_FOUND, text)
        case ConflictError():
            return ProblemError(Code.CONFLICT, text)
        case _:
            return ProblemError(Code.UNAVAILABLE, error.what, retry_after=RETRY_SECONDS)
