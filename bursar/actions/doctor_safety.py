"""What the doctor says of the limits on paying: who owns the treasury, limits, floors, fees."""

from __future__ import annotations

import re
from typing import Final

from bursar.actions.doctor_policies import unpriced
from bursar.actions.finding import Finding
from bursar.addresses import OwnAddresses, real_chains
from bursar.compose import House
from chain.rpc.errors import RpcError
from config.catalogue import Token
from config.chains import ChainSettings
from config.errors import BursarError, DatabaseError
from config.money import format_amount
from config.settings import Secrets, Settings
from config.units import checksum
from ledger.books import totals_of
from ledger.figures import fee_waits
from ledger.pauses import active_pauses
from ledger.postings import AccountKind, AccountRef
from settlement.fees import as_gwei

LEAST_KEY: Final = 16
NO_LIMITS = "none: a single mistake, or a stolen admin key, may promise all that is available"


def operator_keys(settings: Settings, secrets: Secrets) -> list[Finding]:
    """Whether operators' keys can be sent at all and, where money is real, not be guessed. Pure."""
    found = []
    least = LEAST_KEY if real_chains(settings.chains) else 1
    for name, key in (("admin", secrets.admin_key), ("approver", secrets.approver_key)):
        variable = f"BURSAR_{name.upper()}_KEY"
        if key is not None:
            fault = _key_fault(key.get_secret_value(), least)
            text = "is set" if fault is None else f"{variable} {fault}"
            found.append(Finding(fault is None, f"{name} key", text))
        elif name == "admin":
            found.append(Finding(False, "admin key", f"{variable} is not set"))
    return found


def _key_fault(key: str, least: int) -> str | None:
    if not re.fullmatch(r"[\x21-\x7e]{1,512}", key):
        return "cannot be sent: up to 512 ASCII characters without spaces or line breaks"
    if len(key) < least:
        return f"has fewer than {least} characters: whoever reaches the port can try them all"
    return None


def owner(settings: Settings, own: OwnAddresses | BursarError) -> Finding:
    """Whether somebody cold rules the treasury. Pure."""
    if isinstance(own, BursarError):
        return Finding(False, "treasury owner", str(own))
    text = checksum(own.owner)
    if own.owner != own.treasury_signer:
        return Finding(True, "treasury owner", text)
    real = real_chains(settings.chains)
    return Finding(not real, "treasury owner", f"{text}, the signer itself: for test chains only")


def limits(settings: Settings) -> list[Finding]:
    """Which limits hold, by token. Pure."""
    given = settings.settlement
    kinds = (
        ("payout", given.payout_limit),
        ("transaction", given.transaction_limit),
        ("merchant and day", given.merchant_daily_limit),
        ("day", given.daily_limit),
    )
    symbols = {t.symbol for c in settings.chains for t in c.tokens if not t.flagged}
    found = []
    for symbol in sorted(symbols):
        told = [f"{amounts[symbol]} a {kind}" for kind, amounts in kinds if symbol in amounts]
        found.append(Finding(True, f"limits of {symbol}", ", ".join(told) or NO_LIMITS))
    rule = given.unusual_outflow
    text = "off (settlement.unusual_outflow.factor = 0)"
    if rule.factor:
        text = (
            f"stops a token beyond {rule.factor} times the mean of {rule.days} days and "
            f"{rule.floor} a day, after a week of history"
        )
    return [*found, Finding(True, "unusual outflow", text)]


def native_price(chain: ChainSettings) -> Finding:
    """Whether ``fee_cap.batch_bps`` can bind. Pure."""
    subject = f"{chain.name} native price"
    missing = ", ".join(unpriced(chain))
    if not chain.native_price:
        text = "native_price is not set: fee_cap.batch_bps binds nothing"
        return Finding(True, subject, text)
    if missing:
        text = f"native_price is not set in {missing}: fee_cap.batch_bps binds nothing there"
        return Finding(True, subject, text)
    prices = ", ".join(
        f"{format_amount(micros, 6)} {currency}"
        for currency, micros in sorted(chain.native_price.items())
    )
    return Finding(True, subject, f"{prices}, fee_cap.batch_bps = {chain.fee_cap.batch_bps}")


