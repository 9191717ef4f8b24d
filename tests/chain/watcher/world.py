"""A watcher on a real chain with real books: pay, mine, reorganise, and compare the two."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from eth_utils.crypto import keccak

from chain.abi import encode_call
from chain.anvil import DevRpc
from chain.artifacts import load_artifact
from chain.client import ChainClient
from chain.erc20 import encode_transfer
from chain.model import Receipt
from config.catalogue import Catalogue
from config.chains import ChainSettings
from config.clock import SystemEntropy
from config.units import Address, Amount, Hash32, checksum, from_hex, to_hex
from ledger.books import all_totals
from ledger.invoices import InvoiceSpec, Tolerance, create_invoices, load_views
from ledger.payment_rows import PaymentPolicy
from ledger.postings import AccountKind
from ledger.schema import chain_cursors, events, merchants, payments
from ledger.store import Ledger, make_engine
from tests.chain.watcher.counting import Counting
from tests.support.clock import AheadClock
from tests.support.dev_chain import DevChain, address_of, dev_account
from watcher.service import ChainWatcher
from watcher.status import Outcome, TickResult

PAYER = dev_account(0)


@dataclass
class Invoice:
    id: str
    address: Address


@dataclass
class World:
    """One chain named ``anvil``, tokens USDC, USDT (no return value), DAI (18), FEE (short)."""

    chain: DevChain
    client: ChainClient
    url: str
    settings: ChainSettings
    tokens: dict[str, Address]
    ledger: Ledger
    watcher: ChainWatcher
    clock: AheadClock
    observer: Counting = field(default_factory=Counting)
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def rpc(self) -> DevRpc:
        return self.chain.rpc

    # --- the watcher -------------------------------------------------------------------

    def restart(self, client: ChainClient | None = None, **more: Any) -> None:
        """A new process on the same database."""
        self.more = {**self.more, **more}
        self.watcher = ChainWatcher(
            self.settings,
            client=client or self.client,
            ledger=self.ledger,
            policy=PaymentPolicy(),
            tolerance=Tolerance(),
            clock=self.clock,
            observer=self.observer,
            **self.more,
        )

    async def follow(self, limit: int = 400) -> list[TickResult]:
        """Tick until the watcher has nothing left to do."""
        results: list[TickResult] = []
        idle = 0
        for _ in range(limit):
            result = await self.watcher.tick()
            results.append(result)
            if result.outcome is Outcome.HALTED:
                return results
            idle = idle + 1 if result.outcome is Outcome.IDLE else 0
            if idle == 2:
                return results
        raise AssertionError(f"still busy after {limit} ticks: {results[-5:]}")

    async def settle(self) -> None:
        """Mine what makes everything final, and follow."""
        await self.mine(3)
        await self.follow()

    async def follow_some(self, ticks: int) -> None:
        for _ in range(ticks):
            await self.watcher.tick()

    # --- the chain ---------------------------------------------------------------------

    async def mine(self, blocks: int = 1) -> None:
        await self.rpc.call("anvil_mine", hex(blocks))

    async def head(self) -> int:
        return int(await self.rpc.call("eth_blockNumber"), 16)

    async def reorg(self, depth: int, txs: Sequence[tuple[str, int]] = ()) -> None:
        await self.rpc.call("anvil_reorg", depth, [list(pair) for pair in txs])

    async def pay(self, to: Address, units: int, token: str = "USDC") -> Receipt:
        return await self.chain.must(PAYER, self.tokens[token], encode_transfer(to, Amount(units)))

    async def raw_payment(self, to: Address, units: int, token: str = "USDC") -> str:
        """Signed bytes of a payment with the payer's next nonce."""
        tx = {
            "chainId": 31337,
            "nonce": int(
                await self.rpc.call("eth_getTransactionCount", PAYER.address, "pending"), 16
            ),
            "to": checksum(self.tokens[token]),
            "data": to_hex(encode_transfer(to, Amount(units))),
            "value": 0,
            "gas": 200_000,
            "maxFeePerGas": 20 * 10**9,
            "maxPriorityFeePerGas": 10**9,
        }
        return to_hex(bytes(PAYER.sign_transaction(tx).raw_transaction))

    async def send(self, raw: str) -> None:
        """Send and wait until it is mined."""
        await self._mined(await self.rpc.call("eth_sendRawTransaction", raw))

    async def transfer_as(
        self, owner: Address, to: Address, units: int, token: str = "USDC"
    ) -> Receipt:
        """A transfer by somebody whose key the test has not, mined; it may have failed."""
        await self.rpc.call("anvil_setBalance", to_hex(owner), hex(10**18))
        await self.rpc.call("anvil_impersonateAccount", to_hex(owner))
        data = to_hex(encode_transfer(to, Amount(units)))
        sent = {"from": to_hex(owner), "to": to_hex(self.tokens[token]), "data": data}
        return await self._mined(await self.rpc.call("eth_sendTransaction", sent))

    async def _mined(self, tx_hash: str) -> Receipt:
        """Automine is not synchronous."""
        for _ in range(2_000):
            receipt = await self.chain.receipt(Hash32(from_hex(tx_hash)))
            if receipt is not None:
                return receipt
            await asyncio.sleep(0.002)
        raise AssertionError("not mined")

    async def send_unmined(self, raw: str) -> None:
        await self.rpc.call("eth_sendRawTransaction", raw)

    async def disperse(self, *payments: tuple[Address, int]) -> Address:
        """An exchange's contract pays all of them, USDC, in one transaction; its address."""
        exchange = await self.chain.create(PAYER, "Disperser")
        await self.pay(exchange, sum(units for _, units in payments))
        recipients, amounts = [list(column) for column in zip(*payments, strict=True)]
        name = "disperse(address,address[],uint256[])"
        await self.call(exchange, name, self.tokens["USDC"], recipients, amounts)
        return exchange

    async def call(self, contract: Address, signature: str, *arguments: object) -> Receipt:
        return await self.chain.must(PAYER, contract, encode_call(signature, *arguments))

    async def balance_of(self, owner: Address, token: str) -> int:
        data = encode_call("balanceOf(address)", owner)
        return int.from_bytes(await self.chain.call(self.tokens[token], data))

    # --- the books ---------------------------------------------------------------------

    async def invoice(
        self,
        micros: int = 10_000_000,
        *,
        tokens: Sequence[str] = ("USDC", "USDT", "DAI"),
        merchant: str = "mer_1",
        monitor: timedelta = timedelta(hours=24),
        expires: timedelta = timedelta(minutes=30),
    ) -> Invoice:
        (made,) = await self.invoices(
            1, micros, tokens=tokens, merchant=merchant, monitor=monitor, expires=expires
        )
        return made

    async def invoices(
        self,
        count: int,
        micros: int = 10_000_000,
        *,
        tokens: Sequence[str] = ("USDC", "USDT", "DAI"),
        merchant: str = "mer_1",
        monitor: timedelta = timedelta(hours=24),
        expires: timedelta = timedelta(minutes=30),
    ) -> list[Invoice]:
        options = tuple(self.ledger.catalogue.token("anvil", symbol) for symbol in tokens)
        now = self.clock.now()
        spec = InvoiceSpec(
            amount=micros,
            currency="USD",
            options=options,
            expires_at=now + expires,
            monitor_until=now + expires + monitor,
        )
        async with self.ledger.transaction() as tx:
            ids = await create_invoices(tx, merchant, [spec] * count, deposits)
            views = await load_views(tx, ids)
        return [Invoice(i, Address(bytes.fromhex(views[i]["address"][2:]))) for i in ids]

    async def paid_invoice(self, units: int = 10_000_000) -> Invoice:
        """An invoice of ten dollars, and a payment of so many units of USDC, mined."""
        invoice = await self.invoice()
        await self.pay(invoice.address, units)
        return invoice

    def are_paid(self, *invoices: Invoice) -> Callable[[], Awaitable[bool]]:
        async def check() -> bool:
            return all([await self.status(invoice) == "paid" for invoice in invoices])

        return check

    async def view(self, invoice: Invoice) -> dict[str, Any]:
        async with self.ledger.reading() as tx:
            return (await load_views(tx, [invoice.id]))[invoice.id]

    async def status(self, invoice: Invoice) -> str:
        return str((await self.view(invoice))["status"])

    async def payments(self) -> list[dict[str, Any]]:
        async with self.ledger.reading() as tx:
            rows = await tx.conn.execute(
                sa.select(payments).order_by(payments.c.block_number, payments.c.log_index)
            )
            return [dict(row._mapping) for row in rows]

    async def statuses(self) -> list[str]:
        return [row["status"] for row in await self.payments()]

    async def event_types(self) -> list[str]:
        async with self.ledger.reading() as tx:
            query = sa.select(events.c.type).order_by(events.c.seq)
            return list((await tx.conn.execute(query)).scalars())

    async def cursor(self) -> tuple[int, int]:
        async with self.ledger.reading() as tx:
            row = (await tx.conn.execute(sa.select(chain_cursors))).one()
            return row.cursor_block, row.final_block

    async def agrees(self) -> None:
        """The books hold exactly what stands at the deposit addresses, token by token."""
        async with self.ledger.reading() as tx:
            totals = await all_totals(tx)
            rows = await tx.conn.execute(sa.text("SELECT address FROM deposit_addresses"))
            owners = [Address(bytes(row.address)) for row in rows]
        assert sum(t.debits_posted for t in totals.values()) == sum(
            t.credits_posted for t in totals.values()
        )
        for symbol in self.tokens:
            if symbol == "LOOK":
                continue
            on_chain = sum([await self.balance_of(owner, symbol) for owner in owners])
            booked = sum(
                t.debits_posted + t.debits_pending - t.credits_posted - t.credits_pending
                for ref, t in totals.items()
                if ref.kind is AccountKind.DEPOSITS and ref.token == symbol
            )
            assert booked == on_chain, f"{symbol}: books {booked}, chain {on_chain}"


