"""What lies at deposit addresses of one token, each with the reason why it still does."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from chain.client import ChainClient
from config.catalogue import Token
from config.chains import ChainSettings
from config.models import SettlementSettings
from config.money import least_amount
from config.units import Address
from ledger.holds import open_places
from ledger.store import Ledger
from ledger.sweeps import BEGINNING, MOST_PAYMENTS, Deposit, Place, swept_before, unswept_deposits
from settlement.sweep_policy import FREE, Market, SweepGas, SweepRule, Waits, waits_for


@dataclass(frozen=True, slots=True)
class Seen:
    """A deposit that no sweep has taken, and why."""

    deposit: Deposit
    waits: Waits


@dataclass(frozen=True, slots=True)
class Outlook:
    """A page of a token's unswept deposits.

    :param next: where the next page begins; ``None``: this is the last.
    :param known: addresses that were swept before, of those whose gas counts.
    :param market: ``None`` where no rule asks what gas costs.
    """

    seen: tuple[Seen, ...] = ()
    known: frozenset[Address] = frozenset()
    market: Market | None = None
    next: Place | None = None


class DepositRounds:
    """Where the next look begins, token by token: in a round each deposit is seen once.

    :param most: payments of a page: so many that few books ever have a second.
    """

    def __init__(self, most: int = MOST_PAYMENTS) -> None:
        self.most = most
        self._at: dict[str, Place] = {}
        self._found: set[str] = set()
        self._dry: set[str] = set()

    def begins(self, token: str) -> Place:
        """Where."""
        return self._at.get(token, BEGINNING)

    def all_seen(self, token: str, page: Outlook) -> bool:
        """Whether nothing better than this page can be on another: it is the only one, or a
        whole round has found nothing worth its gas."""
        only = page.next is None and token not in self._at
        return only or token in self._dry

    def worth_a_look(self, tokens: Sequence[Token], unswept: Collection[str]) -> list[Token]:
        """Those with anything unswept; of the others there is nothing on any page."""
        for token in tokens:
            if token.symbol not in unswept:
                self.looked(token.symbol, Outlook(), found=False)
        return [token for token in tokens if token.symbol in unswept]

    def looked(self, token: str, page: Outlook, *, found: bool) -> None:
        """Go on behind the page, or begin a new round.

        :param found: something of the page is swept.
        """
        if found:
            self._found.add(token)
            self._dry.discard(token)
        if page.next is not None:
            self._at[token] = page.next
            return
        self._at.pop(token, None)
        if token not in self._found:
            self._dry.add(token)
        self._found.discard(token)


async def sum_deposits(
    client: ChainClient, ledger: Ledger, settings: SettlementSettings, token: Token, gas: SweepGas
) -> dict[Waits, tuple[int, int]]:
    """Deposits and base units by reason, page by page; every reason, also where nothing waits.

    :raises RpcError: the chain was asked for its price, and does not answer.
    """
    sums = dict.fromkeys(Waits, (0, 0))
    place: Place | None = BEGINNING
    while place is not None:
        page = await look_at_deposits(client, ledger, settings, token, gas, place)
        for one in page.seen:
            count, units = sums[one.waits]
            sums[one.waits] = (count + 1, units + one.deposit.amount)
        place = page.next
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
    client: ChainClient,
    ledger: Ledger,
    settings: SettlementSettings,
    token: Token,
    gas: SweepGas,
    after: Place = BEGINNING,
    most: int = MOST_PAYMENTS,
) -> Outlook:
    """A page of what lies there; the chain is asked for its price only if that counts.

    :param after: where the page before ended.
    :param most: payments of a page.
    :raises RpcError: it was asked, and does not answer.
    """
    chain = ledger.catalogue.chain(token.chain)
    rule = rule_of(chain, settings, token)
    native = chain.native_price.get(token.currency)
    async with ledger.reading() as tx:
        deposits, following = await unswept_deposits(tx, token.chain, token.symbol, after, most)
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

    seen = tuple(Seen(d, why(d)) for d in deposits)
    return Outlook(seen, frozenset(known), market, following)


def places_of(chain: str, deposit: Deposit) -> set[str]:
    """Under which names a hold stops this deposit: its account, or it in this token."""
    account = f"{chain}/{deposit.address.hex()}"
    return {account, f"{account}/{deposit.token}"}
