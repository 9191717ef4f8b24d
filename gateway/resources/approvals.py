"""What waits for a second person, and that person's decision."""

from __future__ import annotations

from typing import Final

from gateway import answers
from gateway.operation import Call, JsonObject, Operation
from gateway.requests import ApprovalPage, Empty
from ledger.approvals import decide, pending_approvals
from ledger.store import Tx


async def list_pending(call: Call) -> JsonObject:
    """What waits, oldest first."""
    page = call.asked(ApprovalPage).asked()
    async with call.deps.ledger.reading() as tx:
        data, cursor = await pending_approvals(tx, page)
    return {"data": data, "next_cursor": cursor}


async def approve(call: Call, tx: Tx) -> JsonObject:
    """Let it go on."""
    return await decide(tx, call.path_id("po", "pd"), approve=True, actor="approver")


async def reject(call: Call, tx: Tx) -> JsonObject:
    """Revoke the address, or cancel the payout: its money is available again."""
    return await decide(tx, call.path_id("po", "pd"), approve=False, actor="approver")


_PATH: Final = "/v1/admin/approvals"
OPERATIONS: Final = (
    Operation(
        "listApprovals",
        "GET",
        _PATH,
        "operator",
        "What waits for the approver",
        "approvals",
        answers.Approval,
        read=list_pending,
        many=True,
        query=ApprovalPage,
    ),
    Operation(
        "approve",
        "POST",
        _PATH + "/{id}/approve",
        "approver",
        "Let a payout address, a refund or a payout go on",
        "approvals",
        answers.Decided,
        write=approve,
        body=Empty,
    ),
    Operation(
        "reject",
        "POST",
        _PATH + "/{id}/reject",
        "approver",
        "Revoke the address, or cancel the payout",
        "approvals",
        answers.Decided,
        write=reject,
        body=Empty,
    ),
)
