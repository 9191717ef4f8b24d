"""Writing operations: one transaction for the effect, its events and its answer.

With an ``Idempotency-Key`` the key is reserved first, in a commit of its own;
the answer is kept in the commit of the effect. So a crash anywhere leaves
either nothing or all of it, and a repeated request gets the first answer.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gateway.auth import ADMIN_SCOPE, still_admitted
from gateway.operation import Call, JsonObject, Operation
from gateway.problems import Code, ProblemError, invalid
from ledger.idempotency import InFlight, Mismatch, Replay, Reservation, finish, release, reserve
from ledger.store import Tx

WAIT_SECONDS: Final = 3.0
"""How long a second request waits for the first one's answer before it is told to come again."""
_STEP_SECONDS: Final = 0.05
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Written:
    """Status and body to answer with."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class _Key:
    scope: str
    key: str
    request_hash: bytes


async def run_write(operation: Operation, call: Call) -> Written:
    """Run a writing operation, once per idempotency key.

    :raises ProblemError: the key is malformed, in flight, or used for another request.
    """
    key = _key_of(operation, call)
    if key is None:
        async with call.deps.ledger.transaction() as tx:
            answer = await _effect(operation, call, tx)
        return Written(operation.status, msgspec.json.encode(answer))
    reservation = await _reserve(call, key)
    if isinstance(reservation, Replay):
        return Written(reservation.status_code, reservation.response.encode())
    if isinstance(reservation, Mismatch):
        raise ProblemError(
            Code.IDEMPOTENCY_KEY_REUSED,
            "this Idempotency-Key came with another request before: use a fresh one",
        )
    if isinstance(reservation, InFlight):
        raise ProblemError(
            Code.REQUEST_IN_FLIGHT,
            "the first request with this Idempotency-Key has no answer yet: ask again",
            retry_after=1,
        )
    return await _run_reserved(operation, call, key, reservation.attempt)


def _key_of(operation: Operation, call: Call) -> _Key | None:
    text = call.request.headers.get("Idempotency-Key")
    if text is None or operation.method != "POST":
        return None
    if not _KEY.fullmatch(text):
        raise invalid("Idempotency-Key", "must be 1 to 255 visible ASCII characters")
    digest = hashlib.sha256(f"{operation.method} {call.request.path}\n".encode())
    # The document, not its bytes: spaces and the order of names don't make another request.
    digest.update(msgspec.json.encode(call.document, order="deterministic"))
    scope = call.merchant_id or (operation.who if operation.who == "approver" else ADMIN_SCOPE)
    return _Key(scope, text, digest.digest())


async def _reserve(call: Call, key: _Key) -> Reservation:
    clock, ledger = call.deps.clock, call.deps.ledger
    deadline = clock.monotonic() + WAIT_SECONDS
    while True:
        async with ledger.transaction() as tx:
            reservation = await reserve(tx, key.scope, key.key, key.request_hash)
        if not isinstance(reservation, InFlight) or clock.monotonic() >= deadline:
            return reservation
        await clock.sleep(_STEP_SECONDS)


async def _run_reserved(operation: Operation, call: Call, key: _Key, attempt: int) -> Written:
    ledger = call.deps.ledger
    done = False
    try:
        async with ledger.transaction() as tx:
            answer = await _effect(operation, call, tx)
            kept = _without_secrets(answer, operation.secrets)
            await finish(
                tx,
                key.scope,
                key.key,
                attempt,
                status_code=operation.status,
                response=msgspec.json.encode(kept).decode(),
            )
        done = True
        return Written(operation.status, msgspec.json.encode(answer))
    finally:
        if not done:
            # Refused, or rolled back. Should the commit have happened after all, the answer
            # is there and this changes nothing; should this be lost, the key goes stale.
            async with ledger.transaction() as tx:
                await release(tx, key.scope, key.key, attempt)


async def _effect(operation: Operation, call: Call, tx: Tx) -> JsonObject:
    await still_admitted(call.request, tx, operation.who)
    assert operation.write is not None
    return await operation.write(call, tx)


def _without_secrets(answer: dict[str, Any], secrets: tuple[str, ...]) -> dict[str, Any]:
    return {name: None if name in secrets else value for name, value in answer.items()}
