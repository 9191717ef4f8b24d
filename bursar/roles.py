"""What each role holds and does: keys, the door's application, tasks.

===============  ========================================  ===================
role             does                                      holds
===============  ========================================  ===================
``gateway``      API, checkout, webhook delivery           deposit xpub
``watcher``      follows the chains, expires invoices      nothing
``settlement``   schedules, sweeps, pays                   all signers
``all``          the three in one process                  all signers
``settle_once``  watcher and settlement, for one command   all signers
===============  ========================================  ===================
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from aiohttp import web
from pydantic import SecretStr

from bursar.addresses import OwnAddresses, own_addresses
from bursar.compose import House
from bursar.costing import Quotes
from bursar.data_key import tell_data_key
from bursar.heads import HeadListener
from bursar.metrics.families import Families
from bursar.metrics.paying import SettlementMetrics
from bursar.metrics.serving import HttpMetrics
from bursar.metrics.watching import WatcherMetrics
from bursar.operations import Operations
from bursar.startup import (
    address_source,
    check_approver,
    check_deposit_xpub,
    prepare_journal,
)
from bursar.supervision import Work, crash_guard
from config.errors import BursarError, ConfigError
from config.log import get_logger
from config.units import Address
from gateway.app import create_app
from gateway.deps import GatewayDeps, Readiness
from gateway.housekeeping import run_housekeeping
from gateway.webhooks.dispatcher import WebhookDispatcher
from gateway.webhooks.vault import Vault, load_data_key
from ledger.invoices import Tolerance
from ledger.journal import Journal
from ledger.payment_rows import PaymentPolicy
from ledger.sources import Source
from settlement.context import Policy
from settlement.runs import PayoutRuns
from settlement.service import ChainSettlement
from wallets.keyring import KeyRing, open_keyring
from watcher.expiry import run_expiry
from watcher.service import ChainWatcher

log = get_logger(__name__)

Role = Literal["all", "gateway", "watcher", "settlement", "settle_once"]
WITH_API: Final = ("all", "gateway")
WITH_WATCHER: Final = ("all", "watcher", "settle_once")
WITH_SIGNERS: Final = ("all", "settlement", "settle_once")
OWNER_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Task:
    """Work for the supervisor; ``chain`` is set where it must wait for that chain's check."""

    name: str
    work: Work
    chain: str | None = None


