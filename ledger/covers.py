"""What covers an outflow beyond what the treasury had free: taken back as soon as it can be.

The treasury is never booked below what is promised out of it. An outflow that took tokens which a
sealed batch draws on is therefore covered out of *suspense in*, by name, and the books say more
than the chain holds. Once the treasury has as much free again, because the owner has made it good
or the batch is void, the cover would be money that never was.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from ledger.books import locked_totals, post
from ledger.postings import AccountKind, AccountRef, Transfer, available
from ledger.schema import accounts, transfers
from ledger.store import Tx

COVER: Final = ":uncovered"
"""How the key of such a posting ends."""
_BACK: Final = "cover-back:"


async def cover_of(tx: Tx, chain: str, token: str) -> int:
    """Base units that still cover outflows."""
    covered, returned, _ = await _standing(tx, chain, token)
    return covered - returned


async def take_cover_back(tx: Tx, chain: str, token: str, most: int) -> int:
    """Base units taken back: at most what the books say too much, and what is free now.

    :param most: base units by which ledger exceeds chain.
    """
    treasury = AccountRef(AccountKind.TREASURY, chain, token)
    unknown = AccountRef(AccountKind.SUSPENSE_IN, chain, token)
    totals = await locked_totals(tx, [treasury, unknown])
    covered, returned, times = await _standing(tx, chain, token)
    free = min(available(ref.kind, totals[ref]) for ref in (treasury, unknown))
    back = min(most, covered - returned, free)
    if back <= 0:
        return 0
    key = f"{_BACK}{chain}/{token}/{times}"
    words = "cover of an outflow taken back"
    await post(tx, [Transfer(key, unknown, treasury, back, words, key)])
    return back


async def _standing(tx: Tx, chain: str, token: str) -> tuple[int, int, int]:
    """Base units that covered outflows, those taken back, and how often."""
    account = sa.select(accounts.c.id).where(
        accounts.c.kind == AccountKind.SUSPENSE_IN.value,
        accounts.c.chain == chain,
        accounts.c.token == token,
    )
    there = sa.select(transfers.c.amount).where(
        transfers.c.credit_account_id.in_(account),
        transfers.c.key.endswith(COVER, autoescape=True),
    )
    back = sa.select(transfers.c.amount).where(
        transfers.c.debit_account_id.in_(account),
        transfers.c.key.startswith(_BACK, autoescape=True),
    )
    covered = [int(amount) for amount in (await tx.conn.execute(there)).scalars()]
    returned = [int(amount) for amount in (await tx.conn.execute(back)).scalars()]
    return sum(covered), sum(returned), len(returned)
