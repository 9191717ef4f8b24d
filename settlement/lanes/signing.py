"""From a batch to signed bytes. Nothing is stored or sent here."""

from __future__ import annotations

from typing import Any

from chain.model import Authorization, TxRequest
from config.units import Address, from_hex
from ledger.attempts import NewAttempt
from ledger.batches import Batch
from settlement.batching import gas_limit
from settlement.context import Context
from settlement.fees import Fees
from wallets.signer import Signer


def request_of(batch: Batch, sender: Address) -> TxRequest:
    """The batch's transaction, to simulate or to estimate."""
    return TxRequest(
        sender=sender,
        to=batch.target,
        data=batch.calldata,
        value=batch.value,
        authorization_list=tuple(
            Authorization(
                chain_id=item["chainId"],
                address=Address(from_hex(item["address"])),
                nonce=item["nonce"],
                y_parity=item["yParity"],
                r=item["r"],
                s=item["s"],
            )
            for item in batch.authorizations
        ),
    )


async def sign_batch(
    signer: Signer,
    chain_id: int,
    batch: Batch,
    *,
    nonce: int,
    attempt: int,
    gas_limit: int,
    fees: Fees,
) -> NewAttempt:
    """An attempt at a batch: type 4 where it carries authorizations (EIP-7702), else type 2.

    :raises WalletError: the signer refused; nothing happened.
    """
    fields: dict[str, Any] = {"to": batch.target, "value": batch.value, "data": batch.calldata}
    if batch.authorizations:
        fields["authorizationList"] = list(batch.authorizations)
    return await _signed(
        signer, chain_id, fields, batch.chain, batch.lane, batch.purpose, batch.id,
        nonce=nonce, attempt=attempt, gas_limit=gas_limit, fees=fees,
    )  # fmt: skip


async def self_transfer_gas(ctx: Context, sender: Address) -> int:
    """Limit for nothing to oneself: 21,000, and what a rollup counts for its data besides.

    :raises RpcError: the chain does not answer.
    """
    estimate = await ctx.client.estimate_gas(TxRequest(sender=sender, to=sender, data=b""))
    return gas_limit(estimate, may_fail=False, cap=ctx.chain.gas_cap)


async def sign_self_transfer(
    signer: Signer,
    chain_id: int,
    chain: str,
    lane: str,
    purpose: str,
    *,
    nonce: int,
    attempt: int,
    gas_limit: int,
    fees: Fees,
) -> NewAttempt:
    """Nothing to oneself: fills a gap, or cancels what waits on the nonce."""
    fields: dict[str, Any] = {"to": signer.address, "value": 0, "data": b""}
    return await _signed(
        signer, chain_id, fields, chain, lane, purpose, None,
        nonce=nonce, attempt=attempt, gas_limit=gas_limit, fees=fees,
    )  # fmt: skip


async def _signed(
    signer: Signer,
    chain_id: int,
    fields: dict[str, Any],
    chain: str,
    lane: str,
    purpose: str,
    batch_id: int | None,
    *,
    nonce: int,
    attempt: int,
    gas_limit: int,
    fees: Fees,
) -> NewAttempt:
    signed = await signer.sign_transaction(
        {
            "type": 4 if "authorizationList" in fields else 2,
            "chainId": chain_id,
            "nonce": nonce,
            "gas": gas_limit,
            "maxFeePerGas": fees.max_fee,
            "maxPriorityFeePerGas": fees.max_tip,
            **fields,
        }
    )
    return NewAttempt(
        chain=chain,
        lane=lane,
        sender=signer.address,
        nonce=nonce,
        attempt=attempt,
        purpose=purpose,
        batch_id=batch_id,
        tx_hash=signed.hash,
        raw=signed.raw,
        gas_limit=gas_limit,
        max_fee=fees.max_fee,
        max_tip=fees.max_tip,
    )
