"""What every part of a chain's settlement works with; built once by the composition root."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from chain.client import ChainClient
from chain.deployment import HelperContracts
from config.chains import ChainSettings
from config.clock import Clock
from config.models import SettlementSettings
from ledger.journal import Journal
from ledger.store import Ledger
from settlement.disputes import Disputes
from settlement.observer import SettlementObserver
from settlement.verdicts import Patience
from wallets.keyring import Lane as SponsorLane
from wallets.signer import Signer


class Wallets(Protocol):
    """The keys of the paying side; :class:`wallets.keyring.KeyRing` has them."""

    def treasury_signer(self) -> Signer:
        """Signs batches."""
        ...

    def sponsor(self, lane: SponsorLane) -> Signer:
        """Sends and pays for a lane."""
        ...

    def deposit_signer(self, index: int) -> Signer:
        """Signs for deposit address ``index``."""
        ...


@dataclass(frozen=True, slots=True)
class Policy:
    """Numbers that are not configuration of the outside, but may differ in tests.

    :param max_in_flight: nonces of one lane that no block holds yet: what nodes keep for a
        sender without dropping any (geth's mempool guarantees 16).
    :param max_not_final: nonces of one lane without a final outcome, mined ones included.
    :param gather: how long the oldest deposit waits for company before it is swept.
    :param may_be_used: deposit accounts may have sent transactions: only where the seed is a
        test chain's mnemonic, whose accounts developers also pay from.
    :param presigned: the deposit keys are offline: sweep with the stored authorizations.
    :param create2: deposit addresses have no keys: the deposit factory creates them.
    """

    patience: Patience = field(default_factory=Patience)
    max_in_flight: int = 16
    max_not_final: int = 256
    gather: timedelta = timedelta(seconds=60)
    max_reverts: int = 3
    may_be_used: bool = False
    presigned: bool = False
    create2: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """One chain's settlement, everything it acts with."""

    chain: ChainSettings
    client: ChainClient
    ledger: Ledger
    wallets: Wallets
    contracts: HelperContracts
    settings: SettlementSettings
    clock: Clock
    observer: SettlementObserver
    policy: Policy = field(default_factory=Policy)
    journal: Journal | None = None
    """Kept outside the database; ``None`` only where losing the database costs nothing."""
    disputes: Disputes = field(default_factory=Disputes)

    @property
    def name(self) -> str:
        """The chain's name."""
        return self.chain.name
