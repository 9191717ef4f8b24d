"""What nothing explains, or was lost, until somebody says what it was.

::

    account        grows when                              an operator says it was
    suspense_out   tokens or coin left without a booking   loss · owner's · paid to a merchant · gas
    suspense_in    tokens came to the treasury directly    owner's · a merchant's · income · made
                                                           good for an outflow or a loss
    token_loss     less arrived than was sent, debts       borne by the owner, by fees earned, or
                   were written off                        by a merchant

Each is one posting with its line in the audit log; nothing on chain moves. What is paused
stays so: releasing the hold is another decision.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import sqlalchemy as sa

from config.catalogue import Catalogue
from config.errors import ConflictError, InvalidInputError, NotFoundError
from ledger.books import locked_totals, post
from ledger.decisions import record_decision
from ledger.postings import DEBIT_NORMAL, AccountKind, AccountRef, Transfer, available, balance
from ledger.schema import accounts, holds, merchants, transfers
from ledger.store import Tx

Side = Literal["suspense_out", "suspense_in", "token_loss"]
Target = Literal["loss", "owner", "merchant", "gas", "fees", "outflow"]
NATIVE_DECIMALS: Final = 18
MOST_ENTRIES: Final = 50
_TX_HASH: Final = re.compile(r"0x[0-9a-f]{64}")

_RECEIVABLE: Final = AccountKind.RECEIVABLE
TARGETS: Final[Mapping[Side, Mapping[Target, AccountKind]]] = {
    "suspense_out": {
        "loss": AccountKind.TOKEN_LOSS,
        "owner": AccountKind.OWNER,
        "merchant": _RECEIVABLE,
        "gas": AccountKind.GAS,
    },
    "suspense_in": {
        "owner": AccountKind.OWNER,
        "merchant": AccountKind.MERCHANT,
        "fees": AccountKind.FEES,
        "outflow": AccountKind.SUSPENSE_OUT,
        "loss": AccountKind.TOKEN_LOSS,
    },
    "token_loss": {
        "owner": AccountKind.OWNER,
        "merchant": _RECEIVABLE,
        "fees": AccountKind.FEES,
    },
}
"""What a side may be resolved to, and where the posting goes."""
_BOUNDED: Final = {
    ("suspense_in", "outflow"),
    ("suspense_in", "loss"),
    ("token_loss", "fees"),
}
"""Not more than the target holds: nothing is made good that was not lost, nor out of no fees."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One posting on such an account; ``amount`` in base units, negative where it took away."""

    posting: str
    amount: int
    reason: str
    at: datetime
    tx_hash: str | None


@dataclass(frozen=True, slots=True)
class Suspended:
    """What stands on one account, base units, with its newest postings."""

    side: Side
    chain: str
    token: str
    amount: int
    decimals: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Resolve:
    """What an operator says.

    :param amount: base units; ``None``: all that stands there.
    :param merchant_id: with ``to = "merchant"``.
    """

    side: Side
    chain: str
    token: str
    to: Target
    amount: int | None
    actor: str
    reason: str
    merchant_id: str | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """What was posted, and what is left; base units."""

    posting: str
    amount: int
    left: int


def decimals_of(catalogue: Catalogue, chain: str, token: str) -> int:
    """Of a configured token, or of the chain's native coin.

    :raises NotFoundError: neither.
    """
    if catalogue.chain(chain).native_symbol == token and not catalogue.find_token(chain, token):
        return NATIVE_DECIMALS
    return catalogue.token(chain, token).decimals


async def suspended(tx: Tx) -> list[Suspended]:
    """Every account with something on it, by chain and token."""
    query = (
        sa.select(accounts)
        .where(accounts.c.kind.in_(TARGETS), accounts.c.debits_posted != accounts.c.credits_posted)
        .order_by(accounts.c.chain, accounts.c.token, accounts.c.kind)
    )
    found = []
    for row in await tx.conn.execute(query):
        net = row.debits_posted - row.credits_posted
        debit = AccountKind(row.kind) in DEBIT_NORMAL
        entries = await _entries(tx, row.id, debit=debit)
        places = _shown_decimals(tx.catalogue, row.chain, row.token)
        amount = net if debit else -net
        found.append(Suspended(row.kind, row.chain, row.token, amount, places, entries))
    return found


def _shown_decimals(catalogue: Catalogue, chain: str, token: str) -> int:
    try:
        return decimals_of(catalogue, chain, token)
    except NotFoundError:
        return 0  # not configured any more: base units are all that is known


