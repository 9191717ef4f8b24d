"""What a node's answer to ``eth_sendRawTransaction`` proves.

A send that failed may have been sent. Only wordings that certainly mean one
thing are in the table; everything else is ``unknown``, and whoever sent decides
by transaction hash and nonce, never by this verdict.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class SendOutcome(StrEnum):
    """Closed set of verdicts about one broadcast of one signed transaction."""

    accepted = "accepted"
    """The node returned this transaction's hash."""
    already_known = "already_known"
    """The node had exactly these bytes, in its mempool or in a block: ours."""
    nonce_too_low = "nonce_too_low"
    """The nonce is used, by one of our own transactions or by someone else's."""
    replacement_underpriced = "replacement_underpriced"
    """A transaction with this nonce waits, and this one does not pay enough more."""
    underpriced = "underpriced"
    """Below what this node or the next block asks; valid when prices fall."""
    insufficient_funds = "insufficient_funds"
    """The sender cannot pay gas and value now."""
    fee_cap = "fee_cap"
    """The node's own cap on the fee of a transaction sent through it."""
    rejected = "rejected"
    """These bytes can never be valid on this chain."""
    unknown = "unknown"
    """Anything else, no answer included."""


@dataclass(frozen=True, slots=True)
class SendResult:
    """Verdict and the node's words (cleaned, at most 300 characters)."""

    outcome: SendOutcome
    message: str = ""


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.VERBOSE)


# Words that look like a verdict about our transaction and are about something else:
# an EIP-7702 authority's nonce (geth), a block (erigon), a queue that may empty.
_NOT_A_VERDICT: Final = _words(
    r"""
      authority\ nonce | block\ already\ known
    | nonce\ (?:is\ )?too\ (?:high|distant) | noncegap
    | txpool\ is\ full | queue\ full | pool\ full | pool\ is\ full
    | already\ reserved | in-flight\ transaction\ limit | gapped-?nonce
    """
)