def deposits(first: int, count: int) -> list[Address]:
    """Stand-in for the xpub."""
    return [Address(keccak(b"deposit%d" % i)[:20]) for i in range(first, first + count)]


def chain_settings(url: str, tokens: dict[str, Address], **changes: Any) -> ChainSettings:
    decimals = {"DAI": 18, "REB": 18}
    return ChainSettings.model_validate(
        {
            "name": "anvil",
            "chain_id": 31337,
            "rpc_urls": [url],
            "poll_interval": "20ms",
            "finality": {"confirmations": 3},
            "tokens": [
                {
                    "symbol": symbol,
                    "address": to_hex(address),
                    "decimals": decimals.get(symbol, 6),
                    "currency": "USD",
                }
                for symbol, address in tokens.items()
                if symbol != "LOOK"
            ],
            **changes,
        }
    )


async def deploy_tokens(chain: DevChain) -> dict[str, Address]:
    tokens = {
        "USDC": await chain.create(PAYER, "UsdcLike", "USD Coin", "USDC"),
        "USDT": await chain.create(PAYER, "UsdtLike"),
        "DAI": await chain.create(PAYER, "DaiLike"),
        "FEE": await chain.create(PAYER, "FeeToken"),
        "LOOK": await chain.create(PAYER, "UsdcLike", "USD Coin", "USDC"),
    }
    for token in tokens.values():
        data = encode_call("mint(address,uint256)", address_of(PAYER), 10**30)
        await chain.must(PAYER, token, data)
    return tokens


async def make_world(
    rpc: DevRpc,
    url: str,
    database_url: str,
    make_client: Callable[[Sequence[str]], ChainClient],
    **changes: Any,
) -> World:
    chain = DevChain(rpc)
    tokens = await deploy_tokens(chain)
    settings = chain_settings(url, tokens, **changes)
    clock = AheadClock()
    ledger = Ledger(
        make_engine(database_url),
        clock=clock,
        entropy=SystemEntropy(),
        catalogue=Catalogue([settings]),
        public_url="http://pay.example",
    )
    async with ledger.transaction() as tx:
        for merchant in ("mer_1", "mer_2"):
            await tx.conn.execute(
                merchants.insert().values(id=merchant, name=merchant, created_at=tx.now)
            )
    client = make_client([url])
    world = World(chain, client, url, settings, tokens, ledger, None, clock)  # type: ignore[arg-type]
    world.restart()
    return world


def artifact(name: str) -> Any:
    return load_artifact(name)
