"""What settlement tells, as metrics."""

from __future__ import annotations

from bursar.metrics.families import Families
from config.clock import Clock
from config.log import get_logger

log = get_logger("settlement")


class SettlementMetrics:
    """A :class:`settlement.observer.SettlementObserver`."""

    def __init__(self, families: Families, clock: Clock) -> None:
        self._families = families
        self._clock = clock

    def tx_pending(self, chain: str, lane: str, count: int, oldest_seconds: float) -> None:
        self._families.tx_pending.labels(chain, lane).set(count)
        self._families.tx_oldest_pending.labels(chain, lane).set(oldest_seconds)

    def nonce_gap(self, chain: str, lane: str, gap: int) -> None:
        self._families.nonce_gap.labels(chain, lane).set(gap)

    def replaced(self, chain: str, lane: str) -> None:
        self._families.tx_replacements.labels(chain, lane).inc()

    def fee_paid(self, chain: str, purpose: str, wei: int) -> None:
        self._families.tx_fee_native.labels(chain, purpose).inc(wei)

    def batch_sealed(self, chain: str, lane: str, size: int) -> None:
        family = (
            self._families.payout_batch_size if lane == "payouts" else self._families.sweep_size
        )
        family.labels(chain).observe(size)

    def payouts_finished(self, chain: str, token: str, paid: int, held: int) -> None:
        self._families.payouts_finished.labels(chain, token, "paid").inc(paid)
        self._families.payouts_finished.labels(chain, token, "on_hold").inc(held)

    def gas_runway(self, chain: str, payouts: int) -> None:
        self._families.gas_runway.labels(chain).set(payouts)

    def onchain_balance(self, role: str, chain: str, token: str, amount: int) -> None:
        self._families.onchain_balance.labels(role, chain, token).set(amount)

    def reconciled(self, chain: str, token: str, difference: int) -> None:
        self._families.reconciliation_difference.labels(chain, token).set(difference)
        self._families.reconciled_at.labels(chain).set(self._clock.now().timestamp())

    def unswept(self, chain: str, token: str, reason: str, count: int, amount: int) -> None:
        self._families.unswept_deposits.labels(chain, token, reason).set(count)
        self._families.unswept.labels(chain, token, reason).set(amount)

    def standing_by(self, chain: str) -> None:
        families = self._families
        for gauge in (
            families.nonce_gap,
            families.gas_runway,
            families.onchain_balance,
            families.reconciliation_difference,
            families.unswept,
            families.unswept_deposits,
        ):
            families.zero(gauge, chain)

    def note(self, event: str, **fields: object) -> None:
        log.info(event, **fields)