# In order: the first match decides. "replacement" stands before "underpriced" and
# before "already known", whose wordings contain each other.
_TABLE: Final[tuple[tuple[SendOutcome, re.Pattern[str]], ...]] = (
    (
        SendOutcome.replacement_underpriced,
        _words(
            r"""
              replacement\ (?:transaction|tx|fee)\ (?:is\ )?(?:underpriced|too\ low)
            | insufficient\ gas\ price\ to\ replace                # Anvil
            | could\ not\ replace\ existing\ tx                    # erigon
            | replacement\ ?not\ ?allowed                          # Nethermind
            | there\ is\ another\ t(?:x|ransaction)\ (?:with|which\ has)\ (?:the\ )?same\ nonce
            """
        ),
    ),
    (
        SendOutcome.already_known,
        _words(
            r"""
              \balready\ ?known\b | \bknown\ transaction\b         # geth, erigon, Nethermind, Besu
            | already\ imported | already\ in\ (?:the\ )?(?:mem)?pool
            | transaction\ with\ the\ same\ hash\ was\ already     # OpenEthereum
            | pool\(alreadyimported\)                              # Substrate
            | \balready\ exists\ in\ (?:the\ )?(?:mem|tx)?pool
            """
        ),
    ),
    (
        SendOutcome.nonce_too_low,
        _words(
            r"""
              \bnonce\ (?:is\ )?too\ low\b | \boldnonce\b          # most; Nethermind
            | pool\(stale\)                                        # Substrate
            | nonce\ has\ already\ been\ used
            """
        ),
    ),
    (
        SendOutcome.insufficient_funds,
        _words(
            r"""
              insufficient\ (?:funds|balance) | insufficientfunds
            | upfront\ cost\ exceeds\ account\ balance             # Besu
            | not\ enough\ funds\ for\ gas                         # Arbitrum
            | doesn't\ have\ enough\ funds\ to\ send\ tx           # Hardhat
            | would\ cause\ overdraft
            """
        ),
    ),
    (
        SendOutcome.fee_cap,
        _words(
            r"""
              exceeds\ the\ configured\ cap                        # geth and its forks
            | transaction\ fee\ cap\ exceeded                      # Besu
            | tx\ fee\ .*exceeds\ .*cap
            """
        ),
    ),
    (
        SendOutcome.rejected,
        _words(
            r"""
              rlp:\ | ^invalid\ rlp | failed\ to\ decode\ (?:signed\ )?transaction
            | typed\ transaction\ too\ short | invalid\ transaction\ type
            | transaction\ type\ not\ supported
            | ^invalid\ (?:transaction\ )?signature | invalid\ sender\b | failedtoresolvesender
            | invalid\ transaction\ v,\ r,\ s
            | (?:invalid|wrong|incorrect|mismatch\w*)\ chain\ ?-?id | signed\ for\ another\ chain
            | incompatible\ eip-155 | invalidtxchainid
            | trying\ to\ send\ .*incompatible\ eip-?155           # Hardhat
            | exceeds\ (?:the\ )?block\ gas\ limit | gaslimitexceeded
            | gas\ limit\ (?:is\ )?(?:too\ high|greater\ than\ the\ (?:block\ gas\ limit|cap))
            | intrinsic\ gas\ (?:too\ (?:low|high)|exceeds)
            | insufficient\ gas\ for\ floor | floor\ data\ gas
            | requires\ at\ least\ \d+\ gas                        # Hardhat
            | gas\ uint64\ overflow | int256overflow | negative\ value
            | max\ initcode\ size | nonce\ has\ max\ value
            | max\ ?priority\ ?fee\ ?per\ ?gas\ (?:is\ )?(?:higher|greater|bigger|exceeds)
            | empty\ auth(?:orization)?\ list
            """
        ),
    ),
    (
        SendOutcome.underpriced,
        _words(
            r"""
              \bunderpriced\b | gas\ price\ (?:is\ )?too\ low | feetoolow
            | (?:gas\ price|tip|fee)\ below\ (?:configured\ )?(?:minimum|current)
            | below\ minimum | minimum\ needed | fee\ ?cap\ (?:is\ )?(?:too\ low|less\ than)
            | max\ ?fee\ ?per\ ?gas\ (?:\(\d+\)\ )?(?:is\ )?(?:less|lower|too\ low)
            | lower\ than\ the\ minimum | less\ than\ (?:the\ )?(?:block\ )?base\ ?fee
            | gasprice\ is\ less\ than\ gas\ price\ minimum
            """
        ),
    ),
)


def classify_send_error(code: int | None, message: str) -> SendOutcome:
    """The verdict on an error reply to ``eth_sendRawTransaction``.

    :param code: JSON-RPC code; nodes reuse -32000 for everything, so words decide,
        and a code alone proves nothing.
    """
    del code
    text = " ".join(message.split())
    if _NOT_A_VERDICT.search(text):
        return SendOutcome.unknown
    for outcome, pattern in _TABLE:
        if pattern.search(text):
            return outcome
    return SendOutcome.unknown


DECISIVE: Final = frozenset(
    {SendOutcome.accepted, SendOutcome.already_known, SendOutcome.nonce_too_low}
)
"""Verdicts after which no other provider needs to be asked."""

# ``unknown`` stands above every refusal: one node's refusal says nothing about
# another node that may have taken the same bytes.
_WEIGHT: Final = {
    outcome: weight
    for weight, outcome in enumerate(
        (
            SendOutcome.accepted,
            SendOutcome.already_known,
            SendOutcome.nonce_too_low,
            SendOutcome.replacement_underpriced,
            SendOutcome.unknown,
            SendOutcome.insufficient_funds,
            SendOutcome.fee_cap,
            SendOutcome.underpriced,
            SendOutcome.rejected,
        )
    )
}


def combine(results: Iterable[SendResult]) -> SendResult:
    """The verdict of several providers that were given the same bytes."""
    best = min(results, key=lambda result: _WEIGHT[result.outcome], default=None)
    return best or SendResult(SendOutcome.unknown, "no provider was asked")
