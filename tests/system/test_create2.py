"""No deposit keys at all: the whole road with real processes, from deployment to reconcile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from pydantic import SecretStr

from chain.anvil import Anvil, DevRpc
from config.clock import SystemEntropy
from config.credentials import Secrets
from config.models import Settings
from config.units import checksum, parse_address
from tests.support.database import sqlite_url
from tests.support.world import open_world
from tests.system.twice import PASSPHRASE, WithoutDepositSeed, sold_twice_at_one_address
from wallets.create2 import CloneDeriver
from wallets.keyring import new_keystore
from wallets.keystore import read_clear

pytestmark = pytest.mark.timeout(300)


@dataclass
class Keyless(WithoutDepositSeed):
    """There are no deposit keys."""

    keystore = "keystore.json"
    deposits = "create2"


@pytest.fixture
async def keyless(tmp_path: Path, anvil: Anvil, dev_rpc: DevRpc) -> AsyncIterator[Keyless]:
    async with aiohttp.ClientSession() as session:
        world = await open_world(tmp_path, anvil, dev_rpc, session, sqlite_url(tmp_path / "b.db"))
        fields = {k: getattr(world, k) for k in ("anvil", "rpc", "session", "payers", "tokens")}
        made = Keyless(tmp_path, database=world.database, port=world.port, **fields)
        yield made
        if made.process is not None:
            made.kill()


async def test_create2__deploy_pay_sweep_payout_and_again__exact(keyless: Keyless) -> None:
    settings = Settings.model_validate(
        {"wallets": {"keystore": str(keyless.folder / "keystore.json"), "deposits": "create2"}}
    )
    secrets = Secrets(keystore_passphrase=SecretStr(PASSPHRASE))
    ring = new_keystore(settings, secrets, SystemEntropy(), cost=2**4)
    assert read_clear(settings.wallets.keystore).deposit_xpub is None
    for lane in ("sweeps", "payouts"):
        sponsor = checksum(ring.sponsor(lane).address)  # type: ignore[arg-type]
        await keyless.rpc.call("anvil_setBalance", sponsor, hex(100 * 10**18))
    await keyless.ok("migrate")
    told = json.loads(await keyless.ok("contracts", "deploy", "--chain", "anvil", "--json"))
    there = {c["contract"]: c["address"] for c in told["contracts"] if c["new"]}
    deriver = CloneDeriver(*(parse_address(there[n]) for n in ("DepositFactory", "Forwarder")))
    keyless.start()
    mining = asyncio.create_task(keyless.mining())
    try:
        await keyless.ready()
        alpha, address = await sold_twice_at_one_address(keyless)
        # Another process hands out what comes next.
        line = json.dumps({"amount": "1", "currency": "USD"})
        (keyless.folder / "more.jsonl").write_text(line + "\n")
        more = json.loads(await keyless.ok("invoices", "import", "more.jsonl", "--json"))
        last = await alpha.api.post("/v1/invoices", {"amount": "1", "currency": "USD"})
    finally:
        mining.cancel()
    given = [address, more[0]["address"], last["address"]]
    indexes = {checksum(deriver.address(i)): i for i in range(4_000)}
    found = [indexes[a] for a in given]
    assert found == sorted(set(found))
    assert found[0] == 0
    # Other code where the factory should be is found out.
    await keyless.rpc.call("anvil_setCode", there["DepositFactory"], "0x00")
    status, told, _ = await keyless.bursar("doctor")
    assert status == 1
    assert f"anvil depositfactory: other code is at {there['DepositFactory']}" in told
    assert "the factory was seen, the chain is offered" in told
