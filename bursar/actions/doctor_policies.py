"""Settings of sweeping and paying that cannot do what they say together. Pure.

Each of them is valid alone, so nothing refuses it at the start; what it was set for
would silently not happen.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from bursar.actions.finding import Finding
from config.chains import ChainSettings, TokenSettings
from config.clock import Clock
from config.models import Settings
from config.money import FIAT_DECIMALS, parse_amount
from config.schedules import parse_schedule

_LIMITS: Final = ("payout_limit", "transaction_limit", "merchant_daily_limit", "daily_limit")


def policies(settings: Settings, clock: Clock) -> list[Finding]:
    """A failing line for each; nothing where all is well."""
    found = [*_limits_below_minimum(settings), *_never_due(settings, clock)]
    for chain in settings.chains:
        found += [*_sweep_cost(settings, chain), *_fee_cap(chain)]
    return found


def _offered(chain: ChainSettings) -> list[TokenSettings]:
    return [token for token in chain.tokens if not token.flagged]


def unpriced(chain: ChainSettings) -> list[str]:
    """Currencies of offered tokens that the chain's ``native_price`` lacks."""
    return sorted({token.currency for token in _offered(chain)} - chain.native_price.keys())


def _sweep_cost(settings: Settings, chain: ChainSettings) -> list[Finding]:
    bps, missing = settings.settlement.sweep_max_cost_bps, unpriced(chain)
    if not bps or not missing:
        return []
    text = (
        f"settlement.sweep_max_cost_bps = {bps} binds nothing in {', '.join(missing)}: without a "
        "native_price no cost can be compared with a deposit (add native_price = "
        f'{{ {missing[0]} = "…" }} to this chain, or take the rule out)'
    )
    return [Finding(False, f"{chain.name} sweep cost", text)]


def _fee_cap(chain: ChainSettings) -> list[Finding]:
    if chain.fee_cap.batch_bps or not chain.native_price:
        return []
    currencies = ", ".join(sorted(chain.native_price))
    text = (
        f"fee_cap.batch_bps = 0 and native_price is set in {currencies}: no transaction of these "
        "may cost anything, so none is ever sent (set batch_bps, 50 by default)"
    )
    return [Finding(False, f"{chain.name} fee cap", text)]


def _limits_below_minimum(settings: Settings) -> list[Finding]:
    least = parse_amount(settings.settlement.minimum_payout, FIAT_DECIMALS)
    found = []
    for key in _LIMITS:
        limits: dict[str, str] = getattr(settings.settlement, key)
        below = [s for s, text in limits.items() if parse_amount(text, FIAT_DECIMALS) < least]
        if below:
            found.append(_all_on_hold(settings, key, below))
    return found


def _all_on_hold(settings: Settings, key: str, symbols: Collection[str]) -> Finding:
    text = (
        f"settlement.{key} of {', '.join(sorted(symbols))} is below settlement.minimum_payout = "
        f"{settings.settlement.minimum_payout}: every payout begins on hold (raise {key}, or "
        "lower minimum_payout)"
    )
    return Finding(False, "limits", text)


def _never_due(settings: Settings, clock: Clock) -> list[Finding]:
    schedule = settings.settlement.schedule
    if parse_schedule(schedule).next_after(clock.now()) is not None:
        return []
    text = f"settlement.schedule = {schedule!r} never comes due: nobody is paid (correct it)"
    return [Finding(False, "schedule", text)]
