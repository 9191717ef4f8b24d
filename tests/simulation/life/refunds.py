"""Merchants who give back what an invoice brought in.

The customer's address is the same for all refunds of an invoice, and nobody else's.
"""

from __future__ import annotations

import asyncio
from typing import Any

from config.money import parse_units
from config.units import Address, checksum
from tests.simulation import town
from tests.simulation.life.issuers import list_customer
from tests.simulation.life.people import answer_of
from tests.simulation.life.weather import strikes
from tests.simulation.memory import Bill, Merchant, Refund
from tests.simulation.world import World

MINUTE = 60.0
HABITS = (
    "all", "all", "a part", "a part", "twice", "too much", "to himself", "to the house",
    "of another shop", "takes it back",
)  # fmt: skip
REFUSED = (404, 409, 422)


def customer_of(bill: Bill) -> Address:
    """Where this invoice's customer wants his money back."""
    return town.account(f"customer {bill.address.hex()}")


async def givers(world: World) -> None:
    """All merchants, until the quiet period begins."""
    while not world.faults.calm:
        await asyncio.sleep(MINUTE)
        for merchant in list(world.merchants):
            if strikes(world, "merchant_refunds", merchant.url):
                bills = [b for b in world.bills if b.merchant == merchant.number]
                if bills:
                    await _give_back(world, merchant, world.dice.pick("gives back", bills))


async def _give_back(world: World, merchant: Merchant, bill: Bill) -> None:
    habit = world.dice.pick("refund habit", HABITS)
    places = {
        (chain, symbol): world.brought_in(bill, chain, symbol)
        for chain in world.chains
        for symbol in town.REGISTERED
    }
    (chain, symbol), most = max(places.items(), key=lambda item: item[1])
    world.say(f"shop {merchant.number} gives back {bill.invoice_id}: {habit}")
    body: dict[str, Any] = {
        "invoice": bill.invoice_id, "address": checksum(customer_of(bill)),
        "chain": chain, "token": symbol,
    }  # fmt: skip
    if habit == "all" and world.dice.chance("names no token", 0.5):
        del body["chain"], body["token"]
    if habit in ("a part", "takes it back"):
        body["amount"] = _text(symbol, max(world.dice.between("refund", 0, most), 1))
    if habit == "too much":
        body["amount"] = _text(symbol, most + 1)
    if habit == "to himself":
        body["address"] = checksum(Address(merchant.destinations[chain]))
    if habit == "to the house":
        ours = (Address(world.treasury), Address(bill.address), town.token_address(symbol))
        body["address"] = checksum(world.dice.pick("of the house", ours))
    if habit == "of another shop":
        others = [m for m in world.merchants if m is not merchant]
        merchant = world.dice.pick("another shop", others or [merchant])
    whose = customer_of(bill) if body["address"] == checksum(customer_of(bill)) else None
    if whose and list_customer(world, bill, chain, symbol, whose) == "before":
        await asyncio.sleep(MINUTE)
    for _ in range(2 if habit == "twice" else 1):
        made = await _ask_for(world, merchant, bill, body)
        wrong = habit == "to the house" or merchant.number != bill.merchant
        if made is not None and wrong:
            world.violated("I3", f"a refund was promised that cannot be: {habit}, {body}")
    if habit == "takes it back" and made is not None:
        await asyncio.sleep(world.dice.seconds("takes back after", 0, 900))
        await take_back(world, merchant, made)


def _text(symbol: str, amount: int) -> str:
    """Whole units."""
    one = 10 ** town.DECIMALS[symbol]
    return f"{amount // one}.{amount % one:0{town.DECIMALS[symbol]}d}"


async def _ask_for(
    world: World, merchant: Merchant, bill: Bill, body: dict[str, Any]
) -> Refund | None:
    """Ask for it; what was promised, or nothing where it was refused."""
    address = bytes.fromhex(body["address"][2:])
    wish = Refund(merchant.number, bill, address)
    world.refunds.append(wish)
    world.counts["refunds asked for"] += 1
    once = f"refund-{world.counts['refunds asked for']}"
    status, made = await answer_of(world, "POST", "/v1/refunds", merchant.key, body, once=once)
    if status >= 400:
        world.refunds.remove(wish)
        world.counts["refunds refused"] += 1
        world.say(f"refund refused: {made.get('detail')}")
        if status not in REFUSED:
            world.violated("I13", f"a refund was answered {status}: {made}")
        return None
    world.counts["refunds promised"] += 1
    wish.id, wish.chain, wish.symbol = made["id"], made["chain"], made["token"]
    wish.amount = parse_units(made["amount"], town.DECIMALS[wish.symbol])
    world.say(f"refund {wish.id}: {wish.amount} {wish.symbol} on {wish.chain}, {made['status']}")
    asked = (body["invoice"], body["address"])
    if (made["invoice"], made["address"]) != asked or made["kind"] != "refund":
        world.violated("I13", f"asked for {body}, promised {made}")
    _within(world, wish)
    return wish


def _within(world: World, refund: Refund) -> None:
    """I3: what is promised and given of an invoice is not more than it brought in.

    What was credited may be gone from the chain where it was credited early, or history changed.
    """
    plan = next(p for p in world.plans if p.name == refund.chain)
    if plan.tiers or world.forked or world.taken:
        return
    brought = world.brought_in(refund.bill, refund.chain, refund.symbol)
    rows = world.books.execute(
        "SELECT amount FROM payouts WHERE kind = 'refund' AND invoice_id = ? AND chain = ?"
        " AND token = ? AND status NOT IN ('canceled', 'failed')",
        (refund.bill.invoice_id, refund.chain, refund.symbol),
    )
    promised = sum(int(row["amount"]) for row in rows)
    if promised > brought:
        text = f"{promised} {refund.symbol} are promised of {brought} that came in"
        world.violated("I3", f"refunds of {refund.bill.invoice_id}: {text}")


async def take_back(world: World, merchant: Merchant, refund: Refund) -> None:
    """The merchant cancels it, if it is not on its way."""
    path = f"/v1/refunds/{refund.id}/cancel"
    status, answer = await answer_of(
        world, "POST", path, merchant.key, {}, once=f"cancel-{refund.id}"
    )
    if status == 200:
        refund.canceled = answer["status"] == "canceled"
    elif status not in (404, 409):
        world.violated("I13", f"{path} answered {status}: {answer}")
    world.say(f"refund {refund.id} is taken back: {status}")
