"""Merchants who open invoices, and customers who pay them in every way people do."""

from __future__ import annotations

import asyncio
from typing import Any

from eth_utils.crypto import keccak

from chain.abi import encode_call
from chain.erc20 import encode_transfer
from config.units import Address, Amount, checksum
from tests.simulation import town
from tests.simulation.chain import proving
from tests.simulation.chain.transactions import Tx
from tests.simulation.memory import Bill, Merchant
from tests.simulation.world import World

RETRY_SECONDS = 5.0


async def answer_of(
    world: World, method: str, path: str, key: str, body: Any = None, *, once: str = "",
    exactly: bool = False,
) -> tuple[int, Any]:  # fmt: skip
    """Status and body of the first answer that decides something; ``once`` as for :func:`ask`.

    :param exactly: with this key, whether its merchant has another by now or not.
    """
    headers = {"Idempotency-Key": once} if once else {}
    while True:
        server = world.serving()
        found = None
        if server is not None:
            sent = key if exactly else world.key_now(key)
            found = await server.call(method, path, sent, body, **headers)
        if found is not None:
            status, answer = found
            world.counts[f"http {status // 100}xx"] += 1
            if status == 500:
                world.violated("I13", f"{method} {path} answered 500")
            refused = status == 401 and not exactly and await _has_another(world, sent)
            if status not in (429, 503) and not refused and not _at_work(status, answer):
                return status, answer
        await asyncio.sleep(RETRY_SECONDS)


async def _has_another(world: World, key: str) -> bool:
    """Whether a merchant's request that was refused is to be sent with another key."""
    if world.key_now(key) != key or key in world.leaving:
        return True
    owner = next((m for m in world.merchants if m.key == key), None)
    if owner is not None and world.forgot:  # a key that the backup does not have
        await issue_key(world, owner, others=True)
        return True
    return False


async def issue_key(world: World, merchant: Merchant, *, others: bool) -> None:
    """The operator gives a merchant a key; where an answer is lost, one more.

    :param others: refuse all that he had.
    """
    if others:
        world.leaving.add(merchant.key)
    path = f"/v1/admin/merchants/{merchant.id}/api-keys"
    made: dict[str, Any] = {"api_key": None}
    while made["api_key"] is None:
        number = world.counts["keys issued"] = world.counts["keys issued"] + 1
        made = await ask(
            world, "POST", path, town.ADMIN_KEY, {"revoke_others": others}, once=f"issue-{number}"
        )
    world.replace_key(merchant, made["api_key"], made["id"])


def _at_work(status: int, answer: Any) -> bool:
    """The first request with this key has no answer yet."""
    return status == 409 and answer.get("code") == "request_in_flight"


async def ask(
    world: World, method: str, path: str, key: str, body: Any = None, *, once: str = "",
    lost: bool = False,
) -> Any:  # fmt: skip
    """Ask until there is an answer; ``once`` is the idempotency key of a POST.

    :param lost: the object may have been lost with a database.
    """
    while True:
        status, answer = await answer_of(world, method, path, key, body, once=once)
        if status < 400:
            return answer
        if lost and status == 404:
            return None
        # Signed offline, and the forwarder's code was not seen on that chain yet.
        soon = status == 422 and "is not available" in str(answer)
        if status != 409 and not (soon and world.deposit_kind == "presigned"):
            world.violated("I13", f"{method} {path} answered {status}: {answer}")
            return None
        await asyncio.sleep(RETRY_SECONDS)


async def open_shop(world: World, number: int) -> Merchant:
    """A merchant with a key and destinations."""
    merchant = Merchant(number, url=f"https://shop{number}.example/hooks")
    world.merchants.append(merchant)
    made = None
    while made is None or made.get("api_key") is None:
        # The key is shown once: where its answer was lost, another merchant is made.
        merchant.number += 100 if made is not None else 0
        made = await ask(
            world, "POST", "/v1/admin/merchants", town.ADMIN_KEY,
            {"name": f"shop {merchant.number}"}, once=f"merchant-{merchant.number}",
        )  # fmt: skip
    merchant.id, merchant.key = made["id"], made["api_key"]
    for chain in world.chains:
        merchant.destinations[chain] = town.account(f"payout {number} {chain}")
        await want_money_at(world, merchant, chain, "destination")
    return merchant


async def want_money_at(world: World, merchant: Merchant, chain: str, once: str) -> None:
    """Tell the gateway where this merchant is paid on a chain from now on."""
    body = {"chain": chain, "address": checksum(Address(merchant.destinations[chain]))}
    await ask(
        world, "POST", "/v1/payout-destinations", merchant.key, body,
        once=f"{once}-{merchant.number % 100}-{chain}",
    )  # fmt: skip


async def open_invoice(world: World, merchant: Merchant, place: int) -> Bill:
    """Through the door, again and again under one idempotency key until it answers."""
    dice = world.dice
    micros = dice.between("price", 1_000, 500_000_000)
    bill = Bill(merchant.number, f"order {merchant.number}-{place}", micros)
    body: dict[str, Any] = {
        "amount": f"{micros // 10**6}.{micros % 10**6:06d}",
        "currency": "USD",
        "reference": bill.reference,
    }
    if dice.chance("few options", 0.5):
        chain = dice.pick("option chain", sorted(world.chains))
        body["options"] = [{"chain": chain, "token": "USDC"}]
    made = await ask(
        world, "POST", "/v1/invoices", merchant.key, body, once=f"invoice-{merchant.number}-{place}"
    )
    assert made is not None
    bill.invoice_id, bill.created_at = made["id"], world.now()
    bill.address = bytes.fromhex(made["address"][2:])
    bill.options = tuple((o["chain"], o["token"]) for o in made["options"])
    if bill.address in world.by_address:
        world.violated("I3", f"address {made['address']} is given to two invoices")
    world.bills.append(bill)
    world.by_address[bill.address] = bill
    world.say(f"invoice {bill.invoice_id} of shop {merchant.number}")
    return bill


