"""What a receipt proves about each entry of a batch. Pure.

Never the status alone: a call to an account without code succeeds, a paused
token fails every entry of a transaction with status 1. The contracts' own logs
say which entries failed, the token's Transfer logs what moved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from chain.helper_contracts import (
    BatchExecuted,
    decode_batch_executed,
    decode_payout_failed,
    decode_sweep_failed,
    decode_swept,
    unpack_batch,
)
from chain.model import TRANSFER_TOPIC, Log, Receipt
from chain.reverts import describe_revert
from config.units import Address, Hash32


@dataclass(frozen=True, slots=True)
class TokenTransfer:
    """An ERC-20 Transfer log (EIP-20)."""

    token: Address
    sender: Address
    recipient: Address
    amount: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch's entries, by place.

    :param failures: reason by place; every other entry was carried out.
    :param received: base units that arrived, by place, where a log proves it.
    :param surprises: what is not as planned: reasons to stop and look.
    :param astray: where else than to the sink it went, if it did.
    """

    executed: bool
    failures: dict[int, str] = field(default_factory=dict)
    received: dict[int, int] = field(default_factory=dict)
    surprises: tuple[str, ...] = ()
    astray: Address | None = None


@dataclass(frozen=True, slots=True)
class PayoutBatch:
    """What was sealed for the treasury."""

    treasury: Address
    token: Address
    epoch: int
    onchain_id: int
    content_hash: Hash32
    entries: tuple[tuple[Address, int], ...]


def transfers_in(logs: Sequence[Log]) -> list[TokenTransfer]:
    """Well-formed Transfer logs that moved something, in order.

    Anyone may write one of nothing from anybody to anybody: a ``transferFrom`` of zero needs no
    allowance (address poisoning).
    """
    return [
        TokenTransfer(
            log.address,
            Address(log.topics[1][12:]),
            Address(log.topics[2][12:]),
            int.from_bytes(log.data),
        )
        for log in logs
        if len(log.topics) == 3
        and log.topics[0] == TRANSFER_TOPIC
        and len(log.data) == 32
        and any(log.data)
    ]


def entries_of(packed: bytes) -> tuple[tuple[Address, int], ...]:
    """Packed entries as (account, amount)."""
    return tuple((account, int(amount)) for account, amount in unpack_batch(packed))


def judge_payouts(batch: PayoutBatch, receipt: Receipt) -> Outcome:
    """What a receipt says about a payout batch; ``executed`` only by its BatchExecuted log."""
    if receipt.status != 1:
        return Outcome(executed=False)
    event, logs = _execution_in(batch, receipt.logs)
    if event is None:
        return Outcome(executed=False, surprises=("no BatchExecuted log in a successful receipt",))
    surprises: list[str] = []
    if event.content_hash != batch.content_hash:
        return Outcome(
            executed=True, surprises=("another content was executed under this batch's id",)
        )
    failures: dict[int, str] = {}
    for log in logs:
        failed = decode_payout_failed(log, batch.treasury)
        if failed is None or (failed.epoch, failed.batch_id) != (batch.epoch, batch.onchain_id):
            continue
        failures[failed.index] = describe_revert(failed.reason)
    outgoing = [
        t for t in transfers_in(logs) if t.token == batch.token and t.sender == batch.treasury
    ]
    received = _matched(batch, failures, outgoing)
    paid = sum(a for i, (_, a) in enumerate(batch.entries) if i not in failures)
    moved = sum(t.amount for t in outgoing)
    if moved != paid:
        surprises.append(f"{moved} base units left the treasury where {paid} were planned")
    unproven = [i for i in range(len(batch.entries)) if i not in failures and i not in received]
    surprises += [f"no Transfer log for entry {i}" for i in unproven]
    return Outcome(True, failures, received, tuple(surprises))


def _execution_in(
    batch: PayoutBatch, logs: Sequence[Log]
) -> tuple[BatchExecuted | None, Sequence[Log]]:
    """A batch's event and the logs that are its own: those since the execution before it.

    Anyone may submit signed batches, several of them in one transaction too.
    """
    first = 0
    for place, log in enumerate(logs):
        event = decode_batch_executed(log, batch.treasury)
        if event is None:
            continue
        if (event.epoch, event.batch_id) == (batch.epoch, batch.onchain_id):
            return event, logs[first:place]
        first = place + 1
    return None, ()


def _matched(
    batch: PayoutBatch, failures: dict[int, str], outgoing: Sequence[TokenTransfer]
) -> dict[int, int]:
    """Base units that each paid entry's recipient got: its exact amount if a log says so,
    else (a token that keeps a fee) the next log to that recipient."""
    exact = Counter((t.recipient, t.amount) for t in outgoing)
    received: dict[int, int] = {}
    for index, entry in enumerate(batch.entries):
        if index not in failures and exact[entry] > 0:
            exact[entry] -= 1
            received[index] = entry[1]
    for index, (recipient, amount) in enumerate(batch.entries):
        if index in failures or index in received:
            continue
        for (to, value), left in exact.items():
            if to == recipient and left > 0 and value <= amount:
                exact[to, value] -= 1
                received[index] = value
                break
    return received


def judge_sweep(
    collector: Address,
    sink: Address,
    token: Address,
    entries: Sequence[tuple[Address, int]],
    receipt: Receipt,
) -> Outcome:
    """What a receipt says about a sweep: each entry by its own Transfer log to the sink.

    :param sink: where it was to go. The collector says where it went: its owner may have moved
        the sink while this was on its way.
    """
    if receipt.status != 1:
        return Outcome(executed=False)
    events = [decode_swept(log, collector) for log in receipt.logs]
    ran = [event for event in events if event is not None and event.token == token]
    if not ran:
        return Outcome(executed=False, surprises=("no Swept log in a successful receipt",))
    reasons = {
        event.index: describe_revert(event.reason)
        for log in receipt.logs
        if (event := decode_sweep_failed(log, collector)) is not None and event.token == token
    }
    outcome = _by_transfers(ran[0].sink, token, entries, receipt, reasons)
    return outcome if ran[0].sink == sink else replace(outcome, astray=ran[0].sink)


def judge_transfer(
    sink: Address, token: Address, entry: tuple[Address, int], receipt: Receipt
) -> Outcome:
    """What a receipt says about a plain transfer from a deposit address to the sink."""
    if receipt.status != 1:
        return Outcome(executed=False)
    return _by_transfers(sink, token, [entry], receipt, {})


def _by_transfers(
    sink: Address,
    token: Address,
    entries: Sequence[tuple[Address, int]],
    receipt: Receipt,
    reasons: dict[int, str],
) -> Outcome:
    arrived: Counter[Address] = Counter()
    for t in transfers_in(receipt.logs):
        if t.token == token and t.recipient == sink:
            arrived[t.sender] += t.amount
    failures = dict(reasons)
    received: dict[int, int] = {}
    surprises: list[str] = []
    for index, (account, amount) in enumerate(entries):
        if index in failures:
            continue
        if arrived[account] == 0:
            failures[index] = "no Transfer log to the treasury"
            continue
        received[index] = min(arrived[account], amount)
        if arrived[account] > amount:
            surprises.append(f"entry {index} moved more than its amount")
    return Outcome(True, failures, received, tuple(surprises))
