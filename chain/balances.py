"""Many balances at one block: one call through Multicall3 where it is, else a batch of calls.

Nothing rests on its word alone: whoever acts on a balance asks for it again by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chain import calls, multicall
from chain.abi import WORD, encode_account_call
from chain.client import ChainClient
from chain.model import BlockRef
from chain.rpc.errors import CallReverted, RpcError
from chain.rpc.wire import Call
from config.units import Address


@dataclass(frozen=True, slots=True)
class Holding:
    """What is asked for: a token's balance of ``owner``; ``token`` ``None``: native coin."""

    token: Address | None
    owner: Address


async def aggregated(
    client: ChainClient, holdings: Sequence[Holding], block: BlockRef
) -> list[int | None] | None:
    """Through Multicall3; ``None``: there is no such contract here, or it is another one.

    A balance is ``None`` where the call failed or gave no word.

    :raises RpcError: the provider does not answer, or does not have the block.
    """
    answers = await multicall.aggregated(client, [to_question(held) for held in holdings], block)
    return None if answers is None else [to_balance(answer) for answer in answers]


def to_question(holding: Holding) -> multicall.Question:
    """What Multicall3 asks; native coin it tells itself. Pure."""
    if holding.token is None:
        return multicall.MULTICALL3, encode_account_call("getEthBalance(address)", holding.owner)
    return holding.token, encode_account_call("balanceOf(address)", holding.owner)


def to_balance(answer: bytes | None) -> int | None:
    """``None``: the call failed, or what came is no word. Pure."""
    return int.from_bytes(answer) if answer is not None and len(answer) == WORD else None


async def one_by_one(
    client: ChainClient, holdings: Sequence[Holding], block: BlockRef
) -> list[int | None]:
    """A call each, in batches; ``None`` for a token that does not answer with a word.

    :raises RpcError: the provider does not answer, or does not have the block.
    """
    answers = await client.batch([_question(holding, block) for holding in holdings])
    found: list[int | None] = []
    for answer in answers:
        if isinstance(answer, RpcError) and not isinstance(answer, CallReverted):
            raise answer
        found.append(answer if isinstance(answer, int) else None)
    return found


def _question(holding: Holding, block: BlockRef) -> Call[int]:
    if holding.token is None:
        return calls.balance(holding.owner, block)
    return calls.balance_of(holding.token, holding.owner, block)
