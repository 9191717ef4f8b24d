"""What nothing explains is resolved by a posting: the right accounts, never more than is there."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from config.errors import InvalidInputError, NotFoundError
from ledger.books import all_totals, post, totals_of
from ledger.holds import hold, open_holds
from ledger.postings import AccountKind, AccountRef, Transfer, balance
from ledger.schema import audit_log
from ledger.suspense import (
    TARGETS,
    Resolve,
    Resolved,
    Side,
    Target,
    decimals_of,
    resolve,
    suspended,
)
from tests.support.books import Books, test_catalogue

HASH = "0x" + "ab" * 32


def ref(kind: AccountKind, merchant: str = "", token: str = "USDC") -> AccountRef:
    return AccountRef(kind, "anvil", token, merchant)


async def opened(books: Books, token: str = "USDC") -> None:
    """900 came from nowhere, 500 left, 300 was lost, 40 of fees were earned."""
    treasury, owner = ref(AccountKind.TREASURY, token=token), ref(AccountKind.OWNER, token=token)
    made = (
        (treasury, ref(AccountKind.SUSPENSE_IN, token=token), 900, f"gift:anvil/{HASH}/0"),
        (ref(AccountKind.SUSPENSE_OUT, token=token), treasury, 500, f"outflow:anvil/{HASH}/0/0"),
        (ref(AccountKind.TOKEN_LOSS, token=token), treasury, 300, "lost"),
        (treasury, ref(AccountKind.FEES, token=token), 40, "earned"),
        (treasury, owner, 1, "capital"),
    )
    async with books.ledger.transaction() as tx:
        for debit, credit, amount, key in made:
            await post(tx, [Transfer(f"{key}:{token}", debit, credit, amount, "test", key)])


async def said(
    books: Books, side: Side, to: Target, amount: int | None = None, merchant: str | None = None,
    token: str = "USDC",
) -> Resolved:  # fmt: skip
    async with books.ledger.transaction() as tx:
        asked = Resolve(side, "anvil", token, to, amount, "op", "because", merchant)
        return await resolve(tx, asked)


async def stands(books: Books, account: AccountRef) -> int:
    async with books.ledger.reading() as tx:
        return balance(account.kind, (await totals_of(tx, [account]))[account])


WAYS = [(side, to) for side, targets in TARGETS.items() for to in targets if to != "gas"]
BEFORE = {AccountKind.OWNER: 1, AccountKind.FEES: 40, AccountKind.SUSPENSE_OUT: 500,
          AccountKind.TOKEN_LOSS: 300}  # fmt: skip
CHANGE = {
    ("suspense_out", "loss"): 7,
    ("suspense_out", "owner"): -7,
    ("suspense_out", "merchant"): 7,
    ("suspense_in", "owner"): 7,
    ("suspense_in", "merchant"): 7,
    ("suspense_in", "fees"): 7,
    ("suspense_in", "outflow"): -7,
    ("suspense_in", "loss"): -7,
    ("token_loss", "owner"): -7,
    ("token_loss", "merchant"): 7,
    ("token_loss", "fees"): -7,
}
"""What 7 units do to the other account, in its own direction."""


@pytest.mark.parametrize(("side", "to"), WAYS)
async def test_resolve__each_way__moves_the_amount_and_nothing_else(
    books: Books, side: Side, to: Target
) -> None:
    await opened(books)
    whole = {"suspense_in": 900, "suspense_out": 500, "token_loss": 300}[side]
    done = await said(books, side, to, 7, "mer_1")
    assert (done.amount, done.left) == (7, whole - 7)
    assert await stands(books, ref(AccountKind(side))) == whole - 7
    kind = TARGETS[side][to]
    other = ref(kind, "mer_1" if to == "merchant" else "")
    assert await stands(books, other) == BEFORE.get(kind, 0) + CHANGE[side, to]
    async with books.ledger.reading() as tx:
        totals = await all_totals(tx)
        (line,) = await tx.conn.execute(sa.select(audit_log))
    assert sum(t.debits_posted - t.credits_posted for t in totals.values()) == 0
    assert (line.actor, line.action, line.detail["base_units"]) == ("op", "resolve", "7")


@pytest.mark.parametrize(
    ("side", "to", "most"),
    [
        ("suspense_out", "loss", 500),
        ("suspense_in", "owner", 900),
        ("suspense_in", "outflow", 500),
        ("suspense_in", "loss", 300),
        ("token_loss", "fees", 40),
        ("token_loss", "owner", 300),
    ],
)
async def test_resolve__no_amount__all_that_can_be__one_more_refused(
    books: Books, side: Side, to: Target, most: int
) -> None:
    await opened(books)
    with pytest.raises(InvalidInputError, match=f"at most {most}"):
        await said(books, side, to, most + 1)
    assert (await said(books, side, to)).amount == most
    with pytest.raises(InvalidInputError, match="at most 0"):
        await said(books, side, to)


async def test_resolve__ways_that_are_none__refused(books: Books) -> None:
    await opened(books)
    with pytest.raises(InvalidInputError, match="possible: loss, owner, merchant"):
        await said(books, "suspense_out", "fees", 1)
    with pytest.raises(InvalidInputError):
        await said(books, "suspense_out", "gas", 1)
    with pytest.raises(NotFoundError, match="no merchant"):
        await said(books, "suspense_in", "merchant", 1, "mer_nobody")
    await opened(books, "ETH")
    assert (await said(books, "suspense_out", "gas", 1, token="ETH")).left == 499


async def test_resolve__the_same_amount_twice__posted_twice(books: Books) -> None:
    await opened(books)
    await said(books, "suspense_out", "loss", 5)
    assert (await said(books, "suspense_out", "loss", 5)).left == 490


async def test_resolve__inflow_whole__the_holds_of_its_transfers_are_over(books: Books) -> None:
    await opened(books)
    async with books.ledger.transaction() as tx:
        await hold(tx, "batch", "suspense", f"gift:anvil/{HASH}/0:USDC", "came directly")
        await hold(tx, "batch", "suspense", f"gift:anvil/{HASH}/1:DAI", "another token's")
    await said(books, "suspense_in", "owner", 899)
    async with books.ledger.reading() as tx:
        assert len(await open_holds(tx)) == 2
    await said(books, "suspense_in", "owner")
    async with books.ledger.reading() as tx:
        assert [h.reason for h in await open_holds(tx)] == ["another token's"]


async def test_suspended__lists_what_stands__with_its_transactions(books: Books) -> None:
    await opened(books)
    await said(books, "suspense_out", "loss")
    async with books.ledger.reading() as tx:
        found = {row.side: row for row in await suspended(tx)}
    assert {side: row.amount for side, row in found.items()} == {
        "suspense_in": 900,
        "token_loss": 800,
    }
    assert found["suspense_in"].entries[0].tx_hash == HASH
    assert [e.amount for e in found["token_loss"].entries] == [500, 300]


def test_decimals__of_tokens_and_of_the_native_coin() -> None:
    catalogue = test_catalogue()
    assert decimals_of(catalogue, "anvil", "USDC") == 6
    assert decimals_of(catalogue, "anvil", "ETH") == 18
    with pytest.raises(NotFoundError):
        decimals_of(catalogue, "anvil", "BTC")
