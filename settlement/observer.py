"""What settlement tells metrics and logs; the composition root implements it."""

from __future__ import annotations

from typing import Protocol


class SettlementObserver(Protocol):
    """Called from the tick; must return at once and never raise."""

    def tx_pending(self, chain: str, lane: str, count: int, oldest_seconds: float) -> None:
        """Nonces in flight on a lane, and the age of the oldest (``tx_pending``)."""

    def nonce_gap(self, chain: str, lane: str, gap: int) -> None:
        """Database's next nonce less the chain's, with nothing in flight (``nonce_gap``)."""

    def replaced(self, chain: str, lane: str) -> None:
        """A replacement was sent (``tx_replacements_total``)."""

    def fee_paid(self, chain: str, purpose: str, wei: int) -> None:
        """A transaction is final (``tx_fee_native_total``)."""

    def batch_sealed(self, chain: str, lane: str, size: int) -> None:
        """P1 (``payout_batch_size``)."""

    def payouts_finished(self, chain: str, token: str, paid: int, held: int) -> None:
        """P6 of a payout batch."""

    def gas_runway(self, chain: str, payouts: int) -> None:
        """How many payouts the sponsor can still pay for (``gas_runway_payouts``)."""

    def onchain_balance(self, role: str, chain: str, token: str, amount: int) -> None:
        """Base units held by deposits or treasury (``onchain_balance``)."""

    def reconciled(self, chain: str, token: str, difference: int) -> None:
        """Chain less ledger, base units (``reconciliation_difference``)."""

    def unswept(self, chain: str, token: str, reason: str, count: int, amount: int) -> None:
        """Deposits and base units that stay where they are (``unswept``)."""

    def standing_by(self, chain: str) -> None:
        """Another process leads: what was last told of the present is this one's no more."""

    def note(self, event: str, **fields: object) -> None:
        """Something a person may want to read in the log."""


class SilentObserver:
    """Tells nobody."""

    def tx_pending(self, chain: str, lane: str, count: int, oldest_seconds: float) -> None: ...
    def nonce_gap(self, chain: str, lane: str, gap: int) -> None: ...
    def replaced(self, chain: str, lane: str) -> None: ...
    def fee_paid(self, chain: str, purpose: str, wei: int) -> None: ...
    def batch_sealed(self, chain: str, lane: str, size: int) -> None: ...
    def payouts_finished(self, chain: str, token: str, paid: int, held: int) -> None: ...
    def gas_runway(self, chain: str, payouts: int) -> None: ...
    def onchain_balance(self, role: str, chain: str, token: str, amount: int) -> None: ...
    def reconciled(self, chain: str, token: str, difference: int) -> None: ...
    def unswept(self, chain: str, token: str, reason: str, count: int, amount: int) -> None: ...
    def standing_by(self, chain: str) -> None: ...
    def note(self, event: str, **fields: object) -> None: ...
