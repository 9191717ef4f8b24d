"""Differences between an address's balance and the books: looked for, explained, or named.

::

    above   searching → closed   the Transfer was found and credited
                      → open     no provider shows one: a hold names it
    below   open                 a hold names it at once
    open    → closed             the balance and the books agree again

A released hold means that somebody knows of it: the finding stays open and is
counted, and a hold is opened anew only when the difference changes. Until then
the comparison of books and chain takes it for explained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from config.errors import ConflictError
from config.units import Address, Hash32, checksum
from ledger.audited import Audited
from ledger.holds import close_holds, hold, open_places
from ledger.schema import audit_findings as findings
from ledger.store import Tx

KINDS: Final = ("above", "below")


@dataclass(frozen=True, slots=True)
class Difference:
    """What an address holds of a token, and what it should, at a block; base units."""

    owner: Audited
    token_address: Address
    expected: int
    found: int
    block_number: int
    block_hash: Hash32

    @property
    def kind(self) -> str:
        return "above" if self.found > self.expected else "below"


@dataclass(frozen=True, slots=True)
class Finding:
    """A stored difference; ``next_block``: where the search goes on, downwards."""

    id: int
    chain: str
    address: Address
    token_address: Address
    invoice_id: str
    kind: str
    status: str
    expected: int
    found: int
    block_number: int
    first_block: int
    next_block: int
    asked: int
    resolution: str | None
    since: datetime


async def open_findings(
    tx: Tx, chain: str | None = None, addresses: Sequence[bytes] | None = None
) -> list[Finding]:
    """What is being looked for or could not be explained, oldest first."""
    query = sa.select(findings).where(findings.c.status != "closed").order_by(findings.c.id)
    if chain is not None:
        query = query.where(findings.c.chain == chain)
    if addresses is not None:
        query = query.where(findings.c.address.in_(addresses))
    return [_finding(row) for row in await tx.conn.execute(query)]


async def let_go(tx: Tx, chain: str) -> dict[tuple[Address, Address], int]:
    """Base units, by (address, token contract), by which addresses hold more than the books say,
    negative: less, where a person has released the hold that says so."""
    held = await open_places(tx, "chain", f"{chain}/")
    return {
        (f.address, f.token_address): f.found - f.expected
        for f in await open_findings(tx, chain)
        if f.status == "open" and _place(tx, f) not in held
    }


async def next_search(tx: Tx, chain: str) -> Finding | None:
    """The oldest difference above the books that is still being looked for."""
    query = (
        sa.select(findings)
        .where(findings.c.chain == chain, findings.c.status == "searching")
        .order_by(findings.c.id)
        .limit(1)
    )
    row = (await tx.conn.execute(query)).one_or_none()
    return None if row is None else _finding(row)


async def note_difference(tx: Tx, chain: str, difference: Difference) -> bool:
    """Keep a difference; whether it is new, or another one than before."""
    owner = difference.owner
    known = [
        f
        for f in await open_findings(tx, chain, [owner.address])
        if f.token_address == difference.token_address
    ]
    figures = {
        "kind": difference.kind,
        "expected": difference.expected,
        "found": difference.found,
    }
    if known and all(getattr(known[0], name) == value for name, value in figures.items()):
        return False
    searching = difference.kind == "above"
    values = {
        **figures,
        "status": "searching" if searching else "open",
        "block_number": difference.block_number,
        "block_hash": difference.block_hash,
        "first_block": min(owner.life_began, difference.block_number),
        "next_block": difference.block_number,
        "asked": 0,
    }
    if known and searching and known[0].status == "searching":
        # The search goes on where it is: what came since is in blocks that the scan has read.
        values = {**figures}
    if known:
        where = findings.c.id == known[0].id
        await tx.conn.execute(findings.update().where(where).values(values))
        finding_id = known[0].id
    else:
        made = await tx.conn.scalar(
            findings.insert()
            .values(
                chain=chain,
                address=owner.address,
                token_address=difference.token_address,
                invoice_id=owner.invoice_id,
                merchant_id=owner.merchant_id,
                since=tx.now,
                **values,
            )
            .returning(findings.c.id)
        )
        assert made is not None
        finding_id = int(made)
    if not searching:
        await _name(tx, await _get(tx, finding_id), owner.merchant_id)
    return True


async def move_search(
    tx: Tx, finding: Finding, *, next_block: int, asked: int, exhausted: bool
) -> None:
    """Everything from ``next_block`` up has been looked through, or all of it by everybody.

    :raises ConflictError: another process has moved it.
    """
    result = await tx.conn.execute(
        findings.update()
        .where(
            findings.c.id == finding.id,
            findings.c.status == "searching",
            findings.c.next_block == finding.next_block,
            findings.c.asked == finding.asked,
        )
        .values(next_block=next_block, asked=asked, status="open" if exhausted else "searching")
    )
    if result.rowcount != 1:
        raise ConflictError(f"finding {finding.id} is no longer at block {finding.next_block}")
    if exhausted:
        merchant = await tx.conn.scalar(
            sa.select(findings.c.merchant_id).where(findings.c.id == finding.id)
        )
        await _name(tx, await _get(tx, finding.id), str(merchant))


async def close_findings(tx: Tx, agreed: Sequence[Finding], resolution: str) -> None:
    """Balance and books agree again."""
    for finding in agreed:
        await tx.conn.execute(
            findings.update()
            .where(findings.c.id == finding.id, findings.c.status != "closed")
            .values(status="closed", resolution=resolution, closed_at=tx.now)
        )
        await close_holds(tx, "chain", _place(tx, finding), resolution)


async def finding_counts(tx: Tx, chain: str) -> dict[str, int]:
    """Findings that are not closed, by kind."""
    query = (
        sa.select(findings.c.kind, sa.func.count())
        .where(findings.c.chain == chain, findings.c.status != "closed")
        .group_by(findings.c.kind)
    )
    found = {row[0]: row[1] for row in await tx.conn.execute(query)}
    return {kind: found.get(kind, 0) for kind in KINDS}


async def _name(tx: Tx, finding: Finding, merchant_id: str) -> None:
    place = _place(tx, finding)
    await close_holds(tx, "chain", place, "another difference")
    amount = abs(finding.found - finding.expected)
    more = "more" if finding.kind == "above" else "less"
    reason = (
        f"balance of {checksum(finding.address)} is {amount} base units {more} than the books "
        f"say at block {finding.block_number}, and no Transfer explains it"
    )
    await hold(tx, "chain", "address", place, reason, merchant_id=merchant_id)


def _place(tx: Tx, finding: Finding) -> str:
    token = tx.catalogue.token_by_address(finding.chain, finding.token_address)
    name = checksum(finding.token_address) if token is None else token.symbol
    return f"{finding.chain}/{name}/{checksum(finding.address)}"


async def _get(tx: Tx, finding_id: int) -> Finding:
    query = sa.select(findings).where(findings.c.id == finding_id)
    return _finding((await tx.conn.execute(query)).one())


def _finding(row: sa.Row[*tuple[Any, ...]]) -> Finding:
    return Finding(**{name: getattr(row, name) for name in Finding.__dataclass_fields__})
