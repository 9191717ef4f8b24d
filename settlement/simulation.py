"""Who would fail now: asked of the chain before anything is sealed."""

from __future__ import annotations

from collections.abc import Sequence

from chain.erc20 import decode_probe, encode_blacklist_probes, encode_paused
from chain.helper_contracts import decode_simulated, encode_simulate, pack_batch
from chain.model import Authorization, TxRequest
from chain.reverts import describe_revert
from chain.rpc.errors import CallReverted
from config.units import Address, Amount
from settlement.batching import TX_GAS_CAP
from settlement.context import Context

_PROBE_ANSWER = 32


async def simulate(
    ctx: Context,
    contract: Address,
    token: Address,
    entries: Sequence[tuple[Address, int]],
    authorizations: Sequence[Authorization] = (),
) -> dict[int, str]:
    """Reasons by place of the entries that the treasury or the collector could not carry out.

    A refusal of the whole (no such token, malformed) is every entry's reason.
    """
    packed = pack_batch([(account, Amount(amount)) for account, amount in entries])
    request = TxRequest(
        None,
        contract,
        encode_simulate(token, packed),
        gas=2 * TX_GAS_CAP,
        authorization_list=tuple(authorizations),
    )
    (answer,) = await ctx.client.calls([request])
    if not isinstance(answer, CallReverted):
        return dict.fromkeys(range(len(entries)), "the helper contract is not there")
    failures = decode_simulated(answer.data)
    if failures is None:
        return dict.fromkeys(range(len(entries)), describe_revert(answer.data))
    return {failure.index: describe_revert(failure.reason) for failure in failures}


async def is_token_paused(ctx: Context, token: Address) -> bool:
    """Whether the token says ``paused()``; one without it is never paused."""
    (answer,) = await ctx.client.calls([TxRequest(None, token, encode_paused())])
    return isinstance(answer, bytes) and decode_probe(answer)


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
        if isinstance(answer, bytes) and len(answer) == _PROBE_ANSWER
    ]
    listed: set[int] = set()
    for which in spoken:
        asked = [
            TxRequest(None, token, encode_blacklist_probes(account)[which]) for account in accounts
        ]
        for place, answer in enumerate(await ctx.client.calls(asked)):
            if isinstance(answer, bytes) and decode_probe(answer):
                listed.add(place)
    return listed
