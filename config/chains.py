"""A chain as it is configured: endpoints, finality, fee cap, tokens.

The registry's files and ``[[chains]]`` in ``bursar.toml`` have the same keys;
the file's override the registry's (see :mod:`config.registry`).
"""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, model_validator

from config.fields import (
    AddressField,
    AmountText,
    BasisPoints,
    ChainNameField,
    Currency,
    GasPrice,
    Micros,
    PositiveDuration,
    RpcUrl,
    StartBlock,
    Symbol,
    Wei,
    WsUrls,
    YesNoAuto,
)
from config.money import parse_amount

GWEI: Final = 10**9
DEVELOPMENT_IDS: Final = range(31337, 31400)
"""Ids that developers give to a second or third local node; test chains where they are local."""
TEST_CHAIN_IDS: Final = frozenset({1337, 31337, 84532, 11155111})
"""Anvil, Hardhat, Ganache, and the public test networks of the registry."""
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
MOST_DECIMALS: Final = 36
"""Of a token; more would not be money."""
Tag = Literal["safe", "finalized"]


class Model(BaseModel):
    """Frozen; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Finality(Model):
    """When a block counts: at a depth, or below a tag of the node; exactly one is set.

    ``confirmations`` = head - block + 1, so 1 is the head block itself.
    """

    confirmations: Annotated[StrictInt, Field(ge=1, le=100_000)] | None = None
    tag: Tag | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_tag(cls, value: object) -> object:
        return {"tag": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one(self) -> Finality:
        if (self.confirmations is None) == (self.tag is None):
            raise ValueError('must be { confirmations = N }, "safe" or "finalized"')
        return self

    @property
    def strictness(self) -> tuple[int, int]:
        """Orders depths before ``safe`` before ``finalized``."""
        rank = {None: 0, "safe": 1, "finalized": 2}[self.tag]
        return (rank, self.confirmations or 0)


class FinalityTier(Model):
    """A stricter finality for what is worth more than ``above`` micros of its currency."""

    above: Micros
    finality: Finality


class FeeCap(Model):
    """Never pay more than the lowest of these for one transaction."""

    gwei: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = 200
    batch_native: Annotated[Wei, Field(ge=1)] = 5 * 10**17
    """Wei for one batch; ``"0.5"`` coins in the file."""
    batch_bps: BasisPoints = 50
    """Basis points of the batch's value; needs the chain's ``native_price``."""

    @property
    def max_fee_per_gas(self) -> int:
        """Wei per gas."""
        return self.gwei * GWEI


class TokenSettings(Model):
    """An ERC-20 contract; its identity is chain and address, never the symbol."""

    symbol: Symbol
    address: AddressField
    decimals: Annotated[StrictInt, Field(ge=0, le=MOST_DECIMALS)]
    currency: Currency
    """What one unit is worth, such as ``USD``."""
    flagged: StrictBool = False
    """Watched so that a payment in it is seen and labelled ``wrong_token``, but never offered."""
    treasury_floor: AmountText = "0"
    """Whole units that payouts leave in the treasury."""

    @model_validator(mode="after")
    def _floor_fits(self) -> TokenSettings:
        parse_amount(self.treasury_floor, self.decimals)
        return self


class ChainSettings(Model):
    """One EVM chain, the registry's defaults filled in."""

    name: ChainNameField
    chain_id: Annotated[StrictInt, Field(ge=1, lt=2**63)]
    rpc_urls: Annotated[tuple[RpcUrl, ...], Field(min_length=1, max_length=32, repr=False)]
    """Not shown in ``repr``: providers put their API keys in the path."""
    ws_urls: Annotated[WsUrls, Field(repr=False)] = "auto"
    """WebSockets that announce new heads, as a wake-up only; see :attr:`head_urls`."""
    poll_interval: PositiveDuration = timedelta(seconds=2)
    fee_cap: FeeCap = FeeCap()
    finality: Finality
    finality_tiers: Annotated[tuple[FinalityTier, ...], Field(max_length=16)] = ()
    start_block: StartBlock = "latest"
    tokens: Annotated[tuple[TokenSettings, ...], Field(max_length=1_000)] = ()
    block_time: PositiveDuration = timedelta(seconds=2)
    native_symbol: Symbol = "ETH"
    native_price: Annotated[
        dict[Currency, Annotated[Micros, Field(ge=1)]], Field(max_length=32)
    ] = {}
    """What one native coin is worth, micros by currency; without it ``batch_bps`` binds nothing."""
    sweep_max_gwei: Annotated[GasPrice, Field(ge=1)] | None = None
    """Wei per gas; while gas costs more, only what a payout needs is swept. ``None``: no bound."""
    gas_cap: Annotated[StrictInt, Field(ge=1_000_000, le=10**12)] = 2**24
    """The highest gas limit of one transaction: EIP-7825's, where gas pays for nothing else."""
    supports_7702: YesNoAuto = "auto"
    """``auto``: found out by asking the chain."""
    receipts_proof: StrictBool = False
    """A payment is confirmed only once its block's receipts gave the header's root."""
    balance_audit: PositiveDuration = timedelta(minutes=15)
    """From the beginning of one round over all deposit addresses to that of the next, at least."""
    keep_blocks: Annotated[StrictInt, Field(ge=1_000, le=10**9)] = 20_000
    """Blocks below the final one whose hashes are kept one by one; deeper ones are thinned out."""
    is_test: StrictBool = False

    @model_validator(mode="after")
    def _tiers_rise(self) -> ChainSettings:
        tiers = tuple(sorted(self.finality_tiers, key=lambda tier: tier.above))
        object.__setattr__(self, "finality_tiers", tiers)
        for lower, higher in pairwise(tiers):
            if lower.above == higher.above:
                raise ValueError("finality_tiers has two tiers above the same amount")
        steps = [self.finality, *(tier.finality for tier in tiers)]
        for weaker, stronger in pairwise(steps):
            if weaker.strictness > stronger.strictness:
                raise ValueError("finality_tiers must not get weaker as amounts rise")
        return self

    @property
    def caip2(self) -> str:
        """``eip155:8453`` (CAIP-2)."""
        return f"eip155:{self.chain_id}"

    @property
    def head_urls(self) -> tuple[str, ...]:
        """Where to listen for new heads.

        ``auto`` is the same address for nodes on this machine (Anvil and Hardhat answer
        both on one port) and nothing for others: paid providers count every head.
        """
        if self.ws_urls != "auto":
            return self.ws_urls
        local = (url for url in self.rpc_urls if urlsplit(url).hostname in LOOPBACK)
        return tuple("ws" + url.removeprefix("http") for url in local)

    @property
    def hard_finality(self) -> Finality:
        """The strictest of all tiers: below it nothing may ever change."""
        return self.finality_tiers[-1].finality if self.finality_tiers else self.finality

    def finality_for(self, micros: int) -> Finality:
        """What an amount (cumulative, not final yet; micros of its currency) has to wait for."""
        passed = [tier.finality for tier in self.finality_tiers if micros > tier.above]
        return passed[-1] if passed else self.finality
