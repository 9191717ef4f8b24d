"""Deposit keys that never leave an offline machine: the whole story with real processes."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from chain.anvil import Anvil, DevRpc
from tests.support.database import sqlite_url
from tests.support.world import open_world
from tests.system.twice import WithoutDepositSeed, bare_environment, sold_twice_at_one_address

pytestmark = pytest.mark.timeout(300)
FILE = "signed-0.jsonl"


@dataclass
class Cold(WithoutDepositSeed):
    """The keystore was written without the deposit seed."""

    keystore = "online.json"
    deposits = "presigned"


@dataclass
class Offline(Cold):
    """The machine with the seed: a keystore, and no configuration, database or chain."""

    def environment(self) -> dict[str, str]:
        return bare_environment()


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an offline machine has after its first signing: keystores and a file to carry over."""
    folder = tmp_path_factory.mktemp("offline")
    for command in (
        ("init",),
        ("wallets", "online-keystore", "-o", "online.json"),
        ("wallets", "presign", "--first", "0", "--count", "30", "--chains", "31337", "-o", FILE),
    ):
        subprocess.run(
            [sys.executable, "-m", "bursar", *command],
            cwd=folder,
            env=bare_environment(),
            check=True,
            capture_output=True,
        )
        (folder / "bursar.toml").unlink(missing_ok=True)  # signing needs no configuration
    return folder


@pytest.fixture
async def machines(
    signed: Path, tmp_path: Path, anvil: Anvil, dev_rpc: DevRpc
) -> AsyncIterator[tuple[Offline, Cold]]:
    shutil.copytree(signed, tmp_path / "offline")
    (tmp_path / "online").mkdir()
    for carried in ("online.json", FILE):
        shutil.copy(signed / carried, tmp_path / "online" / carried)
    async with aiohttp.ClientSession() as session:
        folder = tmp_path / "online"
        world = await open_world(folder, anvil, dev_rpc, session, sqlite_url(folder / "b.db"))
        fields = {k: getattr(world, k) for k in ("anvil", "rpc", "session", "payers", "tokens")}
        cold = Cold(folder, database=world.database, port=world.port, **fields)
        yield Offline(tmp_path / "offline", database="", **fields), cold
        if cold.process is not None:
            cold.kill()


async def sealed_off(offline: Offline, cold: Cold, first: int, count: int) -> Path:
    """Sign on the offline machine and carry the file over."""
    name = f"signed-{first}.jsonl"
    await offline.ok(
        "wallets", "presign", "--first", str(first), "--count", str(count),
        "--chains", "31337", "-o", name,
    )  # fmt: skip
    (cold.folder / name).write_bytes((offline.folder / name).read_bytes())
    return cold.folder / name


async def test_cold_keys__invoices_first_and_repeat_sweep_and_payout__exact(
    machines: tuple[Offline, Cold],
) -> None:
    offline, cold = machines
    assert json.loads((cold.folder / "online.json").read_text())["deposit_xpub"] is None
    file = cold.folder / FILE
    await cold.prepare_by_commands()
    assert "30 of them new" in await cold.ok("wallets", "import-presigned", str(file))
    assert "0 of them new" in await cold.ok("wallets", "import-presigned", str(file))
    cold.start()
    mining = asyncio.create_task(cold.mining())
    try:
        await _business(offline, cold)
    finally:
        mining.cancel()
    signatures = [json.loads(line) for line in file.read_text().splitlines()[1:-1]]
    log = cold.log
    for part in (s["signatures"]["31337"][key] for s in signatures[:3] for key in "rs"):
        assert part[2:] not in log
        assert str(int(part, 16)) not in log


async def _business(offline: Offline, cold: Cold) -> None:
    await cold.ready()
    alpha, _ = await sold_twice_at_one_address(cold)
    while (await alpha.api.raw("POST", "/v1/invoices", {"amount": "1", "currency": "USD"}))[
        0
    ] == 201:
        pass
    status, answer = await alpha.api.raw("POST", "/v1/invoices", {"amount": "1", "currency": "USD"})
    assert (status, answer["code"]) == (503, "unavailable")
    _, told, _ = await cold.bursar("doctor")
    assert "0 of 30 are left" in told
    more = await sealed_off(offline, cold, 30, 5)
    await cold.ok("wallets", "import-presigned", str(more))
    invoices = await alpha.api.all("/v1/invoices")
    last = await alpha.api.post("/v1/invoices", {"amount": "1", "currency": "USD"})
    addresses = [i["address"] for i in (*invoices, last)]
    assert len(set(addresses)) == len(addresses)
    assert addresses[-1] == json.loads(more.read_text().splitlines()[1])["address"]


async def test_import__changed_line__named_and_nothing_is_imported(
    machines: tuple[Offline, Cold],
) -> None:
    offline, cold = machines
    file = cold.folder / FILE
    await cold.ok("migrate")
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines[:2], lines[2].replace('"y_parity":0', '"y_parity":1', 1)
                             if '"y_parity":0' in lines[2]
                             else lines[2].replace('"y_parity":1', '"y_parity":0', 1),
                             *lines[3:]]))  # fmt: skip
    status, _, err = await cold.bursar("wallets", "import-presigned", str(file))
    assert status == 1
    assert f"{file}:3" in err
    assert "Traceback" not in err
    file.write_text("".join(lines))
    assert "30 of them new" in await cold.ok("wallets", "import-presigned", str(file))
    # The whole keystore on the daemon would undo what all this is for.
    (cold.folder / "online.json").write_bytes((offline.folder / "keystore.json").read_bytes())
    status, _, err = await cold.bursar("run")
    assert status == 1
    assert "must stay offline" in err
