"""Ledger against chain, at one block: every unit at a deposit address or in the treasury.

The ledger is read in one snapshot together with the cursor; the chain's balances
are read at the cursor's block *hash*. What the books do not know yet because it
is mined but not final is counted by its own receipts. If the block is reorged
away while its balances are read, the whole is done again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from chain.balances import Holding, aggregated
from chain.client import ChainClient
from chain.deployment import HelperContracts
from chain.helper_contracts import decode_batch_executed, executed_topics
from chain.rpc.errors import BadReply, NodeBehind, NodeError, RpcError
from config.catalogue import Token
from config.units import Address, Hash32
from ledger.attempts import Attempt, open_attempts
from ledger.audit import deposit_holders, ignored_amounts, physical_totals
from ledger.batches import Batch, open_batches
from ledger.cursors import Cursor, get_cursor
from ledger.findings import let_go
from ledger.sql import chunked
from ledger.store import Ledger
from settlement.causes import Suspects, Traced
from settlement.logs import logs_between
from settlement.outcome import TokenTransfer, transfers_in
from settlement.receipts import each_receipt
from settlement.restore.scanning import executed_of, pieces_of

TRIES: Final = 5
BATCH_EXECUTED_TOPIC: Final = executed_topics(0, 0)[0]


@dataclass(frozen=True, slots=True)
class AccountRow:
    """One account of one token, base units.

    :param ledger: what the books say is there for good.
    :param in_flight: mined, not final yet: added to the ledger's side.
    :param explained: not money of ours but there, by cause (dust that was ignored); negative:
        money of ours that is not there, as a person knows.
    """

    account: str
    token: str
    decimals: int
    ledger: int
    in_flight: int
    chain: int
    explained: dict[str, int] = field(default_factory=dict)

    @property
    def difference(self) -> int:
        """Chain less everything that is known."""
        return self.chain - self.ledger - self.in_flight - sum(self.explained.values())


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One chain at one block. ``causes``: what differences were traced to, in words.

    :param native: the sponsors' coin, where it was asked for; at the final block, not at ``block``.
    """

    chain: str
    block: int
    rows: tuple[AccountRow, ...]
    causes: tuple[str, ...] = ()
    native: AccountRow | None = None

    @property
    def agrees(self) -> bool:
        """Whether ledger and chain are equal to the unit."""
        return all(row.difference == 0 for row in self.all_rows)

    @property
    def all_rows(self) -> tuple[AccountRow, ...]:
        """Tokens, then the native coin."""
        return self.rows if self.native is None else (*self.rows, self.native)

    def difference(self, token: str) -> int:
        """Of all accounts of a token together."""
        return sum(row.difference for row in self.rows if row.token == token)


@dataclass(frozen=True, slots=True)
class _Books:
    """What one snapshot of the ledger holds."""

    cursor: Cursor
    ledger: dict[tuple[str, str], int]
    ignored: dict[str, int]
    let_go: Mapping[tuple[Address, Address], int]
    holders: dict[str, list[Address]]
    attempts: list[Attempt]
    batches: list[Batch]


async def reconcile(
    client: ChainClient,
    ledger: Ledger,
    contracts: HelperContracts,
    *,
    emptied: int | None = None,
    traced: Traced | None = None,
) -> Reconciliation | None:
    """Compare one chain; ``None`` before the watcher's first block.

    :param emptied: how many of the newest payments' addresses are asked about though they were
        swept; ``None``: all, which is some 2 calls for each thousand where Multicall3 is.
    :param traced: remembers causes, for whoever compares again and again.
    :raises RpcError: the chain does not answer.
    """
    traced = traced or Traced(ledger.clock, whole=True)
    for attempt in range(TRIES):
        books = await _read(ledger, client.name, emptied)
        if books is None:
            return None
        try:
            return await _compare(client, ledger, contracts, books, traced)
        except (NodeBehind, BadReply, NodeError):
            # The pinned block left the chain, or this node does not have it yet.
            if attempt == TRIES - 1:
                raise
    return None


async def _read(ledger: Ledger, chain: str, emptied: int | None) -> _Books | None:
    async with ledger.reading() as tx:
        if tx.dialect == "postgresql":
            # Read committed would show each statement another state of a busy database.
            await tx.conn.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        cursor = await get_cursor(tx, chain)
        if cursor is None:
            return None
        return _Books(
            cursor,
            await physical_totals(tx, chain),
            await ignored_amounts(tx, chain),
            await let_go(tx, chain),
            await deposit_holders(tx, chain, emptied),
            await open_attempts(tx, chain),
            [b for b in await open_batches(tx, chain) if b.purpose == "payout"],
        )


