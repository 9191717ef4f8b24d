"""The daemon as a real process: ready soon, told to stop it stops, killed it comes back."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from chain.anvil import Anvil, AnvilOptions, DevRpc
from tests.support.postgres import free_port
from tests.support.world import MNEMONIC, World, open_world
from wallets.keyring import keyring_from_mnemonic

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
async def world(tmp_path: Path, anvil: Anvil, dev_rpc: DevRpc) -> AsyncIterator[World]:
    """Configured, not started; the database does not exist yet."""
    async with aiohttp.ClientSession() as session:
        url = f"sqlite+aiosqlite:///{tmp_path / 'bursar.db'}"
        made = await open_world(tmp_path, anvil, dev_rpc, session, url)
        try:
            yield made
        finally:
            if made.process is not None:
                made.kill()


async def readyz(world: World) -> tuple[int, dict[str, Any]]:
    async with world.session.get(world.base + "/readyz") as response:
        body = await response.json()
        return response.status, {check["name"]: check for check in body["checks"]}


async def catching_sigterm(world: World) -> bool:
    """Whether the process has a handler of its own (proc(5), SigCgt)."""
    assert world.process is not None
    status = Path(f"/proc/{world.process.pid}/status").read_text()  # noqa: ASYNC240 - a line of procfs
    (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) & 1 << (signal.SIGTERM - 1))


async def answering(world: World) -> bool:
    assert world.process is not None
    assert world.process.poll() is None, world.log[-3000:]
    try:
        async with world.session.get(world.base + "/livez") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


async def test_f29_sigterm__event_stream_and_long_poll_open__exit_0_in_time(world: World) -> None:
    world.start()
    await world.ready()
    merchant = await world.merchant("Alpha", 1)
    invoice = await merchant.api.post("/v1/invoices", {"amount": "5", "currency": "USD"})
    waiting = asyncio.create_task(
        merchant.api.raw("GET", f"/v1/invoices/{invoice['id']}?wait=60&since=new")
    )
    stream = await world.session.get(f"{world.base}/i/{invoice['id']}/events")
    await asyncio.sleep(0.3)
    assert not waiting.done()
    began = asyncio.get_running_loop().time()
    assert await world.terminate(20) == 0
    assert asyncio.get_running_loop().time() - began < 15
    stream.close()
    waiting.cancel()
    assert '"stopped"' in world.log
    assert "Traceback" not in world.log


async def test_kill_9__twice__ready_again_and_nothing_forgotten(world: World) -> None:
    world.start()
    await world.ready()
    merchant = await world.merchant("Alpha", 1)
    invoice = await merchant.api.post("/v1/invoices", {"amount": "5", "currency": "USD"})
    for _ in range(2):
        world.kill()
        world.start()
        await world.ready()
    await world.pay(invoice, "USDC", "5")
    await world.mine(3)
    await world.invoice_status(merchant, invoice, "paid")


async def test_f29_sigterm_twice__hurries_and_exits_0(world: World) -> None:
    world.start()
    await world.ready()
    assert world.process is not None
    world.process.send_signal(signal.SIGINT)
    assert await world.terminate(20) == 0


async def test_f29_sigterm__while_starting__exit_0(world: World) -> None:
    for seconds in (0.0, 0.5, 1.5):
        world.start()
        await world.until(lambda: catching_sigterm(world), "it has a handler", 20)
        await asyncio.sleep(seconds)  # not to wait for anything: to hit another moment
        assert await world.terminate(20) == 0, world.log[-2000:]
    assert "Traceback" not in world.log


async def test_f09_all_providers_down_at_the_start__not_ready_then_catches_up(
    world: World, tmp_path: Path
) -> None:
    port = free_port()
    world.write_config(
        **{
            world.anvil.rpc_url: f"http://127.0.0.1:{port}",
            "confirmations = 3": "confirmations = 1",
        }
    )
    text = (tmp_path / "bursar.toml").read_text()
    (tmp_path / "bursar.toml").write_text(
        text.split("  [[chains.tokens]]")[0] + text[text.index("[invoices]") :]
    )
    world.start()
    await world.until(lambda: answering(world), "it listens", 20)
    status, checks = await readyz(world)
    assert status == 503
    assert not checks["chain anvil"]["ok"]
    assert "connection failed" in checks["chain anvil"]["reason"]
    assert checks["database"]["ok"]
    late = Anvil(AnvilOptions(port=port)).start()
    try:
        await world.ready(20)
    finally:
        late.stop()
    assert await world.terminate() == 0


async def test_gateway__no_secret_key_anywhere__opens_invoices(world: World) -> None:
    xpub = keyring_from_mnemonic(MNEMONIC).deposit_xpub
    world.write_config(**{'signer = "mnemonic"': f'signer = "keystore"\ndeposit_xpub = "{xpub}"'})
    environment = world.environment()
    del environment["BURSAR_MNEMONIC"]
    with (world.folder / "daemon.log").open("ab") as log:
        world.process = subprocess.Popen(  # noqa: ASYNC220 - a fork, no wait
            [sys.executable, "-m", "bursar", "run", "--role", "gateway"],
            env=environment,
            cwd=world.folder,
            stdout=log,
            stderr=log,
        )
    await world.ready()
    _, checks = await readyz(world)
    assert set(checks) == {"database", "tasks"}
    merchant = await world.merchant("Alpha", 1)
    invoice = await merchant.api.post("/v1/invoices", {"amount": "5", "currency": "USD"})
    first = keyring_from_mnemonic(MNEMONIC).deposit_signer(0).address
    assert bytes.fromhex(invoice["address"][2:]) == first
    assert await world.terminate() == 0


async def test_roles__as_three_processes_of_one_configuration__do_the_job(world: World) -> None:
    """A role without the API takes another port where the configured one is taken."""
    world.start("--role", "gateway")
    await world.ready()
    gateway, others = world.process, []
    for role in ("watcher", "settlement"):
        world.start("--role", role)
        others.append(world.process)
    world.process = gateway
    try:
        merchant = await world.merchant("Alpha", 1)
        invoice = await merchant.api.post("/v1/invoices", {"amount": "5", "currency": "USD"})

        async def following() -> bool:
            with_cursor = await world.session.get(world.base + "/metrics")
            return 'watcher_cursor_block{chain="anvil"} 0.0' not in await with_cursor.text()

        await world.until(following, "the watcher has begun", 30)
        await world.pay(invoice, "USDC", "5")
        await world.mine(3)
        await world.invoice_status(merchant, invoice, "paid")
    finally:
        for process in others:
            assert process is not None
            process.terminate()
        statuses = [await asyncio.to_thread(p.wait, 20) for p in others if p is not None]
    assert statuses == [0, 0], world.log[-3000:]
    assert await world.terminate() == 0


async def test_f22_decimals__differ_from_the_chain__refused_in_one_line(world: World) -> None:
    world.write_config(**{"decimals = 18": "decimals = 6"})
    environment = {**world.environment(), "BURSAR_LOG__LEVEL": "error"}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "bursar", "run"],
        env=environment,
        cwd=world.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "token DAI" in done.stderr
    assert "decimals() is 18 on chain, 6 in the configuration" in done.stderr


async def test_metrics__of_a_running_daemon__parse_and_move(world: World) -> None:
    world.start()
    await world.ready()

    async def scraped() -> dict[str, list[Any]] | None:
        async with world.session.get(world.base + "/metrics") as response:
            families = list(text_string_to_metric_families(await response.text()))
        found = {family.name: family.samples for family in families}
        moving = found["bursar_watcher_last_success_timestamp_seconds"][0].value
        return found if moving > 0 and found["bursar_http_request_duration_seconds"] else None

    found = await world.until(scraped, "the watcher reports", 20)
    up = {s.labels["task"]: s.value for s in found["bursar_task_up"]}
    assert set(up) >= {"http", "figures", "webhooks", "expiry", "watcher:anvil", "settlement:anvil"}
    assert set(up.values()) == {1.0}
    assert found["bursar_chain_head_block"]
    assert await world.terminate() == 0
