"""Where everything stands: chains, tokens, contracts, keys, and the daemon's configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from chain.deployment import HelperContracts, plan_addresses
from config.settings import Secrets, Settings, parse_settings
from config.units import Address, checksum
from tests.simulation.chain.blocks import GWEI, SimChain
from tests.simulation.chain.code import (
    Collector,
    DepositFactory,
    Disperser,
    Forwarder,
    Poisoner,
    Token,
    Treasury,
    UsdcLike,
    UsdtLike,
)
from tests.simulation.chain.evm import Contract, Slots
from tests.simulation.faults import Faults
from tests.simulation.guards import Guards
from tests.simulation.machine.clock import EPOCH, SimEntropy
from wallets.keyring import KeyRing, new_keystore, online_keystore

PASSPHRASE = "correct horse battery staple"
ADMIN_KEY = "the-operators-key-of-the-simulation"
APPROVER_KEY = "the-approvers-key-of-the-simulation"
RICH = 10**30
SPONSOR_WEI = 50 * 10**18


def account(name: str) -> Address:
    """An address with a name."""
    return Address(bytes(keccak(text=name)[12:]))


OWNER = account("owner")
BANK = account("the owner's bank")
WHALE = account("whale")
"""Pays the invoices: it has every token."""
DISPERSER, POISONER = account("disperser"), account("poisoner")


@dataclass(frozen=True)
class Plan:
    """One chain as a seed has it."""

    name: str
    chain_id: int
    block_time: int
    finality: Any
    providers: int
    depth: int
    """Blocks after which nothing changes any more."""
    tiers: tuple[Any, ...] = ()
    proofs: bool = False
    """Whether its payments are proven by their blocks' hashes."""


@lru_cache(maxsize=1)
def keyring() -> tuple[KeyRing, bytes]:
    """One installation's keys and its keystore file; making them costs half a second."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keystore.json"
        document = {"wallets": {"keystore": str(path), "owner": checksum(OWNER)}}
        base = {
            "name": "alpha", "chain_id": 777001, "rpc_urls": ["https://a.example/"],
            "finality": {"confirmations": 3},
        }  # fmt: skip
        settings = parse_settings({**document, "chains": [base]})
        ring = new_keystore(settings, secrets(), SimEntropy(0, "keystore"), cost=2)
        return ring, path.read_bytes()


@lru_cache(maxsize=1)
def keyless_keystore() -> bytes:
    """The same without the seed of deposit addresses: for those that have no key, or none here."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        online = Path(folder) / "online.json"
        plan = Plan("alpha", 777001, 2, {"confirmations": 3}, 1, 3)
        settings = settings_of(
            [plan], Path(folder), f"sqlite+aiosqlite:///{folder}/none.db",
            schedule="every 1h", poll="2s", fee_bps=0,
        )  # fmt: skip
        settings = offline_settings(settings, Path(folder))
        online_keystore(settings, secrets(), SimEntropy(0, "online"), online, cost=2)
        return online.read_bytes()


def offline_settings(settings: Settings, folder: Path) -> Settings:
    """Of the machine that has the whole keystore, written into this folder."""
    whole = folder / "whole.json"
    whole.write_bytes(keyring()[1])
    wallets = settings.wallets.model_copy(update={"keystore": whole})
    return settings.model_copy(update={"wallets": wallets})


def secrets() -> Secrets:
    return Secrets.model_validate(
        {
            "admin_key": ADMIN_KEY,
            "approver_key": APPROVER_KEY,
            "keystore_passphrase": PASSPHRASE,
            "data_key": "ZGF0YSBrZXkgb2YgdGhlIHNpbXVsYXRpb24sIDMyIGI=",
        }
    )


def helpers() -> HelperContracts:
    ring, _ = keyring()
    return plan_addresses(OWNER, ring.treasury_signer().address, ring.sponsor("sweeps").address)


TOKENS: dict[str, Callable[[], Token]] = {
    "USDC": lambda: UsdcLike("USD Coin", "USDC", 6),
    "USDT": lambda: UsdtLike("Tether USD", "USDT", 6),
    "DAI": lambda: Token("Dai Stablecoin", "DAI", 18),
    "FAKE": lambda: UsdcLike("USD Coin", "USDC", 6),
}
TIER_MICROS = 300 * 10**6
"""Above it a chain with tiers waits for its finality tag."""
REGISTERED = ("USDC", "USDT", "DAI")
DECIMALS = {"USDC": 6, "USDT": 6, "DAI": 18, "FAKE": 6}