class Roles:
    """The parts of one process; made by :meth:`prepare`."""

    def __init__(self, house: House, role: Role, families: Families) -> None:
        self._house = house
        self._role = role
        self._families = families
        # A process start, not a host: after a restart the old lease is somebody else's.
        self._owner = f"{role}-{house.entropy.token_bytes(OWNER_BYTES).hex()}"
        self._source: Source | None = None
        self._data_key = b""
        self._journal: Journal | None = None
        self._http = HttpMetrics(families)
        self.watchers: dict[str, ChainWatcher] = {}
        self.settlements: dict[str, ChainSettlement] = {}
        self._listeners: dict[str, HeadListener] = {}

    @classmethod
    async def prepare(cls, house: House, role: Role, families: Families) -> Roles:
        """Open what the role needs.

        :raises ConfigError: a secret or an address is missing, or the xpub is another one.
        :raises WalletError: the keystore cannot be opened.
        """
        roles = cls(house, role, families)
        if role in WITH_API or role in WITH_SIGNERS:
            roles._journal = await prepare_journal(house)
            await check_deposit_xpub(house)
        if role in WITH_API:
            roles._prepare_door()
            await tell_data_key(house, roles._data_key)
        if role in WITH_WATCHER:
            roles._prepare_watchers()
        if role in WITH_SIGNERS:
            # Half a second of scrypt, off the loop.
            ring = await asyncio.to_thread(open_keyring, house.settings, house.secrets)
            roles._prepare_settlement(ring)
        return roles

    def _prepare_door(self) -> None:
        settings, secrets = self._house.settings, self._house.secrets
        assert self._journal is not None
        self._source = address_source(settings, secrets, self._journal)
        self._data_key = load_data_key(secrets, settings.database.url, self._house.entropy)
        if secrets.admin_key is None:
            log.warning("no_admin_key", remedy="set BURSAR_ADMIN_KEY to use /v1/admin")
        check_approver(settings, secrets)

    def _prepare_watchers(self) -> None:
        observer = WatcherMetrics(self._families)
        for chain in self._house.chain_settings():
            if chain.head_urls:
                self._listeners[chain.name] = HeadListener(
                    chain,
                    self._house.outside.sockets,
                    clock=self._house.clock,
                    entropy=self._house.entropy,
                )
            listener = self._listeners.get(chain.name)
            self.watchers[chain.name] = ChainWatcher(
                chain,
                client=self._house.chains[chain.name],
                ledger=self._house.ledger,
                policy=payment_policy(self._house),
                tolerance=tolerance_of(self._house),
                clock=self._house.clock,
                observer=observer,
                lease_owner=self._owner,
                heads=None if listener is None else listener.signal,
            )

    def _prepare_settlement(self, ring: KeyRing) -> None:
        own = own_addresses(self._house.settings, self._house.secrets)
        observer = SettlementMetrics(self._families, self._house.clock)
        for chain in self._house.chain_settings():
            self.settlements[chain.name] = ChainSettlement(
                chain,
                client=self._house.chains[chain.name],
                ledger=self._house.ledger,
                wallets=ring,
                contracts=own.contracts,
                settings=self._house.settings.settlement,
                clock=self._house.clock,
                observer=observer,
                owner_id=self._owner,
                policy=self._policy(),
                journal=self._journal,
            )

    def _policy(self) -> Policy:
        wallets = self._house.settings.wallets
        return Policy(
            may_be_used=wallets.signer == "mnemonic" and wallets.deposits == "hd",
            presigned=wallets.deposits == "presigned",
            create2=wallets.deposits == "create2",
        )

    def gateway_app(
        self,
        readiness: Callable[[], Awaitable[Readiness]],
        metrics: Callable[[], Awaitable[bytes]],
    ) -> web.Application:
        """The merchant's door."""
        assert self._source is not None, "only roles with the API have one"
        settings, secrets = self._house.settings, self._house.secrets
        return create_app(
            GatewayDeps(
                ledger=self._house.ledger,
                settings=self._house.settings,
                admin_key=_shown(secrets.admin_key),
                data_key=self._data_key,
                derive=self._source,
                clock=self._house.clock,
                entropy=self._house.entropy,
                readiness=readiness,
                metrics_text=metrics,
                operations=Operations(
                    self._house.ledger,
                    payout_runs(self._house),
                    policy=payment_policy(self._house),
                    tolerance=tolerance_of(self._house),
                    quotes=Quotes(self._house.chains, self._house.clock),
                    max_batch=settings.settlement.max_batch,
                ),
                observer=self._http,
                approver_key=_shown(secrets.approver_key),
                refused=refused_addresses(self._house),
                crash_guard=crash_guard,
            )
        )

    def tasks(self) -> Iterator[Task]:
        """Everything that the supervisor keeps running."""
        if self._role in WITH_API:
            yield Task("webhooks", self._deliver)
            yield Task("housekeeping", self._keep_house)
        if self._role in WITH_WATCHER:
            yield Task("expiry", self._expire)
        for name, watcher in self.watchers.items():
            yield Task(f"watcher:{name}", watcher.run, name)
        for name, listener in self._listeners.items():
            yield Task(f"heads:{name}", listener.run, name)
        if self._role in WITH_SIGNERS:
            yield Task("runs", payout_runs(self._house).run)
        for name, settlement in self.settlements.items():
            yield Task(f"settlement:{name}", settlement.run, name)

    async def _deliver(self, stop: asyncio.Event) -> None:
        security = self._house.settings.security
        opened = self._house.outside.webhooks(allow_private=security.allow_private_webhooks)
        async with opened as sender:
            dispatcher = WebhookDispatcher(
                ledger=self._house.ledger,
                sender=sender,
                vault=Vault(self._data_key),
                clock=self._house.clock,
                entropy=self._house.entropy,
                observer=self._http,
            )
            await dispatcher.run(stop)

    async def _keep_house(self, stop: asyncio.Event) -> None:
        await run_housekeeping(self._house.ledger, self._house.clock, stop)

    async def _expire(self, stop: asyncio.Event) -> None:
        await run_expiry(self._house.ledger, tolerance_of(self._house), self._house.clock, stop)


def _shown(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def payout_runs(house: House) -> PayoutRuns:
    """What turns due dates and requests into payouts; needs no key."""
    return PayoutRuns(house.ledger, settings=house.settings, refused=refused_addresses(house))


def payment_policy(house: House) -> PaymentPolicy:
    """What decides about payments, from the configuration."""
    return PaymentPolicy(
        dust=house.settings.invoices.dust, fee_bps=house.settings.settlement.fee_bps
    )


def tolerance_of(house: House) -> Tolerance:
    """Shortfall that still counts as paid, from the configuration."""
    configured = house.settings.invoices.tolerance
    return Tolerance(absolute=configured.absolute, bps=configured.bps)


def refused_addresses(house: House) -> Collection[Address]:
    """Where no payout may go: tokens, helper contracts, sponsors, signers.

    A gateway that knows only an xpub knows none of ours but the tokens; settlement
    refuses the others again when it plans.
    """
    tokens = {token.address for token in house.catalogue}
    try:
        own: OwnAddresses | None = own_addresses(house.settings, house.secrets)
    except BursarError as error:
        level = log.info if isinstance(error, ConfigError) else log.warning
        level("own_addresses_unknown", reason=str(error))
        own = None
    if own is None:
        return tokens
    return tokens | {
        own.sponsor_sweeps,
        own.sponsor_payouts,
        own.treasury_signer,
        own.contracts.treasury,
        own.contracts.collector,
        own.contracts.forwarder,
        own.contracts.factory,
    }
