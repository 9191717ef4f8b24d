"""A whole way out on Anvil: tokens, contracts, books, a small watcher, settlement."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from chain.abi import decode_uint, encode_call
from chain.anvil import DevRpc
from chain.client import ChainClient
from chain.deployment import Deployer, HelperContracts, deployment_steps, plan_addresses
from chain.erc20 import encode_balance_of, encode_transfer
from chain.model import Log
from config.catalogue import Catalogue
from config.chains import ChainSettings
from config.clock import SystemClock
from config.models import SettlementSettings
from config.units import Address, Amount, Hash32, checksum, from_hex, to_hex
from ledger.cursors import BlockMark, BlockRow, advance_cursor, get_cursor, rewind, start_cursor
from ledger.invoices import (
    InvoiceSpec,
    Tolerance,
    Touched,
    create_invoices,
    load_views,
    refresh_invoices,
)
from ledger.journal import Journal
from ledger.payment_moves import PaymentMove, move_payments, open_payments
from ledger.payment_rows import PaymentPolicy
from ledger.payment_rules import Sighting
from ledger.payments import record_sightings
from ledger.schema import merchants, payout_destinations
from ledger.sources import Source
from ledger.states import PaymentStatus
from ledger.store import Ledger, make_engine
from settlement.context import Policy
from settlement.reconcile import reconcile
from settlement.service import ChainSettlement
from settlement.verdicts import Patience
from tests.chain.settlement.inspection import Inspection, Recorder
from tests.support.clock import ManualClock, SeededEntropy
from tests.support.dev_chain import DevChain, LocalSigner, address_of, dev_account
from wallets.derivation import DepositDeriver
from wallets.keyring import KeyRing, Lane, keyring_from_mnemonic

CHAIN_ID = 31337
# Not Anvil's own: its funded accounts lie on the path of the deposit addresses, and an
# account that has sent cannot be a deposit address.
MNEMONIC = "legal winner thank year wave sausage worth useful legal winner thank yellow"
CONFIRMATIONS = 3
_LISTING = {"USDC": "blacklist(address)", "USDT": "addBlackList(address)"}
PAYER = 5
"""Anvil's account that pays the invoices; the others belong to sponsors or the deployer."""


def recipient(number: int) -> Address:
    """A merchant's own address, never used before."""
    return Address(bytes([0xBB]) * 16 + number.to_bytes(4))


