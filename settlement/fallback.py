"""Sweeping where EIP-7702 does not exist: gas to the deposit address, then its own transfer.

Two batches sealed in one commit: a top-up in the sweeps lane, and a transfer in
a lane of the deposit address, which is sent once the top-up is final. Each is
an ordinary batch with the same persistence points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chain.erc20 import encode_transfer
from chain.helper_contracts import content_hash
from chain.model import TxRequest
from chain.reverts import describe_revert
from chain.rpc.errors import CallReverted
from config.catalogue import Token
from config.errors import ConflictError
from config.units import Amount
from ledger.batches import NewBatch, open_lanes, seal_batch
from ledger.leases import Lease, check
from ledger.sweeps import Deposit, seal_items
from settlement.apart import Apart
from settlement.batching import gas_limit
from settlement.context import Context
from settlement.fees import cap_for
from settlement.lanes.finality import Finality
from settlement.listed_treasury import issuer_stops
from settlement.outlook import DepositRounds
from settlement.sweep_policy import SweepGas
from settlement.sweeps import chosen_deposits, hold_failing

_PREFIX: Final = "deposit:"
_MOST_AT_ONCE: Final = 20
"""Top-ups under way at a time; each deposit address has a lane of its own."""
TOP_UP_GAS: Final = SweepGas(first=86_000, repeat=86_000)
"""21,000 for the coin and up to 65,000 for a token behind a proxy: the same every time."""
_PRICE_ROOM: Final = 3
"""The base fee may rise this many times between top-up and transfer."""


def deposit_lane(index: int) -> str:
    """The lane of a deposit address that sends by itself."""
    return f"{_PREFIX}{index}"


def deposit_lane_index(lane: str) -> int | None:
    """The derivation index in a lane's name; ``None`` for other lanes."""
    return int(lane.removeprefix(_PREFIX)) if lane.startswith(_PREFIX) else None


async def seal_fallback_sweeps(
    ctx: Context, lease: Lease, finality: Finality, tokens: Sequence[Token], rounds: DepositRounds
) -> int:
    """Seal top-up and transfer for what is worth or needed; returns how many addresses.

    :raises RpcError: about one of them the chain did not answer; the others were looked after.
    """
    if finality.cursor is None:
        return 0
    async with ctx.ledger.reading() as tx:
        busy = await open_lanes(tx, ctx.name)
    block = finality.cursor.final.number
    room = _MOST_AT_ONCE - sum(deposit_lane_index(lane) is not None for lane in busy)
    sealed = 0
    apart = Apart(ctx)
    for token in tokens:
        deposits: Sequence[Deposit] = []
        with apart.part():
            found = await chosen_deposits(ctx, token, TOP_UP_GAS, rounds)
            if found and await issuer_stops(ctx, lease, token, block) is False:
                deposits = found
        for deposit in deposits:
            lane = deposit_lane(deposit.derivation_index)
            if lane in busy or sealed + apart.failed >= room:
                continue
            with apart.part():
                if await _seal_pair(ctx, lease, token, deposit, block):
                    busy.add(lane)
                    sealed += 1
    apart.end()
    return sealed


async def _hold_refused(
    ctx: Context, lease: Lease, token: Token, deposit: Deposit, data: bytes
) -> None:
    """Say why the token refuses it. Where the money is not seen yet, the node is just behind."""
    (held,) = await ctx.client.token_balances(token.address, [deposit.address])
    if held >= deposit.amount:
        await hold_failing(ctx, lease, token, [deposit], {0: describe_revert(data)})


async def _seal_pair(
    ctx: Context, lease: Lease, token: Token, deposit: Deposit, block: int
) -> bool:
    data = encode_transfer(ctx.contracts.treasury, Amount(deposit.amount))
    try:
        estimate = await ctx.client.estimate_gas(TxRequest(deposit.address, token.address, data))
    except CallReverted as error:
        await _hold_refused(ctx, lease, token, deposit, error.data)
        return False
    quote = await ctx.client.fees()
    # What the transfer may offer at most when it is signed: dispatch asks for limit x offer.
    limit = gas_limit(estimate, may_fail=False, cap=ctx.chain.gas_cap)
    price = min(_PRICE_ROOM * quote.base_fee + quote.tip, cap_for(ctx.chain.fee_cap, limit))
    has = await ctx.client.balance(deposit.address)
    top_up = NewBatch(
        chain=ctx.name,
        lane="sweeps",
        purpose="top_up",
        token=ctx.chain.native_symbol,
        content_hash=content_hash(deposit.address),
        target=deposit.address,
        calldata=b"",
        size=1,
        sealed_block=block,
        value=max(limit * price - has, 0),
    )
    try:
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            before = await seal_batch(tx, top_up) if top_up.value else None
            transfer = NewBatch(
                chain=ctx.name,
                lane=deposit_lane(deposit.derivation_index),
                purpose="transfer",
                token=token.symbol,
                content_hash=content_hash(data),
                target=token.address,
                calldata=data,
                size=1,
                sealed_block=block,
                after_batch_id=before,
            )
            await seal_items(tx, ctx.name, await seal_batch(tx, transfer), [deposit])
    except ConflictError:
        return False
    return True
