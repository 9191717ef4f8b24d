"""Commands that move or compare money, with and without a daemon beside them."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chain.anvil import Anvil, DevRpc
from tests.support.tokens import balance_of, send, transfer_data
from tests.support.world import World, running_world

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def world(tmp_path: Path, anvil: Anvil, dev_rpc: DevRpc) -> AsyncIterator[World]:
    url = f"sqlite+aiosqlite:///{tmp_path / 'bursar.db'}"
    async with running_world(tmp_path, anvil, dev_rpc, url) as made:
        yield made


async def test_payouts_run__without_a_daemon__settles_here_and_once(world: World) -> None:
    merchant = await world.merchant("Alpha", 1)
    invoice = await merchant.api.post("/v1/invoices", {"amount": "12.50", "currency": "USD"})
    await world.pay(invoice, "USDC", "12.5")
    await world.invoice_status(merchant, invoice, "paid")
    assert await world.terminate() == 0

    planned = json.loads(await world.ok("payouts", "run", "--dry-run", "--json"))
    assert [(p["merchant"], p["amount"], p["token"]) for p in planned["payouts"]] == [
        (merchant.id, "12.50", "USDC")
    ]
    assert planned["gas"][0]["payouts"] == 1
    assert await balance_of(world.rpc, world.tokens["USDC"].address, merchant.destination) == 0

    status, out, err = await world.bursar("payouts", "run", "--json", seconds=200)
    assert status == 0, (out, err)
    assert [p["status"] for p in json.loads(out)["payouts"]] == ["paid"]
    paid = await balance_of(world.rpc, world.tokens["USDC"].address, merchant.destination)
    assert paid == 12_500000
    again = json.loads(await world.ok("payouts", "run", "--json"))
    assert again["payouts"] == []
    compared = json.loads(await world.ok("reconcile", "--json"))
    assert compared["agrees"]

    world.start()
    await world.ready()
    rescanned = await world.ok("rescan", "--chain", "anvil", "--from", "1")
    assert "again" in rescanned
    balances = (await merchant.api.get("/v1/balances"))["data"]
    assert {b["available"] for b in balances} == {"0.00"}


async def test_payouts_run__beside_a_daemon__is_handed_over(world: World) -> None:
    merchant = await world.merchant("Alpha", 1)
    invoice = await merchant.api.post("/v1/invoices", {"amount": "3", "currency": "USD"})
    await world.pay(invoice, "DAI", "3")
    await world.invoice_status(merchant, invoice, "paid")
    assert "accepted by the running daemon" in await world.ok("payouts", "run")
    status, out, err = await world.bursar("payouts", "run", "--merchant", "mer_nobody")
    assert status == 1
    assert len(err.splitlines()) == 1, (out, err)
    await world.settled([merchant])


async def test_reconcile__a_transfer_past_the_books__exit_1_and_named(world: World) -> None:
    shown = json.loads(await world.ok("wallets", "show", "--json"))
    treasury = bytes.fromhex(shown["treasury"][2:])
    token = world.tokens["USDC"]
    assert (await world.bursar("reconcile"))[0] == 0
    sent = await send(world.rpc, world.payers[1], token.address, transfer_data(treasury, 7))
    block = int((await world.rpc.call("eth_getTransactionReceipt", sent))["blockNumber"], 16)

    async def final() -> bool:
        async with world.session.get(world.base + "/metrics") as response:
            found = re.search(r'watcher_cursor_block\{chain="anvil"\} (\d+)', await response.text())
        return found is not None and int(found[1]) > block + 3

    await world.until(final, "the watcher has passed it", 60)
    status, out, _ = await world.bursar("reconcile", "--json")
    assert status == 1
    (chain,) = json.loads(out)["chains"]
    wrong = {(row["account"], row["token"], row["difference"]) for row in chain["accounts"]}
    assert ("treasury", "USDC", "0.000007") in wrong
    assert any(" came from 0x" in cause for cause in chain["causes"]), chain["causes"]
