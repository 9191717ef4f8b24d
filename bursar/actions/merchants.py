"""``bursar merchants``."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from bursar.compose import House, open_house
from bursar.output import remark, say, say_json, table
from config.errors import InvalidInputError
from config.settings import Secrets, Settings
from ledger.api_keys import create_api_key
from ledger.merchants import configured_terms, create_merchant, get_merchant
from ledger.migrate import require_current
from ledger.schema import merchants

NAME_CHARS = 200


async def create(settings: Settings, secrets: Secrets, *, name: str, as_json: bool) -> None:
    """A merchant with its first API key, which is printed here and never again.

    :raises InvalidInputError: the name is empty, too long, or holds control characters.
    """
    check_name(name)
    async with open_house(settings, secrets, chains=[]) as house:
        await require_current(house.ledger.engine)
        async with house.ledger.transaction() as tx:
            merchant_id = await create_merchant(tx, name)
            key = await create_api_key(tx, merchant_id)
    if as_json:
        say_json({"id": merchant_id, "name": name, "api_key": key.key})
        return
    say(f"merchant  {merchant_id}")
    say(f"API key   {key.key}")
    remark("The API key is shown this once; only its hash is kept.")


def check_name(name: str) -> None:
    """:raises InvalidInputError: empty, too long, or with control characters."""
    if not name.strip() or len(name) > NAME_CHARS or not name.isprintable():
        raise InvalidInputError(f"must be 1 to {NAME_CHARS} printable characters", where="--name")


async def show_all(settings: Settings, secrets: Secrets, *, as_json: bool) -> None:
    """All merchants, oldest first."""
    async with open_house(settings, secrets, chains=[]) as house:
        await require_current(house.ledger.engine)
        rows = await _rows(house, settings)
    if as_json:
        say_json(rows)
        return
    cells = [(row["id"], row["name"], row["payout"]["schedule"], row["created_at"]) for row in rows]
    for line in table(("id", "name", "schedule", "created"), cells):
        say(line)


async def _rows(house: House, settings: Settings) -> list[dict[str, Any]]:
    terms = configured_terms(settings.settlement)
    async with house.ledger.reading() as tx:
        query = sa.select(merchants.c.id).order_by(merchants.c.id)
        ids = list((await tx.conn.execute(query)).scalars())
        return [await get_merchant(tx, merchant_id, terms) for merchant_id in ids]
