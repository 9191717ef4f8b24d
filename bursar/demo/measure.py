"""Reading what the last table compares: the books from the database, the rest from the chain."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from bursar.compose import open_house
from bursar.demo import summary
from bursar.demo.config_text import CHAIN
from bursar.demo.errors import DemoError
from bursar.demo.polling import until
from bursar.demo.stage import Stage
from bursar.demo.story import COINS, SCENES, SHOPS, Coin, promise
from bursar.demo.summary import Books, OnChain, Sheet
from config.units import Address, parse_address
from ledger.books import all_totals
from settlement.reconcile import reconcile

WEBHOOK_SECONDS: Final = 15.0


@dataclass(frozen=True)
class Gas:
    """What the payouts cost, and about what they would have cost one by one."""

    payouts: int
    batches: int
    batched: int
    separate: int
    sweeps: int
    swept: int


@dataclass(frozen=True)
class Verdict:
    """The end of a round. ``problems`` is empty if everything is as it must be."""

    sheets: tuple[Sheet, ...]
    gas: Gas
    problems: tuple[str, ...]


async def judge(stage: Stage) -> Verdict:
    """Read everything once more and compare."""
    shop_ids = [shop.id for shop in stage.shops]
    books, unreconciled = await _books(stage, shop_ids)
    chain = {coin.symbol: await _on_chain(stage, coin) for coin in COINS}
    sheets = tuple(summary.sheet(c, books[c.symbol], chain[c.symbol], SHOPS) for c in COINS)
    await _let_webhooks_arrive(stage)
    problems = summary.differences(sheets)
    for coin in COINS:
        problems += summary.broken_promises(
            coin, promise(coin), books[coin.symbol], chain[coin.symbol], SHOPS
        )
    for scene in SCENES:
        problems += summary.wrong_ending(scene, stage.invoice(scene))
    payouts = [payout for _, payout in stage.board.payouts.values()]
    problems += summary.wrong_payouts(payouts, COINS)
    problems += summary.missing_webhooks(
        stage.board.webhooks, expected_webhooks(), stage.board.webhooks_refused
    )
    return Verdict(sheets, await _gas(stage), tuple(problems + unreconciled))


def expected_webhooks() -> dict[str, int]:
    """The least of each type that the story makes. At least once is what is promised."""
    return {
        "invoice.created": len(SCENES),
        "invoice.paid": sum(scene.status == "paid" for scene in SCENES),
        "payment.confirmed": sum(len(scene.pays) for scene in SCENES),
        "payment.orphaned": sum(scene.act == "reorg" for scene in SCENES),
        "payout.paid": len(SHOPS) * len(COINS),
    }


async def _let_webhooks_arrive(stage: Stage) -> None:
    """The last ones are on their way when the payouts are paid; too few are named later."""
    with suppress(DemoError):
        await until(
            stage.clock,
            "the webhooks",
            lambda: not summary.missing_webhooks(stage.board.webhooks, expected_webhooks(), 0),
            seconds=WEBHOOK_SECONDS,
        )


async def _books(stage: Stage, shop_ids: list[str]) -> tuple[Mapping[str, Books], list[str]]:
    """The ledger's totals, and what ``bursar reconcile`` finds wrong with them."""
    world = stage.world
    async with open_house(world.settings, world.secrets) as house:
        found = await reconcile(house.chains[CHAIN], house.ledger, world.contracts)
        async with house.ledger.reading() as tx:
            totals = await all_totals(tx, chain=CHAIN)
    books = {coin.symbol: summary.books_of(totals, CHAIN, coin, shop_ids) for coin in COINS}
    if found is None:
        return books, ["reconcile: the chain was never followed"]
    return books, [
        f"reconcile: {row.token} {row.account} differs by {row.difference} base units"
        for row in found.rows
        if row.difference
    ] + [f"reconcile: {cause}" for cause in found.causes if not found.agrees]


async def _on_chain(stage: Stage, coin: Coin) -> OnChain:
    street, token = stage.world.street, stage.world.tokens[coin.symbol]
    deposits = deposit_addresses(stage)
    return OnChain(
        received=await street.received(token, deposits),
        deposits=sum([await street.balance(token, address) for address in deposits]),
        treasury=await street.balance(token, stage.world.contracts.treasury),
        paid=tuple([await street.balance(token, shop.address) for shop in stage.shops]),
    )


def deposit_addresses(stage: Stage) -> list[Address]:
    """Every address that a customer could pay to."""
    return [parse_address(invoice["address"]) for invoice in stage.board.invoices.values()]


async def _gas(stage: Stage) -> Gas:
    street, world = stage.world.street, stage.world
    payouts = [payout for _, payout in stage.board.payouts.values()]
    batches = {str(payout["tx_hash"]) for payout in payouts if payout["tx_hash"]}
    stranger = Address(stage.entropy.token_bytes(20))
    separate = 0
    for payout in payouts:
        token = world.tokens[payout["token"]]
        separate += await street.plain_transfer_gas(token, world.contracts.treasury, stranger)
    deposits = deposit_addresses(stage)
    sweeps: set[str] = set()
    for token in world.tokens.values():
        sweeps |= await street.senders_transactions(token, deposits)
    return Gas(
        payouts=len(payouts),
        batches=len(batches),
        batched=await street.gas_used(batches),
        separate=separate,
        sweeps=len(sweeps),
        swept=sum(bool(scene.pays) for scene in SCENES),
    )
