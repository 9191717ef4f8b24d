"""What lies at deposit addresses of one token, each with the reason why it still does."""

from __future__ import annotations

from dataclasses import dataclass

from chain.client import ChainClient
from config.catalogue import Token
from config.chains import ChainSettings
from config.models import SettlementSettings
from config.money import least_amount
from config.units import Address
from ledger.holds import open_places
from ledger.store import Ledger
from ledger.sweeps import Deposit, swept_before, unswept_deposits
from settlement.sweep_policy import FREE, Market, SweepGas, SweepRule, Waits, waits_for


@dataclass(frozen=True, slots=True)
class Seen:
    """A deposit that no sweep has taken, and why."""

    deposit: Deposit
    waits: Waits


@dataclass(frozen=True, slots=True)
class Outlook:
    """Every unswept deposit of a token.

    :param known: addresses that were swept before, of those whose gas counts.
    :param market: ``None`` where no rule asks what gas costs.
    """

    seen: tuple[Seen, ...] = ()
    known: frozenset[Address] = frozenset()
    market: Market | None = None


def summed(outlook: Outlook) -> dict[Waits, tuple[int, int]]:
    """Deposits and base units by reason; every reason, also those that nothing waits for. Pure."""
    sums = dict.fromkeys(Waits, (0, 0))
    for one in outlook.seen:
        count, units = sums[one.waits]
        sums[one.waits] = (count + 1, units + one.deposit.amount)
    return sums


def rule_of(chain: ChainSettings, settings: SettlementSettings, token: Token) -> SweepRule:
    """The configured rule, in this token's base units."""
    return SweepRule(
        minimum=least_amount(settings.sweep_minimum, token.decimals),
        max_cost_bps=settings.sweep_max_cost_bps,
        max_price=chain.sweep_max_gwei,
        max_age=settings.sweep_max_age,
    )


async def look_at_deposits(
    client: ChainClient, ledger: Ledger, settings: SettlementSettings, token: Token, gas: SweepGas
) -> Outlook:
    """What lies there; the chain is asked for its price only if that counts.

    :raises RpcError: it was asked, and does not answer.
    """
    chain = ledger.catalogue.chain(token.chain)
    rule = rule_of(chain, settings, token)
    native = chain.native_price.get(token.currency)
    async with ledger.reading() as tx:
        deposits = await unswept_deposits(tx, token.chain, token.symbol)
        if not deposits:
            return Outlook()
        held = await open_places(tx, "batch", f"{token.chain}/")
        priced = [] if native is None else [d.address for d in deposits if d.amount >= rule.minimum]
        known = await swept_before(tx, token.chain, priced)
        now = tx.now
    market = None
    if native is not None or rule.max_price is not None:
        quote = await client.fees()
        market = Market(quote.base_fee + quote.tip, native)

    def why(deposit: Deposit) -> Waits:
        if places_of(token.chain, deposit) & held:
            return Waits.HELD
        value = token.to_micros(deposit.amount)
        return waits_for(deposit, value, gas.of([deposit], known), rule, market or FREE, now)

    return Outlook(tuple(Seen(d, why(d)) for d in deposits), frozenset(known), market)


def places_of(chain: str, deposit: Deposit) -> set[str]:
    """Under which names a hold stops this deposit: its account, or it in this token."""
    account = f"{chain}/{deposit.address.hex()}"
    return {account, f"{account}/{deposit.token}"}
