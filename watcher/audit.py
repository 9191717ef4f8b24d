"""The balance audit's decisions: what to ask, whether an answer differs, when a round is due. Pure.

Transfers can be left out of an answer, one by one, and no hash shows it. A balance
cannot: it is asked for by address, from another provider than the one that leads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from chain.balances import Holding
from chain.multicall import AT_ONCE
from config.units import Address, Hash32
from ledger.audited import Audited, Span
from ledger.chain_checks import CheckRun
from ledger.findings import Difference

SOON: Final = timedelta(seconds=60)
"""Before the first round of a process that finds none under way: it has other things to do."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an audit of a page found.

    :param agreed: (address, token) that are as the books say.
    :param native: wei by invoice id where it is not what was last seen.
    :param with_coin: addresses that hold native coin.
    :param unreadable: balances that a token did not give.
    """

    differences: tuple[Difference, ...]
    agreed: frozenset[tuple[Address, Address]]
    native: Mapping[str, int]
    with_coin: int
    unreadable: int


def page_size(tokens: int) -> int:
    """Addresses whose balances, native coin included, fit into one call."""
    return max(1, AT_ONCE // (tokens + 1))


def questions(page: Sequence[Audited], tokens: Sequence[Address]) -> list[Holding]:
    """Each token and the native coin of each address."""
    return [Holding(token, owner.address) for owner in page for token in (*tokens, None)]


def judge(
    page: Sequence[Audited],
    asked: Sequence[Holding],
    balances: Sequence[int | None],
    expected: Mapping[tuple[Address, Address], Span],
    block: int,
    block_hash: Hash32,
) -> Verdict:
    """Hold balances against the books.

    :param balances: in the order of ``asked``; ``None`` where the token gave no answer.
    """
    owners = {owner.address: owner for owner in page}
    differences: list[Difference] = []
    agreed: set[tuple[Address, Address]] = set()
    native: dict[str, int] = {}
    with_coin = unreadable = 0
    for holding, balance in zip(asked, balances, strict=True):
        owner = owners[holding.owner]
        if balance is None:
            unreadable += 1
        elif holding.token is None:
            with_coin += balance > 0
            if balance != owner.native:
                native[owner.invoice_id] = balance
        else:
            span = expected.get((holding.owner, holding.token), Span())
            if span.least <= balance <= span.most:
                agreed.add((holding.owner, holding.token))
                continue
            nearest = span.most if balance > span.most else span.least
            differences.append(
                Difference(owner, holding.token, nearest, balance, block, block_hash)
            )
    return Verdict(tuple(differences), frozenset(agreed), native, with_coin, unreadable)


def round_due(run: CheckRun | None, every: timedelta, started: datetime, now: datetime) -> bool:
    """Whether a round is to begin.

    :param started: of the process: one that is restarted all the time does nothing else otherwise.
    """
    if run is not None and run.round_began is not None:
        return now - run.round_began >= every
    return now - started >= min(SOON, every)


def upheld(
    first: Verdict,
    again: Mapping[Holding, int | None],
    expected: Mapping[tuple[Address, Address], Span],
) -> Verdict:
    """What is left of the differences once they were asked for again, with the second answer."""
    kept: list[Difference] = []
    agreed = set(first.agreed)
    for difference in first.differences:
        key = (difference.owner.address, difference.token_address)
        balance = again[Holding(difference.token_address, difference.owner.address)]
        span = expected.get(key, Span())
        if balance is None:
            continue
        if span.least <= balance <= span.most:
            agreed.add(key)
        else:
            nearest = span.most if balance > span.most else span.least
            kept.append(replace(difference, expected=nearest, found=balance))
    return replace(first, differences=tuple(kept), agreed=frozenset(agreed))
