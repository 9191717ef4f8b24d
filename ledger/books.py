"""Double entry, the acting part: postings into tables, exactly once per key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Literal

import sqlalchemy as sa
from msgspec import Struct

from ledger.bulk import Insert, Read, Update, execute, insert_rows, read_all, write_all
from ledger.postings import (
    AccountKind,
    AccountRef,
    Posting,
    Resolution,
    Totals,
    Transfer,
    TransferKind,
    check_guard,
    credited,
    debited,
)
from ledger.schema import accounts, transfers
from ledger.sql import chunked
from ledger.store import Tx

_ZERO: Final = {
    "debits_pending": 0,
    "debits_posted": 0,
    "credits_pending": 0,
    "credits_posted": 0,
}
_PAGE: Final = 500
_NAMES: Final = ("kind", "chain", "token", "merchant_id")
_ASKED: Final = tuple(f"asked_{name}" for name in _NAMES)
_Identity = tuple[str, str, str, str]
_DEBIT_NAMES: Final = tuple(f"debit_{name}" for name in _NAMES)
_CREDIT_NAMES: Final = tuple(f"credit_{name}" for name in _NAMES)
_KEYS: Final = sa.select(transfers.c.key)
_DEBIT: Final = accounts.alias("debit")
_CREDIT: Final = accounts.alias("credit")
_PENDING: Final = (
    sa.select(
        transfers.c.id,
        transfers.c.key,
        transfers.c.amount,
        *(_DEBIT.c[name].label(f"debit_{name}") for name in _NAMES),
        *(_CREDIT.c[name].label(f"credit_{name}") for name in _NAMES),
    )
    .join(_DEBIT, _DEBIT.c.id == transfers.c.debit_account_id)
    .join(_CREDIT, _CREDIT.c.id == transfers.c.credit_account_id)
    .where(transfers.c.kind == sa.literal_column("'pending'"))
)


def _each_account() -> sa.Select[Any]:
    """PostgreSQL: one account after the other, found by its index and locked.

    Asked for with one condition, 50 accounts of ten thousand merchants cost 16 ms and more: with
    statistics of a smaller table PostgreSQL looks up what the identities share (kind, chain,
    token) and compares every merchant's row with each of them.
    """
    arrays = [sa.bindparam(name, type_=sa.ARRAY(sa.Text())) for name in _ASKED]
    wanted = sa.func.unnest(*arrays).table_valued(*_NAMES).render_derived(name="wanted")
    one = sa.select(accounts).where(*(accounts.c[name] == wanted.c[name] for name in _NAMES))
    # OFFSET keeps the planner from turning the look-ups into a join.
    found = one.offset(sa.literal_column("0")).with_for_update().lateral("found")
    return sa.select(*found.c).select_from(wanted.join(found, sa.true()))


_EACH: Final = _each_account()
_HOUSE: Final = (accounts.c.kind, accounts.c.chain, accounts.c.token)
_SUMS: Final = sa.select(
    *_HOUSE,
    *(sa.func.sum(accounts.c[name], type_=accounts.c[name].type).label(name) for name in _ZERO),
).group_by(*_HOUSE)
_SUMS_OF: Final = _SUMS.where(accounts.c.chain == sa.bindparam("of_chain"))
_PAGED: Final = (
    sa.select(accounts.c.id, *_HOUSE, *(accounts.c[name] for name in _ZERO))
    .where(accounts.c.id > sa.bindparam("after"))
    .order_by(accounts.c.id)
    .limit(sa.literal_column(str(_PAGE)))
    .offset(sa.literal_column("0"))
)


class _Row(Struct, frozen=True):
    """A transfer about to be written."""

    key: str
    kind: TransferKind
    pending_id: int | None
    debit: AccountRef
    credit: AccountRef
    amount: int
    reason: str
    object_id: str


class _Pending(Struct, frozen=True):
    id: int
    debit: AccountRef
    credit: AccountRef
    amount: int


async def post(tx: Tx, postings: Sequence[Posting], *, fresh: bool = False) -> int:
    """Write postings and the totals that follow from them; returns how many were new.

    A posting whose key exists is left out: running a transaction again changes
    nothing. Zero amounts are left out too. A resolution's pending transfer must
    have been written by an earlier call.

    :param fresh: the keys are new by construction, so that no look for them is needed;
        were one not, the unique constraint would refuse the whole transaction.
    :raises InsufficientFundsError: a guarded account would be drawn below zero;
        the caller's transaction must not be committed.
    """
    wanted = [p for p in postings if isinstance(p, Resolution) or p.amount > 0]
    if not wanted:
        return 0
    known, pendings = await _standing(tx, wanted, fresh)
    new = [p for p in wanted if p.key not in known]
    if not new:
        return 0
    rows = _resolved(new, pendings)
    refs = {ref for row in rows for ref in (row.debit, row.credit)}
    ids, totals = await _locked_accounts(tx, refs)
    debits: Counter[tuple[AccountRef, TransferKind]] = Counter()
    credits_: Counter[tuple[AccountRef, TransferKind]] = Counter()
    for row in rows:
        debits[row.debit, row.kind] += row.amount
        credits_[row.credit, row.kind] += row.amount
    for (ref, kind), amount in debits.items():
        totals[ref] = debited(totals[ref], kind, amount)
    for (ref, kind), amount in credits_.items():
        totals[ref] = credited(totals[ref], kind, amount)
    for ref in refs:
        check_guard(ref, totals[ref])
    await _write(tx, rows, ids, totals)
    return len(rows)


async def posted_keys(tx: Tx, keys: Sequence[str]) -> set[str]:
    """Those under which something was posted."""
    (rows,) = await read_all(tx, [Read(_KEYS, transfers.c.key, keys)])
    return {row["key"] for row in rows}


async def _standing(
    tx: Tx, postings: Sequence[Posting], fresh: bool
) -> tuple[set[str], dict[str, _Pending]]:
    """Keys that exist already, and the pending transfers that are to be resolved, by key."""
    keys = [] if fresh else [p.key for p in postings]
    assert len(set(keys)) == len(keys), "two postings of one call share a key"
    first_steps = [p.pending_key for p in postings if isinstance(p, Resolution)]
    known, pendings = await read_all(
        tx, [Read(_KEYS, transfers.c.key, keys), Read(_PENDING, transfers.c.key, first_steps)]
    )
    found = {row["key"]: _pending(row) for row in pendings}
    return {row["key"] for row in known}, found


def _pending(row: Mapping[str, Any]) -> _Pending:
    debit = _ref(*[row[name] for name in _DEBIT_NAMES])
    return _Pending(row["id"], debit, _ref(*[row[name] for name in _CREDIT_NAMES]), row["amount"])


def _resolved(postings: Sequence[Posting], pendings: Mapping[str, _Pending]) -> list[_Row]:
    rows = []
    for p in postings:
        if isinstance(p, Transfer):
            rows.append(
                _Row(p.key, p.kind, None, p.debit, p.credit, p.amount, p.reason, p.object_id)
            )
            continue
        pending = pendings.get(p.pending_key)
        if pending is None:
            continue  # its amount was zero, so nothing was reserved
        rows.append(
            _Row(
                p.key,
                p.kind,
                pending.id,
                pending.debit,
                pending.credit,
                pending.amount,
                p.reason,
                p.object_id,
            )
        )
    return rows


@lru_cache(maxsize=4096)
def _ref(kind: str, chain: str, token: str, merchant_id: str) -> AccountRef:
    return AccountRef(AccountKind(kind), chain, token, merchant_id)


def _matching(refs: Iterable[AccountRef]) -> sa.ColumnElement[bool]:
    return sa.tuple_(
        accounts.c.kind, accounts.c.chain, accounts.c.token, accounts.c.merchant_id
    ).in_([(ref.kind.value, ref.chain, ref.token, ref.merchant_id) for ref in refs])


async def _locked_accounts(
    tx: Tx, refs: set[AccountRef]
) -> tuple[dict[AccountRef, int], dict[AccountRef, Totals]]:
    """Ids and totals; rows are made where missing and locked in one order (no deadlock)."""
    wanted = {_identity(ref): ref for ref in refs}
    rows = await _lock_accounts(tx, sorted(wanted))
    if len(rows) < len(wanted):
        missing = sorted(wanted.keys() - {_identity_of(row) for row in rows})
        new = [{**dict(zip(_NAMES, place, strict=True)), **_ZERO} for place in missing]
        insert_rows(tx, accounts, new, ignore=True)
        rows = await _lock_accounts(tx, sorted(wanted))
    found = [(wanted[_identity_of(row)], row) for row in rows]
    return (
        {ref: row["id"] for ref, row in found},
        {ref: Totals(*(row[name] for name in _ZERO)) for ref, row in found},
    )


def _identity(ref: AccountRef) -> _Identity:
    return ref.kind.value, ref.chain, ref.token, ref.merchant_id


def _identity_of(row: Mapping[str, Any]) -> _Identity:
    return row["kind"], row["chain"], row["token"], row["merchant_id"]


async def _lock_accounts(tx: Tx, places: Sequence[_Identity]) -> list[dict[str, Any]]:
    """Those that exist, locked in the order of ``places``."""
    if tx.dialect == "postgresql":
        columns = [list(column) for column in zip(*places, strict=True)]
        return await execute(tx, _EACH, **dict(zip(_ASKED, columns, strict=True)))
    rows: list[dict[str, Any]] = []
    for part in chunked(places, 50):
        params = {
            f"{n}_{i}": v for i, at in enumerate(part) for n, v in zip(_NAMES, at, strict=True)
        }
        rows += await execute(tx, _any_of(len(part)), **params)
    return rows


@lru_cache(maxsize=64)
def _any_of(count: int) -> sa.Select[Any]:
    """SQLite: so many accounts by identity, each a look into the index."""
    identity = [accounts.c[name] for name in _NAMES]
    wanted = [
        [sa.bindparam(f"{name}_{i}", type_=sa.Text()) for name in _NAMES] for i in range(count)
    ]
    each = [sa.and_(*(c == v for c, v in zip(identity, values, strict=True))) for values in wanted]
    return sa.select(accounts).where(sa.or_(*each)).order_by(*identity)


async def _write(
    tx: Tx, rows: Sequence[_Row], ids: dict[AccountRef, int], totals: dict[AccountRef, Totals]
) -> None:
    entered = Insert(
        transfers,
        [
            {
                "key": row.key,
                "kind": row.kind,
                "pending_id": row.pending_id,
                "debit_account_id": ids[row.debit],
                "credit_account_id": ids[row.credit],
                "amount": row.amount,
                "reason": row.reason,
                "object_id": row.object_id,
                "created_at": tx.now,
            }
            for row in rows
        ],
    )
    changed = [{"id": ids[ref], **{n: getattr(totals[ref], n) for n in _ZERO}} for ref in ids]
    write_all(tx, [entered, Update(accounts, changed, tuple(_ZERO))])


async def totals_of(tx: Tx, refs: Iterable[AccountRef]) -> dict[AccountRef, Totals]:
    """Totals by account; an account never posted to has all zeros."""
    wanted = set(refs)
    if not wanted:
        return {}
    result = {ref: Totals() for ref in wanted}
    for part in chunked(sorted(wanted, key=str), 200):
        for row in await tx.conn.execute(sa.select(accounts).where(_matching(part))):
            result[_ref(row.kind, row.chain, row.token, row.merchant_id)] = Totals(
                row.debits_pending, row.debits_posted, row.credits_pending, row.credits_posted
            )
    return result


async def locked_totals(tx: Tx, refs: Iterable[AccountRef]) -> dict[AccountRef, Totals]:
    """As :func:`totals_of`, and nobody else moves these accounts until the transaction ends.

    For whoever posts what follows from a balance on an account without a guard: PostgreSQL's
    read committed would let two of them see the same one.
    """
    _, totals = await _locked_accounts(tx, set(refs))
    return totals


async def all_totals(
    tx: Tx, *, chain: str | None = None, merchant_id: str | None = None
) -> dict[AccountRef, Totals]:
    """Totals of every account, of one chain or one merchant only where asked."""
    query = sa.select(accounts)
    if chain is not None:
        query = query.where(accounts.c.chain == chain)
    if merchant_id is not None:
        query = query.where(accounts.c.merchant_id == merchant_id)
    return {
        _ref(row.kind, row.chain, row.token, row.merchant_id): Totals(
            row.debits_pending, row.debits_posted, row.credits_pending, row.credits_posted
        )
        for row in await tx.conn.execute(query)
    }


async def house_totals(tx: Tx, *, chain: str | None = None) -> dict[AccountRef, Totals]:
    """Totals by kind, chain and token, every merchant's added up, in the memory of a page.

    Asked each few seconds, where :func:`all_totals` would hold every merchant's accounts.
    PostgreSQL adds them up itself: NUMERIC is exact. SQLite's sum would be a float.
    """
    if tx.dialect == "postgresql":
        rows = await execute(tx, _SUMS if chain is None else _SUMS_OF, of_chain=chain)
        return {
            _ref(r["kind"], r["chain"], r["token"], ""): Totals(*(r[n] for n in _ZERO))
            for r in rows
        }
    sums: dict[tuple[str, str, str], list[int]] = {}
    after = 0
    while rows := await execute(tx, _PAGED, after=after):
        for row in rows:
            if chain is not None and row["chain"] != chain:
                continue
            kept = sums.setdefault((row["kind"], row["chain"], row["token"]), [0, 0, 0, 0])
            for place, name in enumerate(_ZERO):
                kept[place] += row[name]
        after = rows[-1]["id"]
    return {_ref(*place, ""): Totals(*four) for place, four in sums.items()}


def second_step(
    pending_key: str, kind: Literal["post", "void"], *, reason: str, object_id: str
) -> Resolution:
    """The resolution of a pending transfer, under the key that belongs to it."""
    return Resolution(f"{pending_key}:{kind}", pending_key, kind, reason, object_id)
