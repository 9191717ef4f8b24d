"""The one transaction of a pass: cursor, blocks, payments, invoices, events, all or nothing.

A crash before the commit leaves nothing; after it, everything. The cursor's
row is taken first: whoever hands out an address holds it in share mode until
commit, so that the look at new addresses below misses none (see
:func:`ledger.invoices.create_invoices`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chain.model import BlockHeader
from config.chains import ChainSettings
from config.errors import BursarError, ConflictError
from config.units import Amount, Hash32
from ledger.addresses import DepositAddress, addresses_above
from ledger.cursors import (
    BlockMark,
    BlockRow,
    Cursor,
    advance_cursor,
    get_cursor,
    stored_blocks,
)
from ledger.invoices import Tolerance, Touched, refresh_invoices
from ledger.leases import Lease, check
from ledger.payment_moves import (
    PaymentMove,
    mark_confirming,
    mark_final,
    move_payments,
    open_payments,
    unfinal_payments,
)
from ledger.payment_rows import PaymentPolicy
from ledger.payment_rules import Sighting
from ledger.payments import Recorded, record_sightings
from ledger.rescans import request_rescan
from ledger.states import PaymentStatus
from ledger.store import Tx
from ledger.views import Row
from watcher.decode import header_time
from watcher.filters import LogFilter
from watcher.finality import (
    ChainView,
    OpenPayment,
    confirming_up_to,
    furthest_reach,
    mature,
    reach,
    reached,
)
from watcher.match import RowMatcher
from watcher.second_opinion import Claim

_MOST_NEW: Final = 20_000


class AddressesGrew(BursarError):  # noqa: N818 - named for reading: "except AddressesGrew"
    """An address handed out while the pass was read may be paid in it: read the pass again."""


@dataclass(frozen=True, slots=True)
class House:
    """What a chain's transactions are decided by."""

    chain: ChainSettings
    policy: PaymentPolicy
    tolerance: Tolerance


@dataclass(frozen=True, slots=True)
class Scan:
    """What was asked for in a pass: for whom, and which logs came."""

    known_index: int
    """Highest derivation index that the pass has looked for."""
    asked: LogFilter
    matcher: RowMatcher


@dataclass(frozen=True, slots=True)
class Pass:
    """Everything that a pass commits. No ``headers``: only confirmations move.

    :param stored: headers to keep: all above finality, the last one of a range below.
    :param final: highest block that the chain holds as final, at most the top of the pass.
    :param agreed: claims that two providers bore out; ``None`` where one's word is enough.
    """

    cursor: Cursor
    headers: tuple[BlockHeader, ...]
    stored: tuple[BlockHeader, ...]
    sightings: tuple[Sighting, ...]
    scan: Scan | None
    final: int
    tags: Mapping[str, int]
    agreed: frozenset[Claim] | None
    refuted: frozenset[Claim] = frozenset()
    """Claims that are not so: taken back as if their block had left the chain."""
    depth: ChainView | None = None
    """How far another provider sees the chain; ``None``: nobody else has a say."""

    @property
    def view(self) -> ChainView:
        """How deep blocks lie, as far as this pass knows."""
        return ChainView(self.top.number, self.tags)

    @property
    def top(self) -> BlockMark:
        """The cursor after the pass."""
        if not self.headers:
            return self.cursor.cursor
        return BlockMark(self.headers[-1].number, self.headers[-1].hash)


@dataclass(frozen=True, slots=True)
class Effects:
    """What a committed transaction did, to be reported and taken in."""

    recorded: Recorded
    moves: tuple[PaymentMove, ...]
    confirming: tuple[str, ...]
    """Tokens of the payments that are no longer in the newest block."""
    fresh: tuple[DepositAddress, ...]
    final: BlockMark
    waiting: int
    """Payments that would be confirmed but for a second opinion."""


async def commit_pass(tx: Tx, house: House, work: Pass, lease: Lease | None) -> Effects:
    """All effects of a pass.

    :raises ConflictError: the cursor moved or the chain is halted; read it again.
    :raises AddressesGrew: read the pass again with the new addresses.
    :raises LeaseLostError: another process leads this chain.
    """
    await hold(tx, house.chain.name, work.cursor, lease)
    fresh = await new_addresses(tx, work.scan)
    final = await final_mark(tx, work)
    await advance_cursor(
        tx,
        house.chain.name,
        expected=work.cursor.cursor,
        new_blocks=[to_block_row(header) for header in work.stored],
        top=to_block_row(work.headers[-1]) if work.headers else _standing(work.cursor),
        final=final,
    )
    # From here on the cursor stands at the top, so that events tell confirmations as they are.
    touched = Touched()
    recorded = await record_sightings(tx, work.sightings, house.policy, touched)
    moves, waiting = await confirm(tx, house, work, final.number, touched)
    confirming = await mark_confirming(tx, house.chain.name, confirming_up_to(work.view))
    mark_final(tx, house.chain.name, final.number)
    await rescan_gaps(tx, house.chain.name, work.cursor, fresh)
    await refresh_invoices(tx, touched.ids, house.tolerance)
    return Effects(recorded, tuple(moves), tuple(confirming), tuple(fresh), final, waiting)


async def hold(tx: Tx, chain: str, expected: Cursor, lease: Lease | None) -> Cursor:
    """Take the chain's row for this transaction and see that nothing has changed since.

    :raises ConflictError: the cursor moved, or the chain was halted.
    :raises LeaseLostError: another process leads this chain.
    """
    if lease is not None:
        await check(tx, lease)
    current = await get_cursor(tx, chain, lock=True)
    if current is None or current.cursor != expected.cursor:
        raise ConflictError(f"the cursor of {chain} is no longer at {expected.cursor.number}")
    if current.halted_reason is not None:
        raise ConflictError(f"chain {chain} is halted: {current.halted_reason}")
    return current


