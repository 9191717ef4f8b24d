"""What operators do over HTTP: settle now, stop and go on, release what is held."""

from __future__ import annotations

from typing import Any, Final

from config.errors import InvalidInputError, NotFoundError
from config.ids import is_id
from gateway import answers
from gateway.operation import Call, JsonObject, Operation
from gateway.requests import (
    Empty,
    HoldPage,
    MerchantQuery,
    PauseRequest,
    ResumeRequest,
    RunRequest,
)
from ledger.listing import find_hold, list_holds
from ledger.merchants import merchant_exists
from ledger.store import Tx


async def run_payouts(call: Call, tx: Tx) -> JsonObject:
    """Enqueue a settlement."""
    merchant_id = call.given(RunRequest).merchant
    await _check_merchant(tx, merchant_id)
    return await call.deps.operations.request_run(tx, merchant_id)


async def preview(call: Call) -> JsonObject:
    """What a settlement would do now."""
    merchant_id = call.asked(MerchantQuery).merchant
    async with call.deps.ledger.reading() as tx:
        await _check_merchant(tx, merchant_id)
    return await call.deps.operations.preview(merchant_id)


async def _check_merchant(tx: Tx, merchant_id: str | None) -> None:
    if merchant_id is None:
        return
    if not is_id(merchant_id, "mer") or not await merchant_exists(tx, merchant_id):
        raise InvalidInputError("there is no such merchant", where="merchant")


async def pause(call: Call, tx: Tx) -> JsonObject:
    """Stop payouts, sweeps or both, on one chain or all."""
    given = call.given(PauseRequest)
    await call.deps.operations.pause(
        tx, given.only or "all", _chain(call, given.chain), given.reason
    )
    return await _paused(call, tx)


async def resume(call: Call, tx: Tx) -> JsonObject:
    """Let go on what was paused."""
    given = call.given(ResumeRequest)
    await call.deps.operations.resume(tx, given.only or "all", _chain(call, given.chain))
    return await _paused(call, tx)


def _chain(call: Call, name: str | None) -> str | None:
    if name is None:
        return None
    try:
        return call.deps.catalogue.chain(name).name
    except NotFoundError as error:
        raise InvalidInputError(error.what, where="chain", remedy=error.remedy) from None


async def _paused(call: Call, tx: Tx) -> dict[str, Any]:
    return {"paused": await call.deps.operations.pauses(tx)}


async def get_paused(call: Call) -> JsonObject:
    """What is paused now."""
    async with call.deps.ledger.reading() as tx:
        return await _paused(call, tx)


async def holds(call: Call) -> JsonObject:
    """What waits for a decision, and why."""
    page = call.asked(HoldPage).asked()
    async with call.deps.ledger.reading() as tx:
        data, cursor = await list_holds(tx, page)
    return {"data": data, "next_cursor": cursor}


async def release(call: Call, tx: Tx) -> JsonObject:
    """Decide that what was held may go on."""
    hold_id = call.path_id("hold")
    await call.deps.operations.release_hold(tx, hold_id)
    view = await find_hold(tx, hold_id)
    assert view is not None
    return view


OPERATIONS: Final = (
    Operation(
        "runPayouts",
        "POST",
        "/v1/admin/payouts/run",
        "admin",
        "Settle now",
        "operations",
        answers.Run,
        write=run_payouts,
        body=RunRequest,
    ),
    Operation(
        "previewPayouts",
        "GET",
        "/v1/admin/payouts/preview",
        "admin",
        "What a settlement would do now",
        "operations",
        answers.Preview,
        read=preview,
        query=MerchantQuery,
    ),
    Operation(
        "pause",
        "POST",
        "/v1/admin/pause",
        "admin",
        "Stop payouts, sweeps or both",
        "operations",
        answers.Paused,
        write=pause,
        body=PauseRequest,
    ),
    Operation(
        "resume",
        "POST",
        "/v1/admin/resume",
        "admin",
        "Go on after a pause",
        "operations",
        answers.Paused,
        write=resume,
        body=ResumeRequest,
    ),
    Operation(
        "getPaused",
        "GET",
        "/v1/admin/paused",
        "admin",
        "What is paused",
        "operations",
        answers.Paused,
        read=get_paused,
    ),
    Operation(
        "listHolds",
        "GET",
        "/v1/admin/holds",
        "admin",
        "What waits for a decision",
        "operations",
        answers.Hold,
        read=holds,
        many=True,
        query=HoldPage,
    ),
    Operation(
        "releaseHold",
        "POST",
        "/v1/admin/holds/{id}/release",
        "admin",
        "Let go on what was held",
        "operations",
        answers.Hold,
        write=release,
        body=Empty,
    ),
)
