"""The audit log: what an operator decided, in the commit that carries it out."""

from __future__ import annotations

from typing import Any

from ledger.schema import audit_log
from ledger.store import Tx


async def record_decision(
    tx: Tx, actor: str, action: str, object_id: str | None, detail: dict[str, Any]
) -> None:
    """A line of the audit log.

    :param actor: by which door: ``admin``, ``approver``, ``command line``; never a key.
    """
    row = {"at": tx.now, "actor": actor, "action": action, "object_id": object_id, "detail": detail}
    await tx.conn.execute(audit_log.insert().values(row))