async def new_addresses(tx: Tx, scan: Scan | None) -> list[DepositAddress]:
    """Addresses handed out since the pass was asked for, none of which it can have missed."""
    if scan is None:
        return []
    fresh = await addresses_above(tx, scan.known_index, _MOST_NEW)
    if not fresh:
        return []
    by_topic = scan.asked.recipients is not None
    if by_topic or len(fresh) == _MOST_NEW or scan.matcher.any_to([a.address for a in fresh]):
        raise AddressesGrew("addresses were handed out while the pass was read")
    return fresh


async def rescan_gaps(tx: Tx, chain: str, before: Cursor, fresh: Sequence[DepositAddress]) -> None:
    """Blocks that were passed before an address was known are read again for it."""
    firsts = [a.watch_from.get(chain, before.start_block) for a in fresh]
    passed = [first for first in firsts if first <= before.cursor.number]
    if passed:
        await request_rescan(tx, chain, min(passed), before.cursor.number, "gap")


async def final_mark(tx: Tx, work: Pass) -> BlockMark:
    """The final block by number and hash; it never falls."""
    number = min(work.final, work.top.number)
    if number <= work.cursor.final.number:
        return work.cursor.final
    for header in work.headers:
        if header.number == number:
            return BlockMark(header.number, header.hash)
    kept = await stored_blocks(tx, work.cursor.chain, number, number)
    return BlockMark(kept[0].number, kept[0].hash) if kept else work.cursor.final


async def confirm(
    tx: Tx,
    house: House,
    work: Pass,
    final: int,
    touched: Touched,
) -> tuple[list[PaymentMove], int]:
    """Confirm every payment whose time has come; returns the moves, and how many are not believed.

    One that is refuted is orphaned: it comes back if it is ever seen again.

    :param final: the final block; what it covers can no longer be taken back.
    """
    # What lies above waits in any case, and is not read: twelve blocks of it at twelve
    # confirmations. A claim is only asked about, and refuted, where it could be confirmed.
    rows = await open_payments(tx, house.chain.name, furthest_reach(house.chain, work.view))
    if not rows:
        return [], 0
    payments = [_open(tx, row) for row in rows]
    exposed = await _exposure(tx, house.chain)
    ripe = mature(payments, exposed, house.chain, work.view)
    deep = ripe if work.depth is None else mature(payments, exposed, house.chain, work.depth)
    claims = {} if work.agreed is None else {row["id"]: claim_of(row) for row in rows}
    believed = set(ripe)
    if work.agreed is not None:
        believed = {key for key, claim in claims.items() if claim in work.agreed}
    confirmable = ripe & deep & believed
    moves = []
    for row in rows:
        if claims.get(row["id"]) in work.refuted:
            moves.append(PaymentMove(row, PaymentStatus.ORPHANED))
        elif row["id"] in confirmable:
            held_final = row["block_number"] <= final
            moves.append(PaymentMove(row, PaymentStatus.CONFIRMED, held_final))
    await move_payments(tx, moves, house.policy, touched)
    return moves, len(ripe - confirmable)


def _open(tx: Tx, row: Row) -> OpenPayment:
    return OpenPayment(
        key=row["id"],
        merchant_id=row["merchant_id"],
        micros=_micros(tx, row),
        block=row["block_number"],
    )


def _micros(tx: Tx, row: Row) -> int:
    token = tx.catalogue.token_by_address(row["chain"], row["token_address"])
    return 0 if token is None else token.to_micros(row["amount"])


async def _exposure(tx: Tx, chain: ChainSettings) -> dict[str, int]:
    """Micros per merchant that were confirmed and are not final yet; only tiers ask."""
    found: dict[str, int] = defaultdict(int)
    if chain.finality_tiers:
        for row in await unfinal_payments(tx, chain.name):
            found[row["merchant_id"]] += _micros(tx, row)
    return found


async def claims_to_ask(tx: Tx, house: House, work: Pass) -> list[Claim]:
    """What a second provider has to bear out before this pass can confirm it."""
    view = work.view
    ripe = reach(house.chain.finality, view)
    claims = [claim_of(r) for r in await open_payments(tx, house.chain.name, ripe, lock=False)]
    for s in work.sightings:
        token = tx.catalogue.token_by_address(house.chain.name, s.token_address)
        if token is None or s.malformed or s.amount == 0:
            continue
        if reached(house.chain.finality, s.block_number, view):
            claims.append(
                Claim(
                    s.tx_hash, s.block_hash, s.ordinal,
                    s.token_address, s.sender, s.recipient, s.amount, s.block_number,
                )
            )  # fmt: skip
    return list(dict.fromkeys(claims))


def claim_of(row: Row) -> Claim:
    """What has to be borne out for a stored payment."""
    return Claim(
        Hash32(row["tx_hash"]),
        Hash32(row["block_hash"]),
        row["ordinal"],
        row["token_address"],
        row["sender"],
        row["recipient"],
        Amount(row["amount"]),
        row["block_number"],
    )


def to_block_row(header: BlockHeader) -> BlockRow:
    """A header as the books keep it."""
    return BlockRow(header.number, header.hash, header.parent_hash, header_time(header))


def _standing(cursor: Cursor) -> BlockRow:
    """The cursor's own block, for a pass that moves it nowhere."""
    mark = cursor.cursor
    return BlockRow(mark.number, mark.hash, mark.hash, cursor.cursor_time)
