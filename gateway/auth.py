"""Who is asking: the admin, a merchant, or nobody we know."""

from __future__ import annotations

import hmac
import re
from typing import Final

from aiohttp import web

from gateway.deps import GatewayDeps
from gateway.limits import TokenBuckets
from gateway.operation import Who
from gateway.problems import Code, ProblemError
from ledger.api_keys import hash_key, merchant_of_key
from ledger.store import Tx

BUCKETS: web.AppKey[TokenBuckets] = web.AppKey("buckets", TokenBuckets)
ADMIN_SCOPE: Final = "admin"
_REVOKED: Final = "the API key is unknown or revoked"
_BEARER: Final = re.compile(r"[Bb]earer +(\S{1,512}) *")


def bearer(request: web.Request) -> str:
    """The key of a request.

    :raises ProblemError: there is none.
    """
    match = _BEARER.fullmatch(request.headers.get("Authorization", ""))
    if match is None:
        raise _unauthorized('no API key: send "Authorization: Bearer KEY"')
    return match.group(1)


async def admit(request: web.Request, deps: GatewayDeps, who: Who) -> str:
    """Let a request in; returns the merchant's id, or ``""``.

    The rate is counted before the key is looked up, so that a flood under one
    key costs no database.

    :raises ProblemError: 401, or 429 with the time to wait.
    """
    if who == "anyone":
        return ""
    key = bearer(request)
    key_hash = hash_key(key)
    wait = request.app[BUCKETS].take(key_hash, deps.clock.monotonic())
    if wait:
        raise ProblemError(
            Code.RATE_LIMITED, "this key has asked too often: slow down", retry_after=wait
        )
    if who != "merchant":
        if not any(_is_key(known, key_hash) for known in _keys(deps, who)):
            name = "admin" if who == "admin" else who + "'s"
            raise _unauthorized(f"this is not the {name} key")
        return ""
    async with deps.ledger.reading() as tx:
        merchant_id = await merchant_of_key(tx, key)
    if merchant_id is None:
        raise _unauthorized(_REVOKED)
    return merchant_id


async def still_admitted(request: web.Request, tx: Tx, who: Who) -> None:
    """In the transaction of what a merchant's request does: a key that is revoked does nothing.

    The request was let in before its body was read, which takes ten seconds if the sender likes.

    :raises ProblemError: 401.
    """
    if who == "merchant" and await merchant_of_key(tx, bearer(request), held=True) is None:
        raise _unauthorized(_REVOKED)


def _keys(deps: GatewayDeps, who: Who) -> list[str | None]:
    admin, approver = deps.admin_key, deps.approver_key
    return {"admin": [admin], "approver": [approver], "operator": [admin, approver]}[who]


def _is_key(known: str | None, key_hash: bytes) -> bool:
    # Digests of equal length: the comparison tells nothing about the key.
    return bool(known) and hmac.compare_digest(hash_key(known or ""), key_hash)


def _unauthorized(detail: str) -> ProblemError:
    return ProblemError(
        Code.UNAUTHORIZED, detail, headers={"WWW-Authenticate": 'Bearer realm="bursar"'}
    )
