"""Looking after the money in the background: ledger against chain, and gas money left.

Feeds ``reconciliation_difference``, ``onchain_balance`` and ``gas_runway_payouts``,
which the alerts are made of. It changes nothing; only the process that leads a
chain's settlement does it, a standby would ask the same again.
"""

from __future__ import annotations

import asyncio
from typing import Final

from bursar.addresses import OwnAddresses
from chain.client import ChainClient
from chain.rpc.errors import RpcError
from config.chains import ChainSettings
from config.clock import Clock
from config.errors import DatabaseError
from config.log import get_logger
from config.waiting import wait
from ledger.store import Ledger
from settlement.costs import GAS_PER_PAYOUT
from settlement.observer import SettlementObserver
from settlement.reconcile import Reconciliation, reconcile
from settlement.service import ChainSettlement

log = get_logger(__name__)

EVERY_SECONDS: Final = 60.0
SOON_SECONDS: Final = 5.0
"""Until the first look: the watcher has to have a cursor, settlement its lease."""
MOST_PAYOUTS: Final = 10**9
"""Shown where gas costs nothing."""


def runway(wei: int, price: int) -> int:
    """Payouts that ``wei`` pays the gas of, at ``price`` wei per gas; pure."""
    return MOST_PAYOUTS if price <= 0 else min(MOST_PAYOUTS, wei // (GAS_PER_PAYOUT * price))


class ChainAudit:
    """One chain's background look; :meth:`run` until stopped."""

    def __init__(
        self,
        chain: ChainSettings,
        *,
        client: ChainClient,
        ledger: Ledger,
        own: OwnAddresses,
        settlement: ChainSettlement,
        observer: SettlementObserver,
        clock: Clock,
    ) -> None:
        self._chain = chain
        self._client = client
        self._ledger = ledger
        self._own = own
        self._settlement = settlement
        self._observer = observer
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """Look once a minute; trouble with chain or database is for the next time."""
        looked = False
        while not await wait(self._clock, EVERY_SECONDS if looked else SOON_SECONDS, stop):
            if not self._settlement.status().leading:
                continue
            try:
                looked = await self.look()
            except (RpcError, DatabaseError) as error:
                log.warning("audit_failed", chain=self._chain.name, error=str(error))

    async def look(self) -> bool:
        """Balances, runway, reconciliation; ``False`` before the watcher's first block."""
        await self._gas_money()
        found = await reconcile(self._client, self._ledger, self._own.contracts)
        if found is None:
            return False
        self._tell(found)
        return True

    async def _gas_money(self) -> None:
        name, native = self._chain.name, self._chain.native_symbol
        quote = await self._client.fees()
        for lane, address in self._own.sponsors():
            wei = await self._client.balance(address)
            self._observer.onchain_balance(f"sponsor_{lane}", name, native, wei)
            if lane == "payouts":
                self._observer.gas_runway(name, runway(wei, quote.base_fee + quote.tip))

    def _tell(self, found: Reconciliation) -> None:
        for row in found.rows:
            self._observer.onchain_balance(row.account, found.chain, row.token, row.chain)
        for token in {row.token for row in found.rows}:
            self._observer.reconciled(found.chain, token, found.difference(token))
        for row in found.rows:
            if row.difference:
                log.error(
                    "reconciliation_difference",
                    chain=found.chain,
                    account=row.account,
                    token=row.token,
                    base_units=str(row.difference),
                    causes=list(found.causes),
                )