def units(symbol: str, micros: int) -> int:
    return micros * 10 ** (town.DECIMALS[symbol] - 6)


def send(
    world: World, chain: str, to: bytes, data: bytes, bills: list[Bill], sender: bytes = town.WHALE
) -> bytes:
    """Into the mempool of one chain; the transaction's hash."""
    world.counts["payments sent"] += 1
    name = f"tx|{world.seed}|{world.counts['payments sent']}"
    simulated = world.chains[chain]
    tx = Tx(bytes(keccak(text=name)), sender, to, data, not_before=world.now())
    if simulated.proofs:
        tx = proving.named(tx)
    for bill in bills:
        bill.transactions.append((chain, tx.hash))
    world.stir()
    simulated.advance(world.now())
    simulated.mempool[tx.hash] = tx
    return tx.hash


def pay(world: World, bill: Bill, chain: str, symbol: str, amount: int) -> None:
    """A plain transfer."""
    data = encode_transfer(bill.address, Amount(amount))
    send(world, chain, town.token_address(symbol), data, [bill])


def disperse(world: World, chain: str, symbol: str, parts: list[tuple[Bill, int]]) -> None:
    """Several payments in one transaction, from a contract."""
    data = encode_call(
        "disperse(address,address[],uint256[])",
        town.token_address(symbol),
        [bill.address for bill, _ in parts],
        [amount for _, amount in parts],
    )
    send(world, chain, town.DISPERSER, data, [bill for bill, _ in parts])


async def customer(world: World, merchant: Merchant, place: int) -> None:
    """One order from invoice to whatever its customer does."""
    bill = await open_invoice(world, merchant, place)
    dice = world.dice
    chain, symbol = dice.pick("pays with", bill.options)
    await asyncio.sleep(dice.pick("hesitates", [0.0, 0.5, 20.0, 300.0]))
    whole = units(symbol, bill.micros)
    habit = dice.pick("habit", HABITS)
    world.say(f"customer of {bill.invoice_id}: {habit}")
    world.counts[f"habit {habit}"] += 1
    await _behave(world, bill, chain, symbol, whole, habit)


HABITS = (
    "exact", "exact", "exact", "exact", "partial", "in two parts", "over", "late", "very late",
    "wrong token", "fake token", "zero", "twice in one", "with others", "dust", "malformed",
    "other chain", "cancels", "leaves", "one unit short",
)  # fmt: skip


async def _behave(
    world: World, bill: Bill, chain: str, symbol: str, whole: int, habit: str
) -> None:
    match habit:
        case "exact":
            pay(world, bill, chain, symbol, whole)
        case "one unit short":
            pay(world, bill, chain, symbol, max(whole - 1, 1))
        case "partial":
            pay(world, bill, chain, symbol, max(whole // 3, 1))
        case "in two parts":
            pay(world, bill, chain, symbol, whole - whole // 2)
            await asyncio.sleep(world.dice.seconds("between parts", 0, 2400))
            pay(world, bill, chain, symbol, max(whole // 2, 1))
        case "over":
            pay(world, bill, chain, symbol, whole + whole // 2 + 1)
        case "late":
            await asyncio.sleep(world.dice.seconds("late", 1790, 1830))
            pay(world, bill, chain, symbol, whole)
        case "very late":
            await asyncio.sleep(world.dice.seconds("very late", 7_180, 7_300))
            pay(world, bill, chain, symbol, whole)
        case "wrong token":
            pay(world, bill, chain, world.dice.pick("wrong", ["USDT", "DAI"]), whole)
        case "fake token":
            pay(world, bill, chain, "FAKE", whole)
            await asyncio.sleep(60)
            pay(world, bill, chain, symbol, whole)
        case "zero":
            data = encode_call(
                "poison(address,address,address[])",
                town.token_address(symbol), town.WHALE, [bill.address],
            )  # fmt: skip
            send(world, chain, town.POISONER, data, [])
        case "twice in one":
            disperse(world, chain, symbol, [(bill, whole - whole // 3), (bill, whole // 3)])
        case "with others":
            others = [b for b in world.bills[-6:] if b.address]
            disperse(world, chain, symbol, [(b, units(symbol, b.micros)) for b in others])
        case "dust":
            pay(world, bill, chain, symbol, units(symbol, 1))
        case "malformed":
            shape = world.dice.between("shape", 0, 6)
            data = encode_call(
                "malformed(uint256,address,address,uint256)", shape, town.WHALE, bill.address, whole
            )
            send(world, chain, town.POISONER, data, [])
            pay(world, bill, chain, symbol, whole)
        case "other chain":
            pay(world, bill, world.dice.pick("other chain", sorted(world.chains)), symbol, whole)
        case "cancels":
            merchant = next(m for m in world.merchants if m.number == bill.merchant)
            path = f"/v1/invoices/{bill.invoice_id}/cancel"
            await ask(
                world, "POST", path, merchant.key, {}, once=f"cancel-{bill.invoice_id}", lost=True
            )
            pay(world, bill, chain, symbol, whole)
