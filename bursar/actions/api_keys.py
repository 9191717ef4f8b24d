"""``bursar api-keys``: a new key for a merchant, and an end to old ones.

Each decision is one transaction with its line in the audit log. A running daemon looks every
key up, so that it knows from the commit on.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from bursar.actions.merchants import check_name
from bursar.actions.switches import ACTOR
from bursar.compose import open_house
from bursar.output import remark, say, say_json, table
from config.errors import NotFoundError
from config.settings import Secrets, Settings
from ledger.api_keys import issue_api_key, withdraw_api_key
from ledger.merchants import merchant_exists
from ledger.migrate import require_current
from ledger.schema import api_keys
from ledger.sql import as_row
from ledger.store import Tx
from ledger.views import view_api_key


async def create(
    settings: Settings,
    secrets: Secrets,
    *,
    merchant_id: str,
    name: str | None,
    revoke_others: bool,
    as_json: bool,
) -> None:
    """A further key, or the only one, which is printed here and never again.

    :raises InvalidInputError: the name is empty, too long, or holds control characters.
    :raises NotFoundError: no such merchant.
    """
    if name is not None:
        check_name(name)
    async with open_house(settings, secrets, chains=[]) as house:
        await require_current(house.ledger.engine)
        async with house.ledger.transaction() as tx:
            made, revoked = await issue_api_key(
                tx, ACTOR, merchant_id, name, revoke_others=revoke_others
            )
    if as_json:
        shown = {"id": made.id, "merchant": merchant_id, "api_key": made.key, "revoked": revoked}
        say_json(shown)
        return
    say(f"key       {made.id}")
    say(f"API key   {made.key}")
    for key_id in revoked:
        say(f"revoked   {key_id}")
    remark("The API key is shown this once; only its hash is kept.")


async def show_all(
    settings: Settings, secrets: Secrets, *, merchant_id: str, as_json: bool
) -> None:
    """A merchant's keys, oldest first.

    :raises NotFoundError: no such merchant.
    """
    async with open_house(settings, secrets, chains=[]) as house:
        await require_current(house.ledger.engine)
        async with house.ledger.reading() as tx:
            rows = await _keys_of(tx, merchant_id)
    if as_json:
        say_json(rows)
        return
    cells = [
        (row["id"], row["name"] or "", row["created_at"], row["revoked_at"] or "") for row in rows
    ]
    for line in table(("id", "name", "created", "revoked"), cells):
        say(line)


async def _keys_of(tx: Tx, merchant_id: str) -> list[dict[str, Any]]:
    if not await merchant_exists(tx, merchant_id):
        raise NotFoundError(f"no merchant {merchant_id}", remedy="list them: bursar merchants list")
    query = sa.select(api_keys).where(api_keys.c.merchant_id == merchant_id)
    rows = await tx.conn.execute(query.order_by(api_keys.c.id))
    return [view_api_key(as_row(row)) for row in rows]


async def revoke(settings: Settings, secrets: Secrets, *, key_id: str) -> None:
    """Refuse a key; again changes nothing.

    :raises NotFoundError: no such key.
    """
    async with open_house(settings, secrets, chains=[]) as house:
        await require_current(house.ledger.engine)
        async with house.ledger.transaction() as tx:
            gone = await withdraw_api_key(tx, ACTOR, key_id)
    say(f"revoked: {gone['id']} at {gone['revoked_at']}")
