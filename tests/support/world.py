"""A daemon as a user runs it: a real process, spoken to through its contract alone.

Anvil, test tokens, a ``bursar.toml``, the console script, HTTP with API keys,
a webhook receiver that believes only the public ``standardwebhooks`` library.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from bursar.actions.contracts import deploy
from bursar.addresses import own_addresses
from chain.anvil import Anvil, DevRpc
from config.credentials import load_secrets
from config.settings import load_settings
from config.units import Address, checksum
from ledger.migrate import upgrade
from tests.support.postgres import free_port
from tests.support.tokens import TestToken, deploy_tokens, send, transfer_data

ADMIN_KEY = "an-admin-key-for-tests-only-0123456789"
MNEMONIC = "legal winner thank year wave sausage worth useful legal winner thank yellow"
"""A public BIP-39 test vector: its accounts are not the development node's payers."""

CONFIG = """
[database]
url = "{database}"
[http]
host = "127.0.0.1"
port = {port}
public_url = "http://127.0.0.1:{port}"
[wallets]
signer = "mnemonic"
[[chains]]
name = "anvil"
chain_id = 31337
rpc_urls = ["{rpc}"]
poll_interval = "100ms"
finality = {{ confirmations = 3 }}
{tokens}
[invoices]
expires_in = "30m"
[settlement]
schedule = "0 2 1 1 *"
minimum_payout = "0.01"
[security]
destination_cooling_off = "0s"
allow_private_webhooks = true
"""
TOKEN = """
  [[chains.tokens]]
  symbol = "{symbol}"
  address = "{address}"
  decimals = {decimals}
  currency = "USD"
"""