def token_address(symbol: str) -> Address:
    """The same on every chain."""
    return account(f"token {symbol}")


def code() -> dict[bytes, Contract]:
    ring, _ = keyring()
    where = helpers()
    found: dict[bytes, Contract] = {token_address(s): make() for s, make in TOKENS.items()}
    found[where.treasury] = Treasury(OWNER, ring.treasury_signer().address)
    found[where.collector] = Collector(OWNER, ring.sponsor("sweeps").address, where.treasury)
    found[where.forwarder] = Forwarder(where.collector)
    found[where.factory] = DepositFactory(where.factory, where.forwarder)
    found[DISPERSER], found[POISONER] = Disperser(), Poisoner()
    return found


def genesis(*, poor: bool) -> Slots:
    ring, _ = keyring()
    slots: Slots = {}
    for symbol in TOKENS:
        for holder in (WHALE, DISPERSER):
            slots[token_address(symbol), "balance", holder] = RICH
    for lane in ("sweeps", "payouts"):
        slots["wei", ring.sponsor(lane).address] = 10**15 if poor else SPONSOR_WEI
    return slots


def make_chain(plan: Plan, faults: Faults) -> SimChain:
    """The chain with everything deployed and one block to start from."""

    def market(number: int) -> int:
        dice = faults.dice
        if faults.holds("fee_spike", plan.name, 600.0):
            return 100 * GWEI
        wave = dice.fixed(f"market|{plan.name}|{number // 50}") % (4 * GWEI)
        return GWEI + wave

    def takes(number: int, tx_hash: bytes) -> bool:
        return not faults.strikes("slow_miner", f"{plan.name}|{number}|{tx_hash.hex()}")

    return SimChain(
        plan.name,
        plan.chain_id,
        epoch=int(EPOCH.timestamp()),
        block_time=plan.block_time,
        code=code(),
        genesis=genesis(poor=faults.level["sponsor_empty"] > 0),
        market=market,
        takes=takes,
        delegations=not faults.strikes("no_delegation", plan.name),
        proofs=plan.proofs,
    )


def provider_urls(plan: Plan) -> list[str]:
    return [f"https://{plan.name}{n}.example/key{n}" for n in range(plan.providers)]


def settings_of(
    plans: list[Plan], folder: Path, url: str, *,
    schedule: str, poll: str, fee_bps: int, deposits: str = "hd", guards: Guards | None = None,
) -> Settings:  # fmt: skip
    """The daemon's configuration.

    :param url: of its database.
    """
    guards = guards or Guards()
    return parse_settings(
        {
            "database": {"url": url},
            "http": {"public_url": "https://pay.example"},
            "wallets": {
                "keystore": f"{folder}/keystore.json",
                "owner": checksum(OWNER),
                "deposits": deposits,
            },
            "invoices": {"expires_in": "30m", "monitor_for": "90m", "dust": "0.001"},
            "settlement": {
                "schedule": schedule,
                "minimum_payout": "1.00",
                "fee_bps": fee_bps,
                "journal": f"{folder}/books.journal",
                **guards.settlement(REGISTERED),
            },
            "security": {"destination_cooling_off": "10m", **guards.security(REGISTERED)},
            "chains": [_chain(plan, poll) for plan in plans],
        }
    )


def _chain(plan: Plan, poll: str) -> dict[str, Any]:
    return {
        "name": plan.name,
        "chain_id": plan.chain_id,
        "rpc_urls": provider_urls(plan),
        "poll_interval": poll,
        "block_time": f"{plan.block_time}s",
        "finality": plan.finality,
        "finality_tiers": list(plan.tiers),
        "receipts_proof": plan.proofs,
        "tokens": [
            {
                "symbol": symbol,
                "address": checksum(token_address(symbol)),
                "decimals": DECIMALS[symbol],
                "currency": "USD",
            }
            for symbol in REGISTERED
        ],
    }