@dataclass
class World(Inspection):
    rpc: DevRpc
    dev: DevChain
    client: ChainClient
    ledger: Ledger
    clock: ManualClock
    chain: ChainSettings
    contracts: HelperContracts
    keys: KeyRing
    tokens: dict[str, Address]
    url: str
    url_of_books: str
    settings: SettlementSettings = field(default_factory=SettlementSettings)
    policy: Policy = field(
        default_factory=lambda: Policy(
            patience=Patience(timedelta(seconds=30), timedelta(seconds=60)), gather=timedelta()
        )
    )
    observer: Recorder = field(default_factory=Recorder)
    services: int = 0
    merchants: int = 0
    blind: bool = False
    """Blocks are taken without what they hold."""
    journal: Journal | None = None
    source: Source | None = None
    """Where deposit addresses come from; ``None``: the xpub."""

    # --- settlement --------------------------------------------------------------------

    def service(self, **changes: Any) -> ChainSettlement:
        """A new process over the same database; ``changes`` replace its parts."""
        self.services += 1
        parts: dict[str, Any] = {
            "client": self.client,
            "ledger": self.ledger,
            "wallets": self.keys,
            "contracts": self.contracts,
            "settings": self.settings,
            "clock": self.clock,
            "observer": self.observer,
            "owner_id": f"process-{self.services}",
            "policy": self.policy,
        }
        return ChainSettlement(self.chain, **(parts | changes))

    async def settle(
        self,
        service: ChainSettlement,
        until: Callable[[], Awaitable[bool]],
        *,
        rounds: int = 40,
        audit: bool = True,
    ) -> None:
        """Tick, mine and watch until it holds; ledger and chain must agree all the way."""
        for done in range(rounds):
            await service.tick()
            await self.watch(mine=1)
            if audit:
                await self.agrees(None if done % 2 else 0)
            if await until():
                return
        raise AssertionError(f"not settled after {rounds} rounds: {self.observer.notes[-6:]}")

    async def rounds(self, service: ChainSettlement, count: int) -> None:
        """Tick, then a block, so often."""
        for _ in range(count):
            await service.tick()
            await self.watch(mine=1)

    # --- money in ----------------------------------------------------------------------

    async def merchant(self, address: Address | None = None, fee_bps: int | None = None) -> str:
        self.merchants += 1
        merchant_id = f"mer_{self.merchants}"
        async with self.ledger.transaction() as tx:
            await tx.conn.execute(
                merchants.insert().values(
                    id=merchant_id, name=merchant_id, created_at=tx.now, fee_bps=fee_bps
                )
            )
            await tx.conn.execute(
                payout_destinations.insert().values(
                    id=tx.new_id("pd"),
                    merchant_id=merchant_id,
                    chain="anvil",
                    address=address or recipient(self.merchants),
                    status="active",
                    created_at=tx.now,
                    active_at=tx.now,
                )
            )
        return merchant_id

    async def paid_invoice(self, merchant_id: str, symbol: str, amount: int) -> Address:
        """An invoice and its payment, mined but not watched yet."""
        token = self.ledger.catalogue.token("anvil", symbol)
        spec = InvoiceSpec(
            amount=max(token.to_micros(amount), 1),
            currency="USD",
            options=(token,),
            expires_at=self.clock.now() + timedelta(hours=1),
            monitor_until=datetime(2100, 1, 1, tzinfo=UTC),
        )
        derive: Source = DepositDeriver(self.keys.deposit_xpub).addresses
        if self.journal is not None:
            derive = self.journal.guarding(derive)
        if self.source is not None:
            derive = self.source
        async with self.ledger.transaction() as tx:
            (invoice_id,) = await create_invoices(tx, merchant_id, [spec], derive)
            view = (await load_views(tx, [invoice_id]))[invoice_id]
        deposit = Address(bytes.fromhex(view["address"][2:]))
        await self.pay(symbol, deposit, amount)
        return deposit

    async def deposited(self, merchant_id: str, symbol: str, amount: int) -> Address:
        """A paid invoice whose payment is confirmed and final."""
        deposit = await self.paid_invoice(merchant_id, symbol, amount)
        await self.watch(mine=CONFIRMATIONS + 1)
        return deposit

    async def pay(self, symbol: str, to: Address, amount: int) -> Hash32:
        data = encode_transfer(to, Amount(amount))
        return (await self.dev.must(dev_account(PAYER), self.tokens[symbol], data)).tx_hash

    async def mint(self, symbol: str, to: Address, amount: int) -> None:
        await self.run(self.tokens[symbol], "mint(address,uint256)", to, amount)

    async def blacklist(self, account: Address, symbol: str = "USDC") -> None:
        await self.run(self.tokens[symbol], _LISTING[symbol], account)

    async def unblacklist(self, account: Address) -> None:
        await self.run(self.tokens["USDC"], "unBlacklist(address)", account)

    async def run(self, to: Address, signature: str, *values: object) -> None:
        await self.dev.must(dev_account(0), to, encode_call(signature, *values))

    # --- a small watcher ---------------------------------------------------------------

    async def automine(self, on: bool) -> None:
        """Off: what is sent stays in the mempool until a block is asked for."""
        await self.rpc.call("evm_setAutomine", on)

    async def next_base_fee(self, wei: int) -> None:
        await self.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(wei))

    async def act_as(self, account: Address, to: Address, data: bytes = b"") -> Hash32:
        """A transaction of an account, whoever has its key."""
        await self.rpc.call("anvil_impersonateAccount", to_hex(account))
        call = {"from": to_hex(account), "to": to_hex(to), "data": to_hex(data)}
        return Hash32(from_hex(await self.rpc.call("eth_sendTransaction", call)))

    async def mine(self, blocks: int = 1) -> None:
        await self.rpc.call("anvil_mine", hex(blocks))

    async def head(self) -> int:
        return int(await self.rpc.call("eth_blockNumber"), 16)

    async def watch(self, *, mine: int = 0) -> None:
        """Bring the books up to the head: reorgs, payments, confirmations, finality."""
        if mine:
            await self.mine(mine)
        head = await self.head()
        await self._unwind(head)
        async with self.ledger.reading() as tx:
            cursor = await get_cursor(tx, "anvil")
        assert cursor is not None
        for number in range(cursor.cursor.number + 1, head + 1):
            await self._take(number)
        self.clock.advance(1)

    async def _unwind(self, head: int) -> None:
        while True:
            async with self.ledger.reading() as tx:
                cursor = await get_cursor(tx, "anvil")
            assert cursor is not None
            number = min(cursor.cursor.number, head)
            header = await self.client.block(number)
            if number == cursor.cursor.number and header and header.hash == cursor.cursor.hash:
                return
            ancestor = await self._row(cursor.cursor.number - 1)
            async with self.ledger.transaction() as tx:
                touched = Touched()
                await rewind(
                    tx,
                    "anvil",
                    expected=cursor.cursor,
                    ancestor=ancestor,
                    policy=PaymentPolicy(),
                    touched=touched,
                )
                await refresh_invoices(tx, touched.ids, Tolerance())

    async def _row(self, number: int) -> BlockRow:
        header = await self.client.block(number)
        assert header is not None
        at = datetime.fromtimestamp(header.timestamp, UTC)
        return BlockRow(header.number, header.hash, header.parent_hash, at)

    async def _take(self, number: int) -> None:
        row = await self._row(number)
        logs = await self.client.transfer_logs_of_block(
            row.hash, tokens=list(self.tokens.values()), recipients=None
        )
        found = [_sighting(log, row, await self._ordinal(log)) for log in logs if not self.blind]
        final = await self._row(max(number - CONFIRMATIONS + 1, 0))
        touched = Touched()
        async with self.ledger.transaction() as tx:
            cursor = await get_cursor(tx, "anvil")
            assert cursor is not None
            await record_sightings(tx, found, PaymentPolicy(), touched)
            mark = BlockMark(final.number, final.hash)
            await advance_cursor(
                tx,
                "anvil",
                expected=cursor.cursor,
                new_blocks=[row],
                top=row,
                final=mark if mark.number > cursor.final.number else cursor.final,
            )
            moves = [
                PaymentMove(p, PaymentStatus.CONFIRMED)
                for p in await open_payments(tx, "anvil")
                if p["block_number"] <= final.number
            ]
            await move_payments(tx, moves, PaymentPolicy(), touched)
            await refresh_invoices(tx, touched.ids, Tolerance())

    async def _ordinal(self, log: Log) -> int:
        receipt = await self.client.receipt(log.tx_hash)
        assert receipt is not None
        return [entry.log_index for entry in receipt.logs].index(log.log_index)

    async def agrees(self, emptied: int | None = None) -> None:
        """Every unit at our addresses is in the books, whatever is under way.

        :param emptied: 0: addresses where something is known to lie, instead of all.
        """
        found = await reconcile(self.client, self.ledger, self.contracts, emptied=emptied)
        assert found is not None
        assert found.agrees, [r for r in found.rows if r.difference]

    async def held(self, symbol: str, account: Address) -> int:
        return decode_uint(await self.dev.call(self.tokens[symbol], encode_balance_of(account)))

    async def fund_sponsor(self, lane: Lane, wei: int) -> None:
        """Set what a lane's sponsor has for gas."""
        await self.fund(self.keys.sponsor(lane).address, wei)

    async def fund(self, account: Address, wei: int) -> None:
        await self.rpc.call("anvil_setBalance", checksum(account), hex(wei))


