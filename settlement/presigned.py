"""Sweeping with authorizations that an offline machine signed: no deposit key is here."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from eth_utils.crypto import keccak

from config.units import Address
from ledger.leases import Lease, check
from ledger.presigned import (
    PresignedSet,
    mark_checked,
    presigned_sets_of,
    release_signed,
    stored_authorizations,
)
from settlement.context import Context
from wallets.signature import Signature
from wallets.signer import Authorization


class PresignedCheck:
    """Opens a chain to invoices once the delegate's code on it is what was signed for.

    Looked at once a process, and again when a set was imported; a signature for code that is
    not there would let money in that nothing can collect.
    """

    def __init__(self) -> None:
        self._seen: tuple[int, int] | None = None

    async def look(self, ctx: Context, lease: Lease, *, supports_7702: bool) -> None:
        """:raises RpcError: the chain does not answer; it stays as it was."""
        found = await _own_set(ctx)
        if found is None:
            ctx.observer.note("nothing_presigned", chain=ctx.name)
            return
        state = (found.id, found.next_index)
        if found.checked_at is not None and state == self._seen:
            return
        code = await ctx.client.code(ctx.contracts.forwarder)
        good = bool(code) and keccak(code) == found.code_hash and supports_7702
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            await mark_checked(tx, found.chain_id, found.delegate, good=good)
            if good:
                await release_signed(tx, ctx.name, found.chain_id, found.delegate)
        self._seen = state
        if not good:
            ctx.observer.note("presigned_delegate_differs", chain=ctx.name)


async def _own_set(ctx: Context) -> PresignedSet | None:
    async with ctx.ledger.reading() as tx:
        sets = await presigned_sets_of(tx)
    wanted = (ctx.chain.chain_id, ctx.contracts.forwarder)
    return next((s for s in sets if (s.chain_id, s.delegate) == wanted), None)


async def presigned_authorizations(
    ctx: Context, addresses: Collection[Address]
) -> Mapping[Address, Authorization]:
    """Those that are stored for this chain and its forwarder; nonce 0, as a fresh account's."""
    chain_id, delegate = ctx.chain.chain_id, ctx.contracts.forwarder
    async with ctx.ledger.reading() as tx:
        stored = await stored_authorizations(tx, chain_id, delegate, addresses)
    return {
        address: Authorization(address, chain_id, delegate, 0, _signature(raw))
        for address, raw in stored.items()
    }


def _signature(raw: bytes) -> Signature:
    return Signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big"), raw[64])
