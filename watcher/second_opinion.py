"""Before money counts, two providers must both hold its receipt, where there are two.

A provider that invents a deposit is found out here, because the other one has
no such transaction. Where the two disagree a third one is asked, if there is one: two of
three decide. What stays one word against another waits, and is named
(:mod:`watcher.opinions`). If no other provider has been alive for a while, the word of the
one that is has to do, if it holds the receipt itself (who showed it first may be the one that
is gone); that is counted, and the second reading of final blocks comes back to it later.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from chain.client import ChainClient
from chain.model import Receipt
from chain.rpc.errors import RpcError
from config.units import Address, Hash32
from watcher.decode import decode_transfer


@dataclass(frozen=True, slots=True)
class Claim:
    """What a provider said of a payment: this transfer, at this place of this block's receipt."""

    tx_hash: Hash32
    block_hash: Hash32
    ordinal: int
    token: Address
    sender: Address
    recipient: Address
    amount: int
    block: int
    """Its height: a provider that is not there yet cannot deny it."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """``asked`` is false when no second provider answered at all.

    :param agreed: two providers hold the receipt; where nobody else was asked, the one that was.
    :param refuted: two providers do not, though they have come past its block, and no more
        than one does.
    """

    asked: bool
    agreed: frozenset[Claim] = frozenset()
    refuted: frozenset[Claim] = frozenset()


def holds(receipt: Receipt | None, claim: Claim) -> bool:
    """Whether a receipt bears a claim out."""
    if receipt is None or receipt.status != 1 or receipt.block_hash != claim.block_hash:
        return False
    if claim.ordinal >= len(receipt.logs):
        return False
    parts = decode_transfer(receipt.logs[claim.ordinal])
    return (
        parts is not None
        and not parts.malformed
        and (parts.token, parts.sender, parts.recipient, parts.amount)
        == (claim.token, claim.sender, claim.recipient, claim.amount)
    )


async def ask_around(client: ChainClient, claims: Collection[Claim]) -> Opinion:
    """Ask the pinned provider and another one for the receipts behind these claims; then a third.

    Both, because a claim may have come from either of them, passes ago.

    :raises RpcError: the pinned provider does not answer.
    """
    other = client.second()
    mine = await _listen(client, claims)
    if other is None:
        return Opinion(asked=False, agreed=mine.holds)
    try:
        theirs = await _listen(other, claims)
    except RpcError:
        return Opinion(asked=False, agreed=mine.holds)
    agreed, one_word = mine.holds & theirs.holds, mine.holds ^ theirs.holds
    refuted = mine.denies & theirs.denies
    third = client.third(other) if one_word else None
    if third is None:
        return Opinion(True, agreed, refuted)
    try:
        voice = await _listen(third, one_word)
    except RpcError:
        return Opinion(True, agreed, refuted)
    agreed |= voice.holds
    outvoted = voice.denies & (mine.denies | theirs.denies)
    for view, said in ((client, mine), (other, theirs)):
        if said.denies & voice.holds or said.holds & outvoted:
            client.doubt(view.provider or "")
    return Opinion(True, agreed, refuted | outvoted)


@dataclass(frozen=True, slots=True)
class _Voice:
    """What one provider says of claims; one that is below their blocks says nothing."""

    holds: frozenset[Claim]
    denies: frozenset[Claim]


async def _listen(client: ChainClient, claims: Collection[Claim]) -> _Voice:
    holds = frozenset(await _borne_out(client, list(claims)))
    missing = frozenset(claims) - holds
    head = await client.block("latest") if missing else None
    top = -1 if head is None else head.number
    return _Voice(holds, frozenset(claim for claim in missing if claim.block <= top))


async def _borne_out(client: ChainClient, claims: Sequence[Claim]) -> set[Claim]:
    hashes = list(dict.fromkeys(claim.tx_hash for claim in claims))
    receipts = dict(zip(hashes, await client.receipts(hashes), strict=True))
    return {claim for claim in claims if holds(receipts[claim.tx_hash], claim)}
