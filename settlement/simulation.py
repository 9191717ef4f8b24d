"""Who would fail now: asked of the chain before anything is sealed."""

from __future__ import annotations

from collections.abc import Sequence

from chain.abi import WORD
from chain.client import ChainClient
from chain.erc20 import decode_probe, encode_blacklist_probes, encode_paused
from chain.helper_contracts import decode_simulated, encode_simulate, pack_batch
from chain.model import Authorization, TxRequest
from chain.multicall import Question, aggregated
from chain.reverts import describe_revert
from chain.rpc.errors import CallReverted, RpcError
from config.catalogue import Token
from config.units import Address, Amount
from ledger.leases import Lease
from settlement.batching import TX_GAS_CAP
from settlement.context import Context


async def simulate(
    ctx: Context,
    contract: Address,
    token: Address,
    entries: Sequence[tuple[Address, int]],
    authorizations: Sequence[Authorization] = (),
) -> dict[int, str]:
    """Reasons by place of the entries that the treasury or the collector could not carry out.

    Who would fail is put on hold until a person looks at it: a second provider, where one answers,
    has to see it too, or one with old state would have hundreds of them wait. An entry about which
    they differ goes out with the others; if it fails, it fails alone.
    """
    asked = (contract, token, entries, authorizations)
    found = await _simulated(ctx.client, *asked)
    other = ctx.client.second() if found else None
    if other is None:
        return found
    try:
        theirs = await _simulated(other, *asked)
    except RpcError:
        return found
    return {place: reason for place, reason in found.items() if place in theirs}


async def _simulated(
    client: ChainClient,
    contract: Address,
    token: Address,
    entries: Sequence[tuple[Address, int]],
    authorizations: Sequence[Authorization],
) -> dict[int, str]:
    """What one look shows. A refusal of the whole (no such token, malformed) is every entry's."""
    packed = pack_batch([(account, Amount(amount)) for account, amount in entries])
    request = TxRequest(
        None,
        contract,
        encode_simulate(token, packed),
        gas=2 * TX_GAS_CAP,
        authorization_list=tuple(authorizations),
    )
    (answer,) = await client.calls([request])
    if not isinstance(answer, CallReverted):
        return dict.fromkeys(range(len(entries)), "the helper contract is not there")
    failures = decode_simulated(answer.data)
    if failures is None:
        return dict.fromkeys(range(len(entries)), describe_revert(answer.data))
    return {failure.index: describe_revert(failure.reason) for failure in failures}


async def is_token_paused(
    ctx: Context, lease: Lease, token: Token, since: int | None
) -> bool | None:
    """Whether the token says ``paused()``; one without it is never paused.

    ``None``: two providers differ, and who asks waits; if that lasts, a hold names both. By turns
    on hold and queued again, each payout would tell its merchant so at every look.

    :param since: the final block: who stands below it speaks of the past.
    """

    async def ask(client: ChainClient) -> bool:
        (answer,) = await client.calls([TxRequest(None, token.address, encode_paused())])
        return isinstance(answer, bytes) and decode_probe(answer)

    what = f"pause of {token.symbol}"
    return await ctx.disputes.agreed(ctx, lease, what, ask, since=since)


async def blacklisted(ctx: Context, token: Address, accounts: Sequence[Address]) -> set[int]:
    """Places of the accounts that the token's issuer has blacklisted.

    Circle's token refuses them, which the simulation shows; Tether's pays them, and the
    money is gone. A token that has neither function blacklists nobody.
    """
    probes = [TxRequest(None, token, data) for data in encode_blacklist_probes(token)]
    answers = await ctx.client.calls(probes)
    spoken = [
        which
        for which, answer in enumerate(answers)
        if isinstance(answer, bytes) and len(answer) == WORD
    ]
    listed: set[int] = set()
    for which in spoken:
        asked = [(token, encode_blacklist_probes(account)[which]) for account in accounts]
        said = await aggregated(ctx.client, asked) or await _one_by_one(ctx, asked)
        listed |= {place for place, answer in enumerate(said) if decode_probe(answer)}
    return listed


async def _one_by_one(ctx: Context, questions: Sequence[Question]) -> list[bytes | None]:
    """Where there is no Multicall3: a call each, ``None`` for one that reverts."""
    answers = await ctx.client.calls([TxRequest(None, to, data) for to, data in questions])
    return [answer if isinstance(answer, bytes) else None for answer in answers]
