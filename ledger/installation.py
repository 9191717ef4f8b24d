"""Which installation a database is: what its journal is bound to, copies and backups included."""

from __future__ import annotations

import sqlalchemy as sa

from ledger.schema import address_counter, installation
from ledger.sql import insert_ignore
from ledger.store import Tx


async def installation_id(tx: Tx) -> str:
    """The database's own id; drawn at its first start and in every backup since."""
    await insert_ignore(
        tx,
        installation,
        [{"id": 1, "name": tx.entropy.token_bytes(16).hex(), "created_at": tx.now}],
    )
    return str(await tx.conn.scalar(sa.select(installation.c.name).where(installation.c.id == 1)))


async def raise_index(tx: Tx, next_index: int) -> bool:
    """Never hand out a derivation index below ``next_index`` again; whether that changed anything.

    A restored database is at an older index than addresses that people were given.
    """
    await insert_ignore(tx, address_counter, [{"id": 1, "next_index": 0}])
    result = await tx.conn.execute(
        address_counter.update()
        .where(address_counter.c.id == 1, address_counter.c.next_index < next_index)
        .values(next_index=next_index)
    )
    return result.rowcount == 1
