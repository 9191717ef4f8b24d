"""Whether a chain knows EIP-7702, where the configuration leaves it to us to find out."""

from __future__ import annotations

from dataclasses import replace

from chain.model import Authorization, TxRequest
from chain.rpc.errors import CallReverted, MethodNotSupported, NodeError
from settlement.context import Context

_LEAST_COST = 12_000
"""An authorization costs at least 12,500 gas where the chain knows it (EIP-7702)."""


async def supports_7702(ctx: Context) -> bool:
    """The configured answer; for ``auto``: whether an authorization changes an estimate.

    The authorization that is shown to the provider is bound to this chain and to our
    forwarder, which forwards to our collector only: a provider that kept it gains nothing.
    """
    configured = ctx.chain.supports_7702
    if configured != "auto":
        return configured
    signer = ctx.wallets.treasury_signer()
    plain = TxRequest(ctx.wallets.sponsor("sweeps").address, signer.address, b"")
    signed = await signer.sign_authorization(ctx.chain.chain_id, ctx.contracts.forwarder, 0)
    authorization = Authorization(
        signed.chain_id,
        signed.delegate,
        signed.nonce,
        signed.signature.y_parity,
        signed.signature.r,
        signed.signature.s,
    )
    without = await ctx.client.estimate_gas(plain)
    try:
        with_it = await ctx.client.estimate_gas(replace(plain, authorization_list=(authorization,)))
    except (NodeError, MethodNotSupported, CallReverted):
        return False
    return with_it >= without + _LEAST_COST