async def examine_safety(
    house: House, chain: ChainSettings, own: OwnAddresses | BursarError
) -> list[Finding]:
    """Fees, floors and what is stopped on one chain; where it does not answer, what is known."""
    found = [native_price(chain), *await _stopped(house, chain)]
    try:
        quote = await house.chains[chain.name].fees()
    except RpcError:
        return found  # the doctor says so elsewhere
    price, cap = quote.base_fee + quote.tip, chain.fee_cap.max_fee_per_gas
    text = f"gas costs {as_gwei(price)} gwei, fee_cap.gwei allows {chain.fee_cap.gwei}"
    if price > cap:
        text += ": nothing is sent until fees fall (or raise it)"
    found.append(Finding(price <= cap, f"{chain.name} fees", text))
    if not isinstance(own, BursarError):
        found += await _floors(house, chain, own)
    return found


async def _floors(house: House, chain: ChainSettings, own: OwnAddresses) -> list[Finding]:
    found = []
    for token in house.catalogue.payable_tokens(chain.name):
        if not token.treasury_floor:
            continue
        subject = f"{chain.name} floor of {token.symbol}"
        try:
            (held,) = await house.chains[chain.name].token_balances(
                token.address, [own.contracts.treasury]
            )
        except RpcError as error:
            found.append(Finding(False, subject, str(error)))
            continue
        found.append(floor_finding(token, held, await _unswept(house, token)))
    return found


def floor_finding(token: Token, held: int, unswept: int | None) -> Finding:
    """Whether a floor lets anything out. Pure; base units.

    :param held: by the treasury on chain.
    :param unswept: at deposit addresses, by the books; ``None``: not known.
    """
    floor, left = (format_amount(n, token.decimals) for n in (token.treasury_floor, held))
    text = f"{floor} stay, the treasury holds {left}"
    subject = f"{token.chain} floor of {token.symbol}"
    if held > token.treasury_floor or unswept is None:
        return Finding(True, subject, text)
    if held + unswept > token.treasury_floor:
        return Finding(True, subject, f"{text}: payouts wait for sweeps")
    text += (
        f" and {format_amount(unswept, token.decimals)} lie unswept: no payout can leave "
        "(lower treasury_floor, or send the treasury what is to stay there)"
    )
    return Finding(False, subject, text)


async def _unswept(house: House, token: Token) -> int | None:
    """What the books say lies at deposit addresses; ``None`` where they do not answer."""
    account = AccountRef(AccountKind.DEPOSITS, token.chain, token.symbol)
    try:
        async with house.ledger.reading() as tx:
            totals = (await totals_of(tx, [account]))[account]
    except DatabaseError:
        return None
    return totals.debits_posted + totals.debits_pending - totals.credits_posted


async def _stopped(house: House, chain: ChainSettings) -> list[Finding]:
    """What waits at the fee cap, and which tokens' payouts are stopped, with the reason."""
    try:
        async with house.ledger.reading() as tx:
            waits = await fee_waits(tx)
            stops = await active_pauses(tx)
    except DatabaseError:
        return []
    found = [
        Finding(False, f"{name} {lane}", f"waits at the fee cap: {reason}")
        for (name, lane), reason in sorted(waits.items())
        if name == chain.name
    ]
    for stop in stops:
        place = stop.scope.partition(":")[2]
        if place.partition("/")[0] in {"", chain.name}:
            text = f"stopped since {stop.since:%Y-%m-%d %H:%M} UTC: {stop.reason or 'by hand'}"
            found.append(Finding(False, f"{chain.name} {stop.scope.partition(':')[0]}", text))
    return found
