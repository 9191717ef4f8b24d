"""Executions and sweeps that nobody wrote down, booked by what the chain's logs prove.

An outgoing transfer becomes the queued payout that it matches, else a payout of the
merchant whose destination it went to, else *suspense out*: then that token's payouts
on the chain stop until an operator has resolved it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

from chain.erc20 import encode_transfer
from chain.helper_contracts import BatchExecuted, content_hash, decode_swept, pack_batch
from chain.model import Receipt
from config.catalogue import Token
from config.units import Address, Amount, ChainName, Hash32, to_hex
from ledger.batches import get_batches, known_onchain_ids
from ledger.books import post
from ledger.holds import hold
from ledger.journal_records import BatchRecord, PayoutEntry, SweepEntry
from ledger.payouts import PayoutMove, matching_payout, move_payouts, payouts_of_batch
from ledger.postings import AccountKind, AccountRef, Transfer
from ledger.redo import known_deposits, redo_batch
from ledger.runs import owners_of_destination
from ledger.states import PayoutStatus
from ledger.store import Tx
from ledger.sweeps import finish_items, items_of_batches, was_adopted
from settlement.context import Context
from settlement.fallback import deposit_lane
from settlement.finish import close_batch
from settlement.outcome import TokenTransfer, transfers_in
from settlement.restore.scanning import pieces_of
from settlement.stopping import stop_token, take_out

SUSPENSE: Final = "an outflow that nothing explains"


async def adopt_outflow(tx: Tx, ctx: Context, receipt: Receipt) -> bool:
    """Book a final transaction that took money out of the treasury; again, it does nothing.

    A start books what is final already and goes on waiting for the rest: it comes here with
    the same transaction at each of its looks.

    A batch of it that the books know is left to the lane: which of its entries were paid is for
    the judge of its own logs to say.

    :returns: whether anything of it was not booked before.
    """
    new = False
    pieces = pieces_of(receipt, ctx.contracts.treasury)
    known = await known_onchain_ids(tx, ctx.name, {p.event.epoch for p in pieces if p.event})
    for number, piece in enumerate(pieces):
        if piece.event is None:
            new |= await _suspend(tx, ctx, receipt, piece.transfers, number)
        elif (piece.event.epoch, piece.event.batch_id) not in known:
            await _adopt_execution(tx, ctx, receipt, piece.event, piece.transfers, number)
            new = True
    if new:
        ctx.observer.note("outflow_adopted", chain=ctx.name, tx_hash=to_hex(receipt.tx_hash))
    return new


async def _adopt_execution(
    tx: Tx,
    ctx: Context,
    receipt: Receipt,
    event: BatchExecuted,
    transfers: Sequence[TokenTransfer],
    number: int,
) -> None:
    token = tx.catalogue.token_by_address(ChainName(ctx.name), event.token)
    symbol = to_hex(event.token) if token is None else token.symbol
    taken: set[str] = set()
    entries: list[PayoutEntry] = []
    strange: list[TokenTransfer] = []
    for transfer in transfers:
        entry = await _explained(tx, ctx, symbol, transfer, taken)
        if entry is None:
            strange.append(transfer)
        else:
            taken.add(entry.id)
            entries.append(entry)
    record = replace(
        _empty(ctx, receipt, "payouts", "payout", symbol, ctx.contracts.treasury),
        key=f"{ctx.name}/{event.epoch}/{event.batch_id}",
        epoch=event.epoch,
        onchain_id=event.batch_id,
        content_hash=event.content_hash,
        payouts=tuple(entries),
    )
    batch_id = await redo_batch(tx, record, force=True)
    for status in (PayoutStatus.SUBMITTED, PayoutStatus.PAID):
        rows = await payouts_of_batch(tx, batch_id)
        await move_payouts(tx, [PayoutMove(r, status, tx_hash=receipt.tx_hash) for r in rows])
    await close_batch(tx, (await get_batches(tx, [batch_id]))[batch_id], executed=True)
    await _suspend(tx, ctx, receipt, strange, number)


def _empty(
    ctx: Context, receipt: Receipt, lane: str, purpose: str, token: str, target: Address
) -> BatchRecord:
    return BatchRecord(
        key=f"{ctx.name}/{to_hex(receipt.tx_hash)}",
        chain=ctx.name,
        lane=lane,
        purpose=purpose,
        token=token,
        epoch=None,
        onchain_id=None,
        content_hash=Hash32(bytes(32)),
        target=target,
        value=0,
        calldata=b"",
        authorizations=(),
        sealed_block=receipt.block_number,
    )


async def _explained(
    tx: Tx, ctx: Context, token: str, transfer: TokenTransfer, taken: set[str]
) -> PayoutEntry | None:
    row = await matching_payout(
        tx, ctx.name, token, transfer.recipient, transfer.amount, without=taken
    )
    if row is not None:
        return PayoutEntry(
            row["id"], row["merchant_id"], row["kind"], transfer.amount, transfer.recipient
        )
    owners = await owners_of_destination(tx, ctx.name, token, transfer.recipient)
    if len(owners) != 1:
        return None
    (owner,) = owners
    return PayoutEntry(tx.new_id("po"), owner, "settlement", transfer.amount, transfer.recipient)


async def _suspend(
    tx: Tx, ctx: Context, receipt: Receipt, transfers: Sequence[TokenTransfer], number: int
) -> bool:
    """Whether anything of it was not booked before."""
    new = False
    for place, transfer in enumerate(transfers):
        token = tx.catalogue.token_by_address(ChainName(ctx.name), transfer.token)
        key = f"outflow:{ctx.name}/{to_hex(receipt.tx_hash)}/{number}/{place}"
        if token is None or not await take_out(
            tx, ctx, token.symbol, transfer.amount, key, "outflow"
        ):
            continue
        new = True
        reason = (
            f"{SUSPENSE}: {transfer.amount} base units to {to_hex(transfer.recipient)} "
            f"in {to_hex(receipt.tx_hash)}"
        )
        await stop_token(tx, ctx, token.symbol, "suspense", reason)
    return new


async def adopt_inflow(tx: Tx, ctx: Context, receipt: Receipt) -> bool:
    """Book a final sweep that nobody wrote down; ``False``: it was none of ours. Again, it does
    nothing, as for an outflow.

    What a sweep of ours brought from addresses that were lost with the database is
    *suspense in*.
    """
    to_us = [t for t in transfers_in(receipt.logs) if t.recipient == ctx.contracts.treasury]
    known = await known_deposits(tx, [t.sender for t in to_us])
    ours = sorted((t for t in to_us if t.sender in known), key=lambda t: t.token)
    adopted = False
    for address, group in groupby(ours, key=lambda t: t.token):
        token = tx.catalogue.token_by_address(ChainName(ctx.name), address)
        if token is None:
            continue
        adopted, moved = True, list(group)
        name = f"inflow:{ctx.name}/{to_hex(receipt.tx_hash)}/{token.symbol}"
        if await was_adopted(tx, name):
            continue
        entries = tuple(SweepEntry(t.sender, known[t.sender], t.amount) for t in moved)
        record = replace(_moved(ctx, receipt, token, moved, known), sweeps=entries)
        batch_id = await redo_batch(tx, record, force=True)
        await finish_items(tx, await items_of_batches(tx, [batch_id]), {}, {}, adopted=name)
        await close_batch(tx, (await get_batches(tx, [batch_id]))[batch_id], executed=True)
    if any(decode_swept(log, ctx.contracts.collector) is not None for log in receipt.logs):
        await book_gift(tx, ctx, receipt)
        adopted = True
    return adopted


def _moved(
    ctx: Context,
    receipt: Receipt,
    token: Token,
    moved: Sequence[TokenTransfer],
    known: Mapping[Address, int],
) -> BatchRecord:
    """What was sealed, as far as the logs tell: it may stand in these books, unsent."""
    index = known.get(receipt.sender)
    if index is not None:  # the address sent by itself
        (own, *_) = moved
        call = encode_transfer(ctx.contracts.treasury, Amount(own.amount))
        record = _empty(ctx, receipt, deposit_lane(index), "transfer", token.symbol, token.address)
        return replace(record, content_hash=content_hash(call))
    packed = pack_batch([(t.sender, Amount(t.amount)) for t in moved])
    record = _empty(ctx, receipt, "sweeps", "sweep", token.symbol, ctx.contracts.collector)
    return replace(record, content_hash=content_hash(packed))


async def gifts_in(
    tx: Tx, ctx: Context, receipt: Receipt
) -> list[tuple[int, Token, TokenTransfer]]:
    """Transfers to the treasury from nobody whom these books know, each with its place."""
    treasury = ctx.contracts.treasury
    gifts = [
        (place, t)
        for place, t in enumerate(transfers_in(receipt.logs))
        if t.recipient == treasury and t.sender != treasury
    ]
    ours = await known_deposits(tx, [t.sender for _, t in gifts])
    named = [
        (place, tx.catalogue.token_by_address(ChainName(ctx.name), t.token), t)
        for place, t in gifts
        if t.sender not in ours
    ]
    return [(place, token, t) for place, token, t in named if token is not None]


async def book_gift(tx: Tx, ctx: Context, receipt: Receipt) -> Counter[str]:
    """A receipt's gifts: suspense in, each by name.

    :returns: base units that were not booked before, by token.
    """
    booked: Counter[str] = Counter()
    for place, token, transfer in await gifts_in(tx, ctx, receipt):
        key = f"gift:{ctx.name}/{to_hex(receipt.tx_hash)}/{place}"
        account = AccountRef(AccountKind.TREASURY, ctx.name, token.symbol)
        suspense = AccountRef(AccountKind.SUSPENSE_IN, ctx.name, token.symbol)
        new = await post(
            tx, [Transfer(key, account, suspense, transfer.amount, "direct transfer", key)]
        )
        if new:
            booked[token.symbol] += transfer.amount
            reason = (
                f"{transfer.amount} base units of {token.symbol} came directly from "
                f"{to_hex(transfer.sender)} in {to_hex(receipt.tx_hash)}"
            )
            await hold(tx, "batch", "suspense", key, reason)
    return booked