def _sighting(log: Log, row: BlockRow, ordinal: int) -> Sighting:
    return Sighting(
        chain="anvil",
        token_address=log.address,
        sender=Address(log.topics[1][12:]),
        recipient=Address(log.topics[2][12:]),
        amount=Amount(int.from_bytes(log.data)),
        tx_hash=log.tx_hash,
        ordinal=ordinal,
        log_index=log.log_index,
        block_number=row.number,
        block_hash=row.hash,
        block_time=row.timestamp,
    )


def _settings(url: str, tokens: dict[str, Address], **changes: Any) -> ChainSettings:
    return ChainSettings.model_validate(
        {
            "name": "anvil",
            "chain_id": CHAIN_ID,
            "rpc_urls": [url],
            "finality": {"confirmations": CONFIRMATIONS},
            "is_test": True,
            "poll_interval": "50ms",
            "tokens": [
                {
                    "symbol": symbol,
                    "address": checksum(address),
                    "decimals": 18 if symbol == "DAI" else 6,
                    "currency": "USD",
                }
                for symbol, address in tokens.items()
            ],
            **changes,
        }
    )


async def build_world(
    rpc: DevRpc, url: str, client: ChainClient, database: str, **changes: Any
) -> World:
    dev = DevChain(rpc)
    keys = keyring_from_mnemonic(MNEMONIC)
    signer, sweeper = keys.treasury_signer().address, keys.sponsor("sweeps").address
    deployer = Deployer(CHAIN_ID, dev, LocalSigner(dev_account(0)), SystemClock())
    await deployer.deploy(deployment_steps(signer, signer, sweeper))
    tokens = {
        "USDC": await dev.create(dev_account(0), "UsdcLike", "USD Coin", "USDC"),
        "USDT": await dev.create(dev_account(0), "UsdtLike"),
        "DAI": await dev.create(dev_account(0), "DaiLike"),
        "FEE": await dev.create(dev_account(0), "FeeToken"),
    }
    chain = _settings(url, tokens, **changes)
    clock = ManualClock(datetime.now(UTC))
    ledger = Ledger(
        make_engine(database),
        clock=clock,
        entropy=SeededEntropy(),
        catalogue=Catalogue([chain]),
        public_url="http://pay.example",
    )
    world = World(
        rpc=rpc,
        dev=dev,
        client=client,
        ledger=ledger,
        clock=clock,
        chain=chain,
        contracts=plan_addresses(signer, signer, sweeper),
        keys=keys,
        tokens=tokens,
        url=url,
        url_of_books=database,
    )
    for symbol in tokens:
        await world.mint(symbol, address_of(dev_account(PAYER)), 10**30)
    await world.fund_sponsor("sweeps", 10**20)
    await world.fund_sponsor("payouts", 10**20)
    head = int(await rpc.call("eth_blockNumber"), 16)
    async with ledger.transaction() as tx:
        await start_cursor(tx, "anvil", CHAIN_ID, await world._row(head))
    return world
