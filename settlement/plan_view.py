"""A plan as people and programs see it: amounts as decimal text, gas beside it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from config.catalogue import Catalogue
from config.money import format_amount
from config.units import ChainName, TokenSymbol, checksum
from settlement.costs import ChainCost
from settlement.planning import Plan

NATIVE_DECIMALS: Final = 18


def view_plan(plan: Plan, catalogue: Catalogue, payout_ids: Sequence[str] = ()) -> dict[str, Any]:
    """A plan as JSON: amounts as decimal text.

    :param payout_ids: of its payouts, where they exist already.
    """
    decimals = {(token.chain, token.symbol): token.decimals for token in catalogue}

    def amount(chain: str, token: str, value: int) -> str:
        return format_amount(value, decimals.get((ChainName(chain), TokenSymbol(token)), 0))

    ids: Sequence[str | None] = payout_ids or [None] * len(plan.payouts)
    return {
        "payouts": [
            {
                "payout": payout_id,
                "merchant": p.merchant_id,
                "chain": p.chain,
                "token": p.token,
                "amount": amount(p.chain, p.token, p.amount),
                "address": checksum(p.address),
                "on_hold": None if p.waits else p.reason,
                "waits_for": p.reason if p.waits else None,
            }
            for p, payout_id in zip(plan.payouts, ids, strict=True)
        ],
        "held_back": [
            {
                "merchant": h.merchant_id,
                "chain": h.chain,
                "token": h.token,
                "amount": amount(h.chain, h.token, h.amount),
                "reason": h.reason,
            }
            for h in plan.held_back
        ],
    }


def view_costs(costs: Sequence[ChainCost]) -> list[dict[str, Any]]:
    """What the payouts of a plan would cost, per chain; ``share`` is one payout's part."""
    return [
        {
            "chain": c.chain,
            "payouts": c.payouts,
            "batches": c.batches,
            "gas": c.gas,
            "native": format_amount(c.wei, NATIVE_DECIMALS) if c.wei else None,
            "share": format_amount(c.wei_per_payout, NATIVE_DECIMALS) if c.wei else None,
        }
        for c in costs
    ]
