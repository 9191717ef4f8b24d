"""Treasury signer and sponsors in a key service: the whole road with the daemon as a process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from pydantic import SecretStr

from chain.anvil import Anvil, DevRpc
from config.clock import SystemEntropy
from config.credentials import Secrets
from config.settings import parse_settings
from tests.support.database import sqlite_url
from tests.support.kms import CREDENTIALS, REGION, LocalKms, local_kms, refusal, slow
from tests.support.tokens import balance_of
from tests.support.world import ADMIN_KEY, World, open_world
from wallets.keyring import new_keystore

PASSPHRASE = "a passphrase for tests only"
FEW_ROUNDS = 2**4
KEYS = ("treasury", "sponsor_sweeps", "sponsor_payouts")


@dataclass
class Served(World):
    """A daemon whose deposit seed is in a keystore, and whose other keys are nowhere near."""

    kms: LocalKms | None = None
    keys: dict[str, str] | None = None

    def environment(self) -> dict[str, str]:
        assert self.kms is not None
        assert self.keys is not None
        kept = {k: v for k, v in os.environ.items() if not k.startswith("BURSAR_")}
        return {
            **kept,
            **self.kms.environment(),
            "BURSAR_CONFIG": str(self.folder / "bursar.toml"),
            "BURSAR_ADMIN_KEY": ADMIN_KEY,
            "BURSAR_KEYSTORE_PASSPHRASE": PASSPHRASE,
            "BURSAR_WALLETS__SIGNER": "kms",
            "BURSAR_WALLETS__KMS__REGION": REGION,
            **{f"BURSAR_WALLETS__KMS__{n.upper()}__KEY": key for n, key in self.keys.items()},
        }


@pytest.fixture
async def served(tmp_path: Path, anvil: Anvil, dev_rpc: DevRpc) -> AsyncIterator[Served]:
    settings = parse_settings(
        {"wallets": {"keystore": str(tmp_path / "keystore.json")}}, offline=True
    )
    secrets = Secrets(keystore_passphrase=SecretStr(PASSPHRASE))
    new_keystore(settings, secrets, SystemEntropy(), cost=FEW_ROUNDS)
    async with aiohttp.ClientSession() as session:
        with local_kms() as kms:
            world = await open_world(
                tmp_path, anvil, dev_rpc, session, sqlite_url(tmp_path / "b.db")
            )
            parts = {k: getattr(world, k) for k in ("anvil", "rpc", "session", "payers", "tokens")}
            made = Served(
                tmp_path, database=world.database, port=world.port, **parts,
                kms=kms, keys={name: kms.key() for name in KEYS},
            )  # fmt: skip
            yield made
            if made.process is not None:
                made.kill()


async def test_f30_kms__refuses_throttles_and_dawdles__paid_once_to_the_unit(
    served: Served,
) -> None:
    assert served.kms is not None
    await served.prepare_by_commands()
    _, told, _ = await served.bursar("doctor")
    assert "signer: kms opens, signs as 0x" in told
    served.start()
    mining = asyncio.create_task(served.mining())
    try:
        await served.ready()
        merchant = await served.merchant("Alpha", 1)
        invoice = await merchant.api.post("/v1/invoices", {"amount": "10", "currency": "USD"})
        served.kms.faults[:] = [
            refusal("AccessDeniedException"),
            refusal("ThrottlingException"),
            slow(1),
            refusal("KMSInternalException", 500),
            refusal("DisabledException"),
        ]
        await served.pay(invoice, "USDC", "10")
        await served.invoice_status(merchant, invoice, "paid")
        await served.admin.post("/v1/admin/payouts/run", {})
        await served.settled([merchant])
    finally:
        mining.cancel()
    assert not served.kms.faults, "each of them was met"
    assert served.kms.high_s > 0
    usdc = served.tokens["USDC"].address
    assert await balance_of(served.rpc, usdc, merchant.destination) == 10_000000
    assert "AccessDeniedException" in served.log
    for secret in (*CREDENTIALS.values(), PASSPHRASE):
        assert secret not in served.log
