"""Before money counts, two providers must both hold its receipt, where there are two.

A provider that invents a deposit is found out here, because the other one has
no such transaction. What neither of them can be asked about waits; if no other
provider has been alive for a while, one provider's word has to do, is counted,
and the second reading of final blocks comes back to it later.
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


@dataclass(frozen=True, slots=True)
class Opinion:
    """``asked`` is false when no second provider answered at all."""

    asked: bool
    agreed: frozenset[Claim]


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


async def ask_both(client: ChainClient, claims: Collection[Claim]) -> Opinion:
    """Ask the pinned provider and another one for the receipts behind these claims.

    Both, because a claim may have come from either of them, passes ago.

    :raises RpcError: the pinned provider does not answer.
    """
    other = client.second()
    if other is None:
        return Opinion(asked=False, agreed=frozenset())
    mine = await _borne_out(client, list(claims))
    try:
        return Opinion(asked=True, agreed=frozenset(await _borne_out(other, mine)))
    except RpcError:
        return Opinion(asked=False, agreed=frozenset())


async def _borne_out(client: ChainClient, claims: Sequence[Claim]) -> list[Claim]:
    hashes = list(dict.fromkeys(claim.tx_hash for claim in claims))
    receipts = dict(zip(hashes, await client.receipts(hashes), strict=True))
    return [claim for claim in claims if holds(receipts[claim.tx_hash], claim)]
