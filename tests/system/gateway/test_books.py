"""Suspense and receivables at the admin's door."""

from __future__ import annotations

from typing import Any

from ledger.books import post
from ledger.postings import AccountKind, AccountRef, Transfer
from tests.support.door import ADMIN_KEY, Door

HASH = "0x" + "cd" * 32


async def posted(
    door: Door, debit: AccountKind, credit: AccountKind, merchant: str = "",
    token: str = "USDC", units: int = 2_500000,
) -> None:  # fmt: skip
    async with door.ledger.transaction() as tx:
        made = Transfer(
            f"outflow:anvil/{HASH}/0/0:{debit}",
            AccountRef(debit, "anvil", token, merchant),
            AccountRef(credit, "anvil", token),
            units,
            "outflow",
            "x",
        )
        await post(tx, [made])


async def ask(door: Door, path: str, **body: Any) -> Any:
    return await door.call("POST", f"/v1/admin/{path}", body, key=ADMIN_KEY)


async def test_suspense__listed_with_its_transaction__resolved_once_in_parts(door: Door) -> None:
    await posted(door, AccountKind.SUSPENSE_OUT, AccountKind.OWNER)
    (row,) = (await door.call("GET", "/v1/admin/suspense", key=ADMIN_KEY)).body["data"]
    assert (row["side"], row["chain"], row["token"], row["amount"]) == (
        "suspense_out", "anvil", "USDC", "2.50",
    )  # fmt: skip
    assert row["entries"][0]["tx_hash"] == HASH
    what = {"side": "suspense_out", "chain": "anvil", "token": "USDC", "reason": "found out"}
    key = {"Idempotency-Key": "once"}
    body = {**what, "to": "loss", "amount": "1"}
    for _ in range(2):
        done = await door.call(
            "POST", "/v1/admin/suspense/resolve", body, key=ADMIN_KEY, headers=key
        )
        assert (done.status, done.body["amount"], done.body["left"]) == (200, "1.00", "1.50")
    rest = await ask(door, "suspense/resolve", **what, to="owner")
    assert (rest.body["amount"], rest.body["left"]) == ("1.50", "0.00")
    again = await ask(door, "suspense/resolve", **what, to="owner")
    assert (again.status, again.body["errors"][0]["field"]) == (422, "amount")
    (row,) = (await door.call("GET", "/v1/admin/suspense", key=ADMIN_KEY)).body["data"]
    assert (row["side"], row["amount"]) == ("token_loss", "1.00")


async def test_suspense__finer_than_micros__resolved_by_the_amount_that_is_shown(
    door: Door,
) -> None:
    """A fee in basis points leaves eight decimals of a token that has eighteen."""
    units = 277_353692850000000000
    await posted(door, AccountKind.SUSPENSE_OUT, AccountKind.OWNER, token="DAI", units=units)
    (row,) = (await door.call("GET", "/v1/admin/suspense", key=ADMIN_KEY)).body["data"]
    what = {"side": "suspense_out", "chain": "anvil", "token": "DAI", "reason": "found out"}
    part = await ask(door, "suspense/resolve", **what, to="loss", amount=row["amount"])
    assert (part.status, part.body["amount"], part.body["left"]) == (200, "277.35369285", "0.00")


async def test_suspense__what_cannot_be_meant__names_its_field(door: Door) -> None:
    await posted(door, AccountKind.SUSPENSE_OUT, AccountKind.OWNER)
    good = {"side": "suspense_out", "chain": "anvil", "token": "USDC", "reason": "r", "to": "loss"}
    for field, value in (
        ("chain", "nowhere"),
        ("token", "NOPE"),
        ("to", "fees"),
        ("to", "gas"),
        ("merchant", "mer_nobody"),
        ("amount", "2.500001"),
    ):
        body = good | {field: value} | ({"to": "merchant"} if field == "merchant" else {})
        answer = await ask(door, "suspense/resolve", **body)
        assert (answer.status, answer.body["errors"][0]["field"]) == (422, field), answer.body


async def test_receivables__listed_and_written_off__merchants_key_sees_nothing(door: Door) -> None:
    key = await door.merchant()
    merchant = (await door.call("GET", "/v1/merchant", key=key)).body["id"]
    await posted(door, AccountKind.RECEIVABLE, AccountKind.OWNER, merchant)
    listed = await door.call("GET", "/v1/admin/receivables", key=ADMIN_KEY)
    assert listed.body["data"] == [
        {"merchant": merchant, "chain": "anvil", "token": "USDC", "amount": "2.50"}
    ]
    for path in ("receivables", "suspense"):
        assert (await door.call("GET", f"/v1/admin/{path}", key=key)).status in {401, 403}
    what = {"merchant": merchant, "chain": "anvil", "token": "USDC", "reason": "gone"}
    part = await ask(door, "receivables/write-off", **what, amount="0.5")
    assert (part.status, part.body["left"]) == (200, "2.00")
    over = await ask(door, "receivables/write-off", **what, amount="2.000001")
    assert (over.status, over.body["errors"][0]["field"]) == (422, "amount")
    rest = await ask(door, "receivables/write-off", **what)
    assert (rest.body["amount"], rest.body["left"]) == ("2.00", "0.00")
    none = await ask(door, "receivables/write-off", **what)
    assert (none.status, none.body["errors"][0]["field"]) == (422, "merchant")
