"""Hardhat's node in Anvil's place: another client, the same books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from chain.anvil import Anvil, DevRpc
from ledger.books import all_totals
from ledger.invoices import load_views
from ledger.schema import events, invoices, payments, payouts
from ledger.store import Ledger
from tests.chain.rpc.conftest import MakeClient
from tests.chain.settlement.world import World as PayingWorld
from tests.chain.settlement.world import build_world, recipient
from tests.chain.watcher.world import PAYER, World, make_world
from tests.support.dev_chain import address_of
from tests.support.hardhat import Hardhat

Books = dict[str, Any]
Build = Callable[[DevRpc, str, str], Awaitable[Any]]
"""A world from a node, the node's URL and a database's."""
OnBoth = Callable[[Build, Callable[[Any], Awaitable[None]]], Awaitable[tuple[Books, Books]]]


async def books_of(ledger: Ledger) -> Books:
    """What the books say, without what may differ: addresses, hashes, times, prices of gas."""
    async with ledger.reading() as tx:
        totals = await all_totals(tx)
        paid = await tx.conn.execute(payments.select().order_by(payments.c.block_number))
        ids = list((await tx.conn.execute(sa.select(invoices.c.id))).scalars())
        views = (await load_views(tx, ids)).values()
        out = await tx.conn.execute(payouts.select())
        told = Counter((await tx.conn.execute(sa.select(events.c.type))).scalars())
        return {
            "accounts": sorted(
                (ref.kind, ref.token, ref.merchant_id or "", t.debits_posted, t.credits_posted,
                 t.debits_pending, t.credits_pending)
                for ref, t in totals.items()
                if ref.token in {"USDC", "USDT", "DAI", "FEE"}
            ),
            "payments": sorted(
                (row.status, row.reason or "", row.amount, row.ordinal) for row in paid
            ),
            "invoices": sorted((view["status"], view["exceptions"]) for view in views),
            "payouts": sorted((row.status, row.token, row.amount, row.fee) for row in out),
            "events": told,
        }  # fmt: skip


@pytest.fixture
def on_both(
    anvil: Anvil,
    dev_rpc: DevRpc,
    hardhat: Hardhat,
    hardhat_rpc: DevRpc,
    new_migrated_url: Callable[[], str],
) -> OnBoth:
    """Builds a world on either node and tells it the story; the books of Anvil's and of the other."""

    async def tell(build: Build, story: Callable[[Any], Awaitable[None]]) -> tuple[Books, Books]:
        found = []
        for rpc, url in ((dev_rpc, anvil.rpc_url), (hardhat_rpc, hardhat.rpc_url)):
            world = await build(rpc, url, new_migrated_url())
            await story(world)
            found.append(await books_of(world.ledger))
            await world.ledger.dispose()
        return found[0], found[1]

    return tell


@pytest.fixture
def watching(make_client: MakeClient) -> Build:
    """A world where money comes in."""
    return partial(make_world, make_client=make_client)


@pytest.fixture
def paying(make_client: MakeClient) -> Build:
    """A world where money goes out."""

    async def build(rpc: DevRpc, url: str, database: str) -> PayingWorld:
        return await build_world(rpc, url, make_client([url]), database)

    return build


async def money_in(world: World) -> None:
    """Exact, split in one transaction, over, three conducts of tokens, a fee kept, nothing."""
    await world.follow()
    exact, split, over, usdt, dai, short, nothing = await world.invoices(
        7, tokens=("USDC", "USDT", "DAI", "FEE")
    )
    await world.pay(exact.address, 10_000_000)
    await world.disperse((split.address, 4_000_000), (split.address, 6_000_000))
    await world.follow()
    await world.pay(over.address, 10_000_001)
    await world.pay(usdt.address, 10_000_000, "USDT")
    await world.pay(dai.address, 10**19, "DAI")
    await world.pay(short.address, 10_000_000, "FEE")
    poisoner = await world.chain.create(PAYER, "Poisoner")
    await world.call(
        poisoner,
        "poison(address,address,address[])",
        world.tokens["USDC"],
        address_of(PAYER),
        [nothing.address] * 3,
    )
    await world.settle()
    await world.agrees()


async def test_second_client__money_in__same_books_as_on_anvil(
    on_both: OnBoth, watching: Build
) -> None:
    ours, other = await on_both(watching, money_in)
    assert other == ours
    assert sorted(status for status, _ in other["invoices"]) == [
        "new",
        *["paid"] * 5,
        "partially_paid",
    ]


async def reorganised(world: World) -> None:
    """Paid, gone with its block, paid again at another height; then the daemon starts anew."""
    await world.follow()
    invoice, other = await world.invoices(2)
    snapshot = await world.rpc.call("evm_snapshot")
    await world.pay(invoice.address, 10_000_000)
    await world.follow()
    assert await world.statuses() == ["detected"]
    await world.rpc.call("evm_revert", snapshot)
    # Otherwise the same block might come about again, hash and all.
    await world.rpc.call("evm_increaseTime", 60)
    await world.mine(2)
    await world.follow()
    assert await world.statuses() == ["orphaned"]
    assert world.observer.reorgs == [1]
    world.restart()
    await world.pay(other.address, 10_000_000)
    await world.pay(invoice.address, 10_000_000)
    await world.settle()
    assert sorted(await world.statuses()) == ["confirmed", "confirmed", "orphaned"]
    await world.agrees()


async def test_second_client__reorg__same_books_as_on_anvil(
    on_both: OnBoth, watching: Build
) -> None:
    ours, other = await on_both(watching, reorganised)
    assert other == ours
    assert other["invoices"] == [("paid", []), ("paid", [])]


async def money_out(world: PayingWorld) -> None:
    """Contracts deployed by the product, 7702 sweeps, a batch of three tokens and two merchants."""
    amounts = {"USDC": 12_345678, "USDT": 7_000001, "DAI": 3 * 10**18 + 1}
    promised = []
    for number in (1, 2):
        merchant = await world.merchant()
        for symbol, amount in amounts.items():
            await world.paid_invoice(merchant, symbol, amount + number)
        await world.watch(mine=4)
        promised += [
            await world.promise(merchant, symbol, amount + number, recipient(number))
            for symbol, amount in amounts.items()
        ]
    service = world.service()
    await world.settle(service, world.all_are("paid", *promised))
    for number in (1, 2):
        for symbol, amount in amounts.items():
            assert await world.held(symbol, recipient(number)) == amount + number
            assert await world.held(symbol, world.contracts.treasury) == 0


async def test_second_client__money_out__same_books_as_on_anvil(
    on_both: OnBoth, paying: Build
) -> None:
    ours, other = await on_both(paying, money_out)
    assert other == ours
    assert [status for status, *_ in other["payouts"]] == ["paid"] * 6
