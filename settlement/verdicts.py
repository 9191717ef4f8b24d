"""What to do next with what was sent: closed decisions over what was observed. Pure.

A send's answer never proves failure. Only two things decide: a receipt of one
of *our* hashes, or a nonce that is used as of a final block while none of our
hashes has a receipt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from chain.model import FeeQuote
from chain.send import SendOutcome
from settlement.fees import Fees, outbid, replacement


class AfterSend(StrEnum):
    """What a node's answer to a broadcast leads to."""

    FOLLOW = "follow"
    """It may be out there: record the broadcast, then look for receipts."""
    HALT = "halt"
    """These bytes can never be valid here: nobody can send them, an operator must look."""


def after_send(outcome: SendOutcome) -> AfterSend:
    """Everything but a plain *can never be valid* counts as perhaps sent."""
    return AfterSend.HALT if outcome is SendOutcome.rejected else AfterSend.FOLLOW


class NonceStep(StrEnum):
    """What to do about a nonce in flight that has no receipt."""

    WAIT = "wait"
    RESEND = "resend"
    BUMP = "bump"
    FOREIGN = "foreign"
    """Used for good by a transaction that is not ours: halt the lane, page."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a transaction before helping it along."""

    bump_after: timedelta = timedelta(seconds=30)
    resend_after: timedelta = timedelta(seconds=60)

    @property
    def look_after(self) -> timedelta:
        """Nothing is asked about a transaction before it had this long to get into a block."""
        return self.bump_after / 4


@dataclass(frozen=True, slots=True)
class Pending:
    """A nonce in flight without a receipt.

    :param offers: of its attempts, oldest first.
    :param broadcast_at: when the newest attempt was last given to a node.
    :param final_nonce: the sender's nonce as of the final block; ``None`` if not known.
    :param offered_at: when the newest offer was signed; ``None``: at ``broadcast_at``. Giving
        the same bytes again must not put off a better offer.
    :param unseen: the node says that it knows none of the hashes.
    """

    nonce: int
    offers: Sequence[Fees]
    broadcast_at: datetime
    final_nonce: int | None
    is_lowest: bool
    """Only the lowest nonce of a lane holds up others, so only that one is bumped."""
    offered_at: datetime | None = None
    unseen: bool = False


def next_step(
    pending: Pending, quote: FeeQuote, cap: int, patience: Patience, now: datetime
) -> tuple[NonceStep, Fees | None]:
    """Wait, resend the same bytes, or replace by a higher offer (given with it)."""
    if pending.final_nonce is not None and pending.final_nonce > pending.nonce:
        return NonceStep.FOREIGN, None
    waited = now - pending.broadcast_at
    if waited < timedelta():
        # The clock went back: what was sent "in the future" is treated as sent now.
        return NonceStep.WAIT, None
    newest = pending.offers[-1]
    stood = max(now - (pending.offered_at or pending.broadcast_at), waited)
    if pending.is_lowest and (
        stood >= patience.bump_after or (outbid(newest, quote) and stood >= patience.look_after)
    ):
        higher = replacement(newest, quote, cap)
        if higher is not None:
            return NonceStep.BUMP, higher
    if waited >= patience.resend_after or (pending.unseen and waited >= patience.look_after):
        return NonceStep.RESEND, None
    return NonceStep.WAIT, None


class IdleVerdict(StrEnum):
    """What the chain's nonce says about a lane with nothing in flight."""

    OK = "ok"
    AHEAD = "ahead"
    """Somebody else uses the key, or the database was restored: halt."""
    GAP = "gap"
    """The chain is behind what was taken: fill with a transfer to oneself."""


def judge_idle(chain_nonce: int, next_nonce: int) -> IdleVerdict:
    """Compare the sender's nonce with the database's authority."""
    if chain_nonce > next_nonce:
        return IdleVerdict.AHEAD
    return IdleVerdict.GAP if chain_nonce < next_nonce else IdleVerdict.OK