async def _entries(tx: Tx, account_id: int, *, debit: bool) -> tuple[Entry, ...]:
    query = (
        sa.select(transfers)
        .where(
            sa.or_(
                transfers.c.debit_account_id == account_id,
                transfers.c.credit_account_id == account_id,
            )
        )
        .order_by(transfers.c.id.desc())
        .limit(MOST_ENTRIES)
    )
    found = []
    for row in await tx.conn.execute(query):
        grows = (row.debit_account_id == account_id) == debit
        named = _TX_HASH.search(row.key)
        found.append(
            Entry(
                row.key,
                row.amount if grows else -row.amount,
                row.reason,
                row.created_at,
                named.group() if named else None,
            )
        )
    return tuple(found)


async def resolve(tx: Tx, asked: Resolve) -> Resolved:
    """Post what the operator says.

    A merchant's part of an outflow or of a loss becomes a debt, recovered like any other;
    of an inflow, it is available to him, without a fee.

    :raises InvalidInputError: no such way, or more than stands there.
    :raises NotFoundError: no such merchant.
    :raises ConflictError: somebody else resolved at the same moment.
    """
    kind = TARGETS[asked.side].get(asked.to)
    native = tx.catalogue.find_token(asked.chain, asked.token) is None
    if kind is None or (asked.to == "gas" and not native):
        raise InvalidInputError(
            f"{asked.side} cannot be resolved to {asked.to}",
            where="to",
            remedy="possible: " + ", ".join(TARGETS[asked.side]),
        )
    source = AccountRef(AccountKind(asked.side), asked.chain, asked.token)
    owner = await _merchant(tx, asked) if asked.to == "merchant" else ""
    target = AccountRef(kind, asked.chain, asked.token, owner)
    totals = await locked_totals(tx, [source, target])
    stands = balance(source.kind, totals[source])
    amount = stands if asked.amount is None else asked.amount
    most = stands
    if (asked.side, asked.to) in _BOUNDED:
        most = min(stands, max(available(target.kind, totals[target]), 0))
        amount = min(amount, most) if asked.amount is None else amount
    if not 0 < amount <= most:
        what = "stands there" if most == stands else "the other account holds"
        raise InvalidInputError(
            f"must be at most {most} base units of {asked.token}, which is what {what}",
            where="amount",
        )
    moved = totals[source].debits_posted + totals[source].credits_posted
    key = f"resolve:{asked.chain}/{asked.token}/{asked.side}:{moved}"
    grows_by_debit = source.kind in DEBIT_NORMAL
    debit, credit = (target, source) if grows_by_debit else (source, target)
    made = Transfer(key, debit, credit, amount, f"resolved: {asked.to}", key)
    if not await post(tx, [made]):
        raise ConflictError("it was resolved at the same moment", remedy="look again")
    await _audit(tx, asked, amount, key)
    if amount == stands and asked.side == "suspense_in":
        await _close_holds(tx, source)
    return Resolved(key, amount, stands - amount)


async def _merchant(tx: Tx, asked: Resolve) -> str:
    query = sa.select(merchants.c.id).where(merchants.c.id == (asked.merchant_id or ""))
    found = await tx.conn.scalar(query)
    if found is None:
        raise NotFoundError(f"no merchant {(asked.merchant_id or '')[:40]!r}")
    return str(found)


async def _close_holds(tx: Tx, account: AccountRef) -> None:
    """Each direct transfer has a hold that names it; they are over once all is resolved."""
    booked = (
        sa.select(transfers.c.key)
        .join(accounts, accounts.c.id == transfers.c.credit_account_id)
        .where(
            accounts.c.kind == account.kind.value,
            accounts.c.chain == account.chain,
            accounts.c.token == account.token,
        )
    )
    await tx.conn.execute(
        holds.update()
        .where(
            holds.c.object_type == "suspense",
            holds.c.released_at.is_(None),
            holds.c.object_id.in_(booked),
        )
        .values(released_at=tx.now, resolution="resolved")
    )


async def _audit(tx: Tx, asked: Resolve, amount: int, key: str) -> None:
    detail = {
        "side": asked.side,
        "to": asked.to,
        "base_units": str(amount),
        "posting": key,
        "reason": asked.reason,
    }
    await record_decision(tx, asked.actor, "resolve", asked.merchant_id, detail)