async def _compare(
    client: ChainClient,
    ledger: Ledger,
    contracts: HelperContracts,
    books: _Books,
    traced: Traced,
) -> Reconciliation:
    at = books.cursor.cursor
    hashes = [a.tx_hash for a in books.attempts]
    flows = _Flows(ledger.catalogue.payable_tokens(client.name), books.holders, contracts.treasury)
    async for receipt in each_receipt(client, hashes, by_one=True):
        if receipt.block_number <= at.number:
            flows.add(transfers_in(receipt.logs))
    waiting = {
        (b.epoch, b.onchain_id): b.sealed_block
        for b in books.batches
        if b.epoch is not None and b.onchain_id is not None
    }
    by_strangers = await _executed_by_strangers(client, books, waiting)
    async for receipt in each_receipt(client, by_strangers, by_one=True):
        if receipt.block_number <= at.number:
            # Whatever else they did in it is known, or not, by itself.
            for piece in pieces_of(receipt, contracts.treasury):
                if piece.event and (piece.event.epoch, piece.event.batch_id) in waiting:
                    flows.add(piece.transfers)
    rows: list[AccountRow] = []
    causes: list[str] = []
    for token in ledger.catalogue.payable_tokens(client.name):
        holders = books.holders.get(token.symbol, [])
        explained = _explained(books, token, holders)
        for account, where, why in (
            ("deposits", holders, explained),
            ("treasury", [contracts.treasury], {}),
        ):
            booked = books.ledger.get((account, token.symbol), 0)
            moving = flows.of(account, token)
            known = booked + moving + sum(why.values())
            found = await _sum_at(client, token, where, at.hash, known)
            row = (account, token.symbol, token.decimals, booked, moving, found, dict(why))
            rows.append(AccountRow(*row))
            if rows[-1].difference == 0:
                traced.agrees(account, token.symbol)
                continue
            suspects = Suspects(account, token, where, rows[-1].difference)
            since = books.cursor.start_block
            causes += await traced.causes(client, ledger, suspects, since, at.number)
    header = await client.block(at.number)
    if header is None or header.hash != at.hash:
        raise NodeBehind(f"block {at.number} was reorged while it was read", where=client.name)
    return Reconciliation(client.name, at.number, tuple(rows), tuple(causes))


def _explained(books: _Books, token: Token, holders: Sequence[Address]) -> dict[str, int]:
    """What is known to lie at these addresses without being booked, or to be missing there."""
    known = {
        "ignored payments": books.ignored.get(token.symbol, 0),
        "differences that a person let go": sum(
            books.let_go.get((address, token.address), 0) for address in holders
        ),
    }
    return {cause: units for cause, units in known.items() if units}


async def _sum_at(
    client: ChainClient, token: Token, holders: Sequence[Address], block: Hash32, known: int
) -> int:
    """What lies at all of them. A sum that is not what the books know is asked for one by one,
    of two providers: payouts stop for a difference, and one that lies must not stop them."""
    together = await aggregated(client, [Holding(token.address, one) for one in holders], block)
    if together is None:
        together = [await _one_by_one(client, token, holders, block)]
    if sum(held or 0 for held in together) == known:
        return known
    told: list[int] = []
    for view in (client.pinned(), client.second()):
        if view is not None:
            told += await _told_by(view, token, holders, block)
    if not told:
        return await _one_by_one(client, token, holders, block)
    return known if known in told else told[0]


async def _told_by(
    view: ChainClient, token: Token, holders: Sequence[Address], block: Hash32
) -> list[int]:
    try:
        return [await _one_by_one(view, token, holders, block)]
    except RpcError:
        return []  # no opinion


async def _one_by_one(
    client: ChainClient, token: Token, holders: Sequence[Address], block: Hash32
) -> int:
    found = 0
    for part in chunked(holders):
        found += sum(await client.token_balances(token.address, part, block))
    return found


async def _executed_by_strangers(
    client: ChainClient, books: _Books, waiting: Mapping[tuple[int, int], int]
) -> list[Hash32]:
    """Transactions of others that ran our signed batches, which are not booked yet.

    Only where one has run: since a batch was sealed that waits for lower fees there may be weeks.

    :param waiting: the blocks in which they were sealed, by epoch and on-chain id.
    """
    if not waiting:
        return []
    treasury, at = books.batches[0].target, books.cursor.cursor
    ran = await executed_of(client, treasury, list(waiting), at.hash)
    if not ran:
        return []
    first = min(waiting[one] for one in ran)
    ours = {a.tx_hash for a in books.attempts}
    found: list[Hash32] = []
    for log in await logs_between(client, first, at.number, [treasury], (BATCH_EXECUTED_TOPIC,)):
        event = decode_batch_executed(log, treasury)
        known = event is None or (event.epoch, event.batch_id) not in waiting
        if not known and log.tx_hash not in ours:
            found.append(log.tx_hash)
    return list(dict.fromkeys(found))  # several of them may have run in one transaction


class _Flows:
    """Net inflow of each account by the Transfer logs of what is mined but not booked."""

    def __init__(
        self, tokens: Iterable[Token], holders: Mapping[str, Sequence[Address]], treasury: Address
    ) -> None:
        self._holders = {t.address: set(holders.get(t.symbol, ())) for t in tokens}
        self._treasury = treasury
        self._sums: dict[tuple[str, Address], int] = defaultdict(int)

    def add(self, transfers: Iterable[TokenTransfer]) -> None:
        """Those of our tokens, from and to us."""
        for t in transfers:
            holders = self._holders.get(t.token)
            if holders is None:
                continue
            for address, sign in ((t.sender, -1), (t.recipient, 1)):
                if address == self._treasury:
                    self._sums["treasury", t.token] += sign * t.amount
                elif address in holders:
                    self._sums["deposits", t.token] += sign * t.amount

    def of(self, account: str, token: Token) -> int:
        """Base units; negative: they left."""
        return self._sums[account, token.address]
