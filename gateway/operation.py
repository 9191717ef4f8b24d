"""An operation of the API as data: router and OpenAPI document are both made from these."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web

from config.errors import NotFoundError
from config.ids import is_id
from gateway.answers import Answer
from gateway.deps import GatewayDeps
from gateway.fields import Body
from gateway.requests import BodyT, NoQuery
from ledger.store import Tx

Who = Literal["anyone", "merchant", "admin", "approver", "operator"]
"""``operator``: the admin or the approver."""
JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was let in and understood.

    :param merchant_id: whose key it came with; empty for admins and strangers.
    :param document: the body as it came, for telling whether two requests are the same.
    """

    deps: GatewayDeps
    request: web.Request
    merchant_id: str
    query: Body
    body: Body | None = None
    document: Any = None

    def given(self, model: type[BodyT]) -> BodyT:
        """The body, typed."""
        assert isinstance(self.body, model)
        return self.body

    def asked(self, model: type[BodyT]) -> BodyT:
        """The query, typed."""
        assert isinstance(self.query, model)
        return self.query

    def path_id(self, *prefixes: str) -> str:
        """The id in the path, of one of these kinds.

        :raises NotFoundError: it has not even the shape of one, so there is no such object.
        """
        text = self.request.match_info["id"]
        if not any(is_id(text, prefix) for prefix in prefixes):
            raise NotFoundError(f"no object {text[:60].encode('ascii', 'replace').decode()!r}")
        return text


Reading = Callable[[Call], Awaitable[JsonObject]]
Writing = Callable[[Call, Tx], Awaitable[JsonObject]]


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    :param read: answers without changing anything; opens its own reading transactions.
    :param write: acts inside the transaction it is given; the answer is stored beside the
        effect under the request's idempotency key.
    :param secrets: fields that a replay leaves out.
    """

    name: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    who: Who
    summary: str
    tag: str
    answer: type[Answer]
    read: Reading | None = None
    write: Writing | None = None
    many: bool = False
    status: int = 200
    query: type[Body] = NoQuery
    body: type[Body] | None = None
    secrets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert (self.read is None) != (self.write is None), self.name