class Api:
    """The HTTP API with one key."""

    def __init__(self, session: aiohttp.ClientSession, base: str, key: str) -> None:
        self._session, self._base = session, base
        self._headers = {"Authorization": f"Bearer {key}"}

    async def call(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        """The answer's JSON; anything but 2xx fails the test."""
        status, answer = await self.raw(method, path, body, **headers)
        assert status in (200, 201), (method, path, status, answer)
        return answer

    async def raw(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, Any]:
        """Status and JSON."""
        async with self._session.request(
            method, self._base + path, json=body, headers={**self._headers, **headers}
        ) as response:
            return response.status, await response.json()

    async def get(self, path: str) -> Any:
        return await self.call("GET", path)

    async def post(self, path: str, body: object, **headers: str) -> Any:
        return await self.call("POST", path, body, **headers)

    async def all(self, path: str) -> list[Any]:
        """Every page of a list."""
        found: list[Any] = []
        cursor = ""
        while True:
            page = await self.get(f"{path}?limit=50{cursor}")
            found += page["data"]
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"


@dataclass
class Receiver:
    """Takes webhooks; keeps those whose signature the public library accepts."""

    secret: str = ""
    url: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    rejected: int = 0
    fail_next: int = 0
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/hook", self._receive)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        port = free_port()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{port}/hook"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.fail_next > 0:
            self.fail_next -= 1
            return web.Response(status=503)
        try:
            event = Webhook(self.secret).verify(body, dict(request.headers))
        except WebhookVerificationError:
            self.rejected += 1
            return web.Response(status=400)
        assert event["id"] == request.headers["webhook-id"]
        self.events.append(event)
        return web.Response(status=204)

    def types(self, object_id: str) -> list[str]:
        """Event types of one object, first arrival of each id, in order."""
        seen: set[str] = set()
        found = []
        for event in self.events:
            if event["data"]["id"] == object_id and event["id"] not in seen:
                seen.add(event["id"])
                found.append(event["type"])
        return found


@dataclass
class Merchant:
    id: str
    api: Api
    destination: Address


@dataclass
class World:
    """One chain, one database, one daemon."""

    folder: Path
    anvil: Anvil
    rpc: DevRpc
    session: aiohttp.ClientSession
    database: str
    payers: list[str]
    tokens: dict[str, TestToken]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin(self) -> Api:
        return Api(self.session, self.base, ADMIN_KEY)

    @property
    def log(self) -> str:
        return (self.folder / "daemon.log").read_text(errors="replace")

    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("BURSAR_")}
        return {
            **kept,
            "BURSAR_CONFIG": str(self.folder / "bursar.toml"),
            "BURSAR_ADMIN_KEY": ADMIN_KEY,
            "BURSAR_MNEMONIC": MNEMONIC,
        }

    def write_config(self, extra: str = "", **replace: str) -> None:
        names = ("USDC", "USDT", "DAI")
        tokens = "".join(
            TOKEN.format(symbol=t.symbol, address=checksum(t.address), decimals=t.decimals)
            for t in (self.tokens[name] for name in names)
        )
        text = CONFIG.format(
            database=self.database, port=self.port, rpc=self.anvil.rpc_url, tokens=tokens
        )
        for old, new in replace.items():
            text = text.replace(old, new)
        (self.folder / "bursar.toml").write_text(text + extra)

    async def bursar(self, *arguments: str, seconds: float = 90) -> tuple[int, str, str]:
        """Run a command to its end: exit status, stdout, stderr."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bursar",
            *arguments,
            env=self.environment(),
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), seconds)
        except TimeoutError:
            process.kill()
            raise
        return process.returncode or 0, out.decode(), err.decode()

    async def ok(self, *arguments: str) -> str:
        """Run a command that must succeed; its stdout."""
        status, out, err = await self.bursar(*arguments)
        assert status == 0, (arguments, status, out[-2000:], err[-2000:])
        return out

    async def prepare(self) -> None:
        """Everything before ``bursar run``: schema, gas money, contracts.

        What the commands do, called here: a process for each would take seconds of a test's time.
        """
        environ = {k: v for k, v in self.environment().items() if k.startswith("BURSAR_")}
        settings, secrets = load_settings(None, environ), load_secrets(environ)
        await upgrade(settings.database.url)
        own = own_addresses(settings, secrets)
        for address in (own.sponsor_sweeps, own.sponsor_payouts, own.treasury_signer):
            await self.rpc.call("anvil_setBalance", checksum(address), hex(100 * 10**18))
        await deploy(settings, secrets, chain="anvil", as_json=False)

    async def prepare_by_commands(self) -> None:
        """The same as a user does it."""
        await self.ok("migrate")
        shown = json.loads(await self.ok("wallets", "show", "--json"))
        for address in addresses_in(shown):
            await self.rpc.call("anvil_setBalance", address, hex(100 * 10**18))
        await self.ok("contracts", "deploy", "--chain", "anvil")

    def start(self, *arguments: str) -> None:
        with (self.folder / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bursar", "run", *arguments],
                env=self.environment(),
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )

    async def ready(self, seconds: float = 20) -> None:
        await self.until(self._is_ready, "readyz answers 200", seconds)

    async def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log[-3000:]
        try:
            async with self.session.get(self.base + "/readyz") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)
        self.process = None

    async def terminate(self, seconds: float = 20) -> int:
        """SIGTERM; the exit status."""
        assert self.process is not None
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(process.wait, seconds)

    async def until(
        self, condition: Callable[[], Awaitable[Any]], what: str, seconds: float = 60
    ) -> Any:
        """Poll until the condition answers something true; that answer."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            answer = await condition()
            if answer:
                return answer
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"not within {seconds} s: {what}\n{self.log[-4000:]}")
            await asyncio.sleep(0.1)

    async def merchant(self, name: str, number: int) -> Merchant:
        made = await self.admin.post("/v1/admin/merchants", {"name": name})
        api = Api(self.session, self.base, made["api_key"])
        destination = Address(bytes([0xD0 + number]) * 20)
        await api.post(
            "/v1/payout-destinations", {"chain": "anvil", "address": checksum(destination)}
        )
        return Merchant(made["id"], api, destination)

    async def pay(self, invoice: dict[str, Any], token: str, whole: str, payer: int = 1) -> str:
        """Transfer to the invoice's address; the transaction's hash, mined."""
        made = self.tokens[token]
        data = transfer_data(bytes.fromhex(invoice["address"][2:]), made.units(whole))
        return await send(self.rpc, self.payers[payer], made.address, data)

    async def mine(self, blocks: int = 1) -> None:
        await self.rpc.call("anvil_mine", hex(blocks))

    async def mining(self, every: float = 0.2) -> None:
        """Mine for ever; run as a task beside the test."""
        while True:
            await self.mine()
            await asyncio.sleep(every)

    async def invoice_status(self, merchant: Merchant, invoice: dict[str, Any], status: str) -> Any:
        async def reached() -> Any:
            now = await merchant.api.get(f"/v1/invoices/{invoice['id']}")
            return now if now["status"] == status else None

        return await self.until(reached, f"invoice is {status}")

    async def settled(self, merchants: list[Merchant]) -> None:
        """Wait until nothing is available, reserved or unpaid for these merchants."""

        async def done() -> bool:
            for merchant in merchants:
                balances = (await merchant.api.get("/v1/balances"))["data"]
                if any(
                    b[k] != "0.00" for b in balances for k in ("pending", "available", "reserved")
                ):
                    return False
                payouts = await merchant.api.all("/v1/payouts")
                if any(p["status"] != "paid" for p in payouts):
                    return False
            return True

        await self.until(done, "everything due is paid", 90)


def addresses_in(shown: object) -> set[str]:
    """Every address that appears anywhere in a JSON document."""
    if isinstance(shown, dict):
        return {a for value in shown.values() for a in addresses_in(value)}
    if isinstance(shown, list):
        return {a for value in shown for a in addresses_in(value)}
    if isinstance(shown, str) and len(shown) == 42 and shown.startswith("0x"):
        return {shown}
    return set()


async def open_world(
    folder: Path, anvil: Anvil, rpc: DevRpc, session: aiohttp.ClientSession, database: str
) -> World:
    """Tokens deployed, configuration written; nothing of Bursar has run yet."""
    payers = [str(a) for a in await rpc.call("eth_accounts")][:4]
    tokens = await deploy_tokens(rpc, payers)
    world = World(folder, anvil, rpc, session, database, payers, tokens)
    world.write_config()
    return world


@asynccontextmanager
async def running_world(
    folder: Path, anvil: Anvil, rpc: DevRpc, database: str, *, by_commands: bool = False
) -> AsyncIterator[World]:
    """A world whose daemon is ready and whose chain mines by itself; stopped at the end."""
    async with aiohttp.ClientSession() as session:
        made = await open_world(folder, anvil, rpc, session, database)
        await (made.prepare_by_commands() if by_commands else made.prepare())
        made.start()
        mining = asyncio.create_task(made.mining())
        try:
            await made.ready()
            yield made
        finally:
            mining.cancel()
            if made.process is not None:
                made.kill()


__all__ = ["Api", "Merchant", "Receiver", "World", "open_world", "running_world"]
