"""The sections of ``bursar.toml`` with their defaults."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictInt, model_validator

from config.chains import ChainSettings, Model
from config.fields import (
    AddressField,
    AmountText,
    BasisPoints,
    DatabaseUrl,
    Duration,
    Micros,
    NonEmpty,
    PositiveDuration,
    PublicUrl,
    ScheduleText,
    Xpub,
)


class DatabaseSettings(Model):
    """Where the books are."""

    url: Annotated[DatabaseUrl, Field(repr=False)] = "sqlite+aiosqlite:///bursar.db"
    """Not shown in ``repr``: it may hold a password."""


class RateLimit(Model):
    """Token bucket, per API key."""

    requests_per_second: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = 100
    burst: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = 200


class HttpSettings(Model):
    """The merchant's door."""

    host: NonEmpty = "127.0.0.1"
    port: Annotated[StrictInt, Field(ge=0, le=65535)] = 8080
    public_url: PublicUrl = ""
    """Without a slash at the end; built from host and port where it is not given."""
    rate_limit: RateLimit = RateLimit()

    @model_validator(mode="after")
    def _public_url_default(self) -> HttpSettings:
        if not self.public_url:
            host = f"[{self.host}]" if ":" in self.host else self.host
            object.__setattr__(self, "public_url", f"http://{host}:{self.port}")
        return self


class KmsKeySettings(Model):
    """One key of AWS KMS, of key spec ECC_SECG_P256K1."""

    key: NonEmpty
    """Key id, ARN, or ``alias/…``."""
    address: AddressField | None = None
    """What it must sign for; asked of KMS where it is not given."""


class KmsSettings(Model):
    """The three keys that sign in AWS KMS; credentials are the AWS libraries' own matter."""

    region: NonEmpty | None = None
    """Else what the environment or the AWS profile says."""
    treasury: KmsKeySettings
    sponsor_sweeps: KmsKeySettings
    sponsor_payouts: KmsKeySettings

    @model_validator(mode="after")
    def _three_keys(self) -> KmsSettings:
        if len({self.treasury.key, self.sponsor_sweeps.key, self.sponsor_payouts.key}) < 3:
            raise ValueError("treasury, sponsor_sweeps and sponsor_payouts are three keys")
        return self


class WalletSettings(Model):
    """Where keys come from; never the keys themselves."""

    signer: Literal["keystore", "mnemonic", "kms"] = "keystore"
    keystore: Path = Path("keystore.json")
    kms: KmsSettings | None = None
    """With ``signer = "kms"``, and only then."""
    deposits: Literal["hd", "presigned", "create2"] = "hd"
    """Where deposit addresses come from: the xpub, files that an offline machine signed, or a
    contract, without any key."""
    deposit_xpub: Xpub | None = None
    """m/44'/60'/0'/0; all that the roles gateway and watcher need."""
    owner: AddressField | None = None
    """Cold owner of the treasury contract; on test chains the treasury signer by default."""

    @model_validator(mode="after")
    def _one_source(self) -> WalletSettings:
        if self.deposits != "hd" and self.deposit_xpub is not None:
            raise ValueError(
                f'deposit_xpub has no use with deposits = "{self.deposits}"; take it out'
            )
        if self.signer == "kms" and self.kms is None:
            raise ValueError('signer = "kms" needs [wallets.kms] with its three keys')
        if self.signer != "kms" and self.kms is not None:
            raise ValueError('kms has no use without signer = "kms"; take it out')
        return self


class Tolerance(Model):
    """Shortfall that still counts as paid: the larger of the two."""

    absolute: Micros = 0
    bps: BasisPoints = 0


class InvoiceSettings(Model):
    """Defaults of new invoices."""

    expires_in: PositiveDuration = timedelta(minutes=30)
    monitor_for: Duration = timedelta(hours=24)
    tolerance: Tolerance = Tolerance()
    dust: Micros = 0
    reuse_addresses_after: Duration = timedelta(0)
    """So long past ``monitor_until`` an address may serve its merchant again; 0: never."""

    @property
    def reuse(self) -> timedelta | None:
        """How long an address rests; ``None``: it serves once."""
        return self.reuse_addresses_after or None


class UnusualOutflow(Model):
    """When the breaker takes a token's outflow of 24 hours for unusual."""

    factor: Annotated[StrictInt, Field(ge=0, le=1_000)] = 10
    """Times the daily mean of the days before; 0 switches the rule off."""
    floor: AmountText = "10000"
    """Whole units a day that are never unusual."""
    days: Annotated[StrictInt, Field(ge=1, le=90)] = 14
    """How many days before make the mean."""


class SettlementSettings(Model):
    """Defaults of payouts; amounts are texts in token units, parsed per token."""

    schedule: ScheduleText = "0 2 * * *"
    minimum_payout: AmountText = "1.00"
    sweep_minimum: AmountText = "0"
    sweep_max_cost_bps: BasisPoints = 0
    """A deposit is swept while its gas costs at most this share of it; 0: whatever it costs.
    Needs the chain's ``native_price``."""
    sweep_max_age: Duration = timedelta(0)
    """What is at least ``sweep_minimum`` is swept at any price once it is older; 0: never."""
    fee_bps: BasisPoints = 0
    max_batch: Annotated[StrictInt, Field(ge=1, le=400)] = 400
    daily_limit: dict[str, AmountText] = Field(default_factory=dict)
    """Token symbol to whole units a day (UTC) that all merchants together are promised."""
    merchant_daily_limit: dict[str, AmountText] = Field(default_factory=dict)
    """The same for each merchant."""
    payout_limit: dict[str, AmountText] = Field(default_factory=dict)
    """Token symbol to whole units of one payout."""
    transaction_limit: dict[str, AmountText] = Field(default_factory=dict)
    """Token symbol to whole units that one batch may move."""
    unusual_outflow: UnusualOutflow = UnusualOutflow()
    delay: Duration = timedelta(0)
    """A payment becomes payable this long after it is confirmed."""
    reserve_bps: BasisPoints = 0
    """Share of each payment that is kept back for :attr:`reserve_for`, against refunds."""
    reserve_for: Duration = timedelta(days=90)
    journal: Path | None = None
    """Kept outside the database; beside the SQLite file, or in the working directory."""


class SecuritySettings(Model):
    """What protects destinations and the inside network."""

    destination_cooling_off: Duration = timedelta(hours=24)
    allow_private_webhooks: StrictBool = False
    approve_destinations: StrictBool = False
    """New payout addresses wait for the approver (``BURSAR_APPROVER_KEY``), not for time."""
    approve_refunds: StrictBool = False
    approve_payouts_above: dict[str, AmountText] = Field(default_factory=dict)
    """Token symbol to whole units: a larger settlement waits for the approver. Refunds do not, but
    for ``approve_refunds``."""

    @property
    def approvals(self) -> bool:
        """Whether anything waits for a second person."""
        return bool(self.approve_destinations or self.approve_refunds or self.approve_payouts_above)


class LogSettings(Model):
    """Logs go to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"
    """``auto``: console on a terminal, JSON elsewhere."""


class Settings(Model):
    """The whole configuration, checked; no secrets (see :mod:`config.credentials`)."""

    database: DatabaseSettings = DatabaseSettings()
    http: HttpSettings = HttpSettings()
    wallets: WalletSettings = WalletSettings()
    chains: Annotated[tuple[ChainSettings, ...], Field(max_length=100)] = ()
    invoices: InvoiceSettings = InvoiceSettings()
    settlement: SettlementSettings = SettlementSettings()
    security: SecuritySettings = SecuritySettings()
    log: LogSettings = LogSettings()
