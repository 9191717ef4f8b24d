"""From balances to a plan: who gets what, on which chain, and who has to wait and why. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from chain.helper_contracts import MAX_ENTRY_AMOUNT
from config.units import ZERO_ADDRESS, Address
from ledger.limits import Limits, Promised
from ledger.runs import Destination, MerchantBalance
from settlement.terms import Withheld

NO_DESTINATION: Final = "no payout destination"
COOLING_OFF: Final = "destination is cooling off"
NOT_APPROVED: Final = "destination waits for approval"
REFUSED: Final = "destination is an address that cannot be paid to"
BELOW_MINIMUM: Final = "below the minimum payout"
OWES: Final = "merchant owes for a reversed payment"
PAUSED: Final = "payouts are paused"
HALTED: Final = "chain is halted"
NOT_COMPARED: Final = "books are not compared with the chain yet"
NOT_CONFIGURED: Final = "token is not configured any more"
DELAYED: Final = "payments are younger than the payout delay"
RESERVED: Final = "kept as reserve"
LARGE: Final = "payout waits for approval"


@dataclass(frozen=True, slots=True)
class Rules:
    """What a plan must respect.

    :param minimums: base units by (merchant, chain, token).
    :param refused: addresses never paid to: tokens, helper contracts, sponsors, own deposits.
    :param stopped: why a chain gets no new payouts now, by chain.
    :param withheld: what terms keep back, by (merchant, chain, token).
    :param approve_above: base units by (chain, token) beyond which a second person decides.
    :param limits: beyond which a payout begins on hold.
    :param promised: today, this plan not included.
    """

    now: datetime
    minimums: Mapping[tuple[str, str, str], int]
    refused: Collection[Address]
    stopped: Mapping[str, str]
    withheld: Mapping[tuple[str, str, str], Withheld] = field(default_factory=dict)
    approve_above: Mapping[tuple[str, str], int] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    promised: Promised = field(default_factory=Promised)


@dataclass(frozen=True, slots=True)
class PlannedPayout:
    """A payout to make; ``reason`` is set where it has to start on hold. Base units.

    :param waits: for a second person, not for an operator's release.
    """

    merchant_id: str
    chain: str
    token: str
    amount: int
    address: Address
    reason: str | None = None
    waits: bool = False


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A balance that stays where it is, and why."""

    merchant_id: str
    chain: str
    token: str
    amount: int
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does."""

    payouts: tuple[PlannedPayout, ...]
    held_back: tuple[HeldBack, ...]


def make_plan(
    balances: Sequence[MerchantBalance], destinations: Sequence[Destination], rules: Rules
) -> Plan:
    """Everything available goes out, but for what a rule holds back."""
    promised = rules.promised.copy()
    places: dict[str, list[Destination]] = defaultdict(list)
    for destination in destinations:
        places[destination.merchant_id].append(destination)
    made: list[PlannedPayout] = []
    held: list[HeldBack] = []
    for balance in balances:
        if balance.available <= 0:
            continue
        payable, kept = _after_terms(balance, rules)
        held += kept
        if payable <= 0:
            continue
        chosen = choose_destination(balance, places[balance.merchant_id])
        reason = _obstacle(balance, payable, chosen, rules)
        if reason is not None or chosen is None:
            place = (balance.merchant_id, balance.chain, balance.token)
            held.append(HeldBack(*place, payable, reason or NO_DESTINATION))
            continue
        # What one batch entry cannot hold goes with the next run.
        payout = _planned(balance, min(payable, MAX_ENTRY_AMOUNT), chosen.address, promised, rules)
        if payout.reason is None or payout.reason == LARGE:
            promised.add(balance.merchant_id, (balance.chain, balance.token), payout.amount)
        made.append(payout)
    return Plan(tuple(made), tuple(held))


def _after_terms(balance: MerchantBalance, rules: Rules) -> tuple[int, list[HeldBack]]:
    """What is payable, and what delay and reserve keep of the balance."""
    place = (balance.merchant_id, balance.chain, balance.token)
    terms = rules.withheld.get(place, Withheld())
    payable = max(balance.available - terms.total, 0)
    # Refunds may have taken more than is left: then less is kept than the terms say.
    reserved = min(terms.reserved, balance.available)
    delayed = min(terms.delayed, balance.available - reserved)
    kept = [HeldBack(*place, n, why) for n, why in ((delayed, DELAYED), (reserved, RESERVED)) if n]
    return payable, kept


def _planned(
    balance: MerchantBalance,
    amount: int,
    address: Address,
    promised: Promised,
    rules: Rules,
) -> PlannedPayout:
    key = (balance.chain, balance.token)
    threshold = rules.approve_above.get(key)
    over = promised.exceeded(rules.limits, balance.merchant_id, key, amount)
    # The second person comes first: an operator's release of a limit's hold asks nobody else.
    large = threshold is not None and amount > threshold
    reason = ", ".join(why for why in (LARGE if large else None, over) if why) or None
    place = (balance.merchant_id, balance.chain, balance.token)
    return PlannedPayout(*place, amount, address, reason, waits=large)


def choose_destination(
    balance: MerchantBalance, destinations: Sequence[Destination]
) -> Destination | None:
    """The destination for exactly this token, else the chain's; the newest of several.

    A newer one that still cools off does not fall back to the older: the merchant has
    replaced it, perhaps because its key was lost.
    """
    fitting = [
        d
        for d in destinations
        if (d.merchant_id, d.chain) == (balance.merchant_id, balance.chain)
        and d.token in {None, balance.token}
    ]
    fitting.sort(key=lambda d: (d.token is not None, d.id), reverse=True)
    return fitting[0] if fitting else None


def _obstacle(
    balance: MerchantBalance, payable: int, chosen: Destination | None, rules: Rules
) -> str | None:
    """The first rule that holds the balance back, in the order in which they stand here."""
    minimum = rules.minimums.get((balance.merchant_id, balance.chain, balance.token))
    if minimum is None:
        return NOT_CONFIGURED
    if chosen is None:
        return rules.stopped.get(balance.chain, NO_DESTINATION)
    refused = chosen.address == ZERO_ADDRESS or chosen.address in rules.refused
    obstacles = (
        (balance.chain in rules.stopped, rules.stopped.get(balance.chain, "")),
        (balance.owed > 0, OWES),
        (chosen.status == "pending_approval", NOT_APPROVED),
        (chosen.active_at > rules.now, COOLING_OFF),
        (refused, REFUSED),
        (payable < minimum, BELOW_MINIMUM),
    )
    return next((reason for applies, reason in obstacles if applies), None)
