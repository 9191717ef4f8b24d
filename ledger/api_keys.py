"""API keys: shown once, kept as hashes.

A key holds 256 random bits, so a plain SHA-256 is enough: there is nothing to
guess, and no slow hash is needed on every request.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from config.errors import NotFoundError
from ledger.decisions import record_decision
from ledger.merchants import merchant_exists
from ledger.schema import api_keys
from ledger.sql import as_row
from ledger.store import Tx
from ledger.views import view_api_key

KEY_PREFIX: Final = "bk_"
_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class NewKey:
    """``key`` is shown once and stored nowhere."""

    id: str
    key: str

    def __repr__(self) -> str:
        return f"NewKey(id={self.id!r})"


def hash_key(key: str) -> bytes:
    """What is stored of a key; any text may be given."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


async def create_api_key(tx: Tx, merchant_id: str, name: str | None = None) -> NewKey:
    """A fresh key of a merchant."""
    random = tx.entropy.token_bytes(_KEY_BYTES)
    key = KEY_PREFIX + base64.urlsafe_b64encode(random).rstrip(b"=").decode("ascii")
    made = NewKey(tx.new_id("key"), key)
    await tx.conn.execute(
        api_keys.insert().values(
            id=made.id,
            merchant_id=merchant_id,
            key_hash=hash_key(key),
            name=name,
            created_at=tx.now,
        )
    )
    return made


async def merchant_of_key(tx: Tx, key: str, *, held: bool = False) -> str | None:
    """Whose key it is; ``None``: nobody's, or revoked.

    :param held: nobody revokes it before this transaction ends.
    """
    query = sa.select(api_keys.c.merchant_id).where(
        api_keys.c.key_hash == hash_key(key), api_keys.c.revoked_at.is_(None)
    )
    found = await tx.conn.scalar(query.with_for_update(read=True) if held else query)
    return None if found is None else str(found)


async def get_api_key(tx: Tx, merchant_id: str, key_id: str) -> dict[str, Any]:
    """:raises NotFoundError: no such key of this merchant."""
    query = sa.select(api_keys).where(
        api_keys.c.id == key_id, api_keys.c.merchant_id == merchant_id
    )
    row = (await tx.conn.execute(query)).first()
    if row is None:
        raise NotFoundError(f"no API key {key_id}")
    return view_api_key(as_row(row))


async def revoke_api_key(tx: Tx, merchant_id: str, key_id: str) -> dict[str, Any]:
    """Refuse this key from the commit on; revoking again changes nothing.

    :raises NotFoundError: no such key of this merchant.
    """
    await _revoke(tx, (api_keys.c.id == key_id) & (api_keys.c.merchant_id == merchant_id))
    return await get_api_key(tx, merchant_id, key_id)


async def issue_api_key(
    tx: Tx, actor: str, merchant_id: str, name: str | None = None, *, revoke_others: bool = False
) -> tuple[NewKey, list[str]]:
    """An operator gives a merchant a key: it lost its own, or somebody else has it.

    :param actor: by which door, for the audit log.
    :param revoke_others: refuse every key that it had until now, from the same commit on.
    :return: the key, and the ids of those revoked.
    :raises NotFoundError: no such merchant.
    """
    if not await merchant_exists(tx, merchant_id):
        raise NotFoundError(f"no merchant {merchant_id}", remedy="list them: bursar merchants list")
    revoked: list[str] = []
    if revoke_others:
        revoked = await _revoke(tx, api_keys.c.merchant_id == merchant_id)
    made = await create_api_key(tx, merchant_id, name)
    detail = {"merchant": merchant_id, "name": name, "revoked": revoked}
    await record_decision(tx, actor, "issue_api_key", made.id, detail)
    return made, revoked


async def withdraw_api_key(tx: Tx, actor: str, key_id: str) -> dict[str, Any]:
    """An operator revokes a key, whoever's it is; again changes nothing.

    :raises NotFoundError: no such key.
    """
    query = sa.select(api_keys.c.merchant_id).where(api_keys.c.id == key_id)
    merchant_id = await tx.conn.scalar(query)
    if merchant_id is None:
        remedy = "list a merchant's: bursar api-keys list --merchant ID"
        raise NotFoundError(f"no API key {key_id}", remedy=remedy)
    if await _revoke(tx, api_keys.c.id == key_id):
        await record_decision(tx, actor, "revoke_api_key", key_id, {"merchant": merchant_id})
    return await get_api_key(tx, merchant_id, key_id)


async def _revoke(tx: Tx, which: sa.ColumnElement[bool]) -> list[str]:
    """Ids of those that were not revoked before."""
    changed = await tx.conn.execute(
        api_keys.update()
        .where(which, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=tx.now)
        .returning(api_keys.c.id)
    )
    return sorted(changed.scalars())
