"""The main job, through the contract alone: money in, confirmed, booked, paid out once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from chain.anvil import Anvil, DevRpc
from tests.support.tokens import balance_of
from tests.support.world import Merchant, Receiver, World, running_world

KILLS = 4
"""Of one daemon, by database; ``tests/system/crash`` has more of them, and each point by name."""

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def world(
    tmp_path: Path, anvil: Anvil, dev_rpc: DevRpc, database_url: str, request: pytest.FixtureRequest
) -> AsyncIterator[World]:
    """For the main job itself prepared as a user does it."""
    by_commands = "main_job" in request.node.name
    async with running_world(
        tmp_path, anvil, dev_rpc, database_url, by_commands=by_commands
    ) as made:
        yield made


async def paid_on_chain(world: World, merchant: Merchant, symbol: str) -> int:
    return await balance_of(world.rpc, world.tokens[symbol].address, merchant.destination)


async def reconciled(world: World) -> None:
    status, out, err = await world.bursar("reconcile", "--json")
    assert status == 0, (out, err)


async def open_invoice(merchant: Merchant, amount: str, **more: object) -> Any:
    return await merchant.api.post("/v1/invoices", {"amount": amount, "currency": "USD", **more})


async def test_main_job__three_tokens_split_and_over__every_unit_arrives_once(
    world: World,
) -> None:
    receiver = Receiver()
    await receiver.start()
    alpha = await world.merchant("Alpha", 1)
    beta = await world.merchant("Beta", 2)
    endpoint = await alpha.api.post("/v1/webhook-endpoints", {"url": receiver.url})
    receiver.secret = endpoint["secret"]
    receiver.fail_next = 1

    exact = await open_invoice(alpha, "12.50", reference="order-1")
    split = await open_invoice(alpha, "30")
    over = await open_invoice(beta, "7.000001")
    wrong = await open_invoice(beta, "5")
    await world.pay(exact, "USDC", "12.5")
    await world.pay(split, "USDT", "10")
    await world.pay(over, "DAI", "8.000000000000000001")
    await world.pay(wrong, "FAKE", "5")
    await world.invoice_status(alpha, split, "partially_paid")
    await world.pay(split, "USDT", "20", payer=2)

    paid = await world.invoice_status(alpha, exact, "paid")
    assert paid["exceptions"] == []
    assert [p["status"] for p in paid["payments"]] == ["confirmed"]
    await world.invoice_status(alpha, split, "paid")
    overpaid = await world.invoice_status(beta, over, "paid")
    assert overpaid["exceptions"] == ["overpaid"]
    ignored = await beta.api.get(f"/v1/invoices/{wrong['id']}")
    assert [(p["status"], p["reason"]) for p in ignored["payments"]] == [
        ("ignored", "unsupported_token")
    ]
    await reconciled(world)

    await world.admin.post("/v1/admin/payouts/run", {})
    await world.settled([alpha, beta])
    assert await paid_on_chain(world, alpha, "USDC") == 12_500000
    assert await paid_on_chain(world, alpha, "USDT") == 30_000000
    assert await paid_on_chain(world, beta, "DAI") == 8 * 10**18 + 1
    payouts = await alpha.api.all("/v1/payouts")
    assert Counter((p["token"], p["amount"], p["status"]) for p in payouts) == Counter(
        [("USDC", "12.50", "paid"), ("USDT", "30.00", "paid")]
    )
    done = await alpha.api.get(f"/v1/invoices/{exact['id']}")
    assert done["settlement"]["status"] == "paid"
    await reconciled(world)

    async def told() -> bool:
        return receiver.types(exact["id"])[-1:] == ["invoice.paid"] and all(
            receiver.types(p["id"])[-1:] == ["payout.paid"] for p in payouts
        )

    await world.until(told, "webhooks are delivered")
    assert receiver.types(exact["id"]) == [
        "invoice.created",
        "invoice.processing",
        "invoice.paid",
    ] or (
        # Seen and final may fall into one pass when the daemon is behind.
        receiver.types(exact["id"]) == ["invoice.created", "invoice.paid"]
    )
    assert receiver.rejected == 0
    await receiver.stop()
    assert await world.terminate() == 0


async def test_f13_kill_9__at_random_moments_while_money_flows__exact(world: World) -> None:
    merchants = [await world.merchant(f"M{i}", i) for i in range(3)]
    moments = random.Random(20)
    expected: Counter[tuple[int, str]] = Counter()
    for round_ in range(KILLS):
        for index, merchant in enumerate(merchants):
            invoice = await open_invoice(merchant, "10")
            symbol = ("USDC", "USDT", "DAI")[(index + round_) % 3]
            await world.pay(invoice, symbol, "10", payer=index + 1)
            expected[(index, symbol)] += world.tokens[symbol].units("10")
        await world.admin.post("/v1/admin/payouts/run", {})
        await asyncio.sleep(moments.uniform(0.1, 2.5))
        world.kill()
        await asyncio.sleep(moments.uniform(0, 0.5))
        world.start()
        await world.ready()

    async def due() -> bool:
        for merchant in merchants:
            payments = await merchant.api.all("/v1/payments")
            if len(payments) != KILLS or any(p["status"] != "confirmed" for p in payments):
                return False
        return True

    await world.until(due, "every payment is confirmed")
    await world.admin.post("/v1/admin/payouts/run", {})
    await world.settled(merchants)
    for index, merchant in enumerate(merchants):
        for symbol in ("USDC", "USDT", "DAI"):
            assert await paid_on_chain(world, merchant, symbol) == expected[(index, symbol)]
    await reconciled(world)


async def test_sigterm__while_paying__exit_0_and_the_next_start_finishes(world: World) -> None:
    merchant = await world.merchant("Alpha", 1)
    invoice = await open_invoice(merchant, "25")
    await world.pay(invoice, "USDC", "25")
    await world.invoice_status(merchant, invoice, "paid")
    await world.admin.post("/v1/admin/payouts/run", {})
    assert await world.terminate() == 0
    world.start()
    await world.ready()
    await world.settled([merchant])
    assert await paid_on_chain(world, merchant, "USDC") == 25_000000
    await reconciled(world)
