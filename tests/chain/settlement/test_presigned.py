"""Sweeping on Anvil with signatures made elsewhere: no deposit key is in reach."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from eth_utils.crypto import keccak

from chain.artifacts import load_artifact
from config.units import Address, Hash32
from ledger.presigned import (
    NEEDS_SIGNATURE,
    PresignedRow,
    complete_sets,
    open_sets,
    presigned_sets_of,
    store_presigned,
)
from settlement.service import ChainSettlement
from tests.chain.settlement.scenes import AMOUNT
from tests.chain.settlement.world import CHAIN_ID, MNEMONIC, World, recipient
from tests.support.dev_chain import dev_account
from wallets.keyring import keyring_from_mnemonic
from wallets.presigned import authorization_digest


async def presign(world: World, first: int, count: int, *, code: Hash32 | None = None) -> None:
    """As an import leaves it; only here is the ring with the deposit keys used."""
    delegate = world.contracts.forwarder
    digests = [authorization_digest(CHAIN_ID, delegate)]
    runtime = load_artifact("Forwarder").runtime_with(world.contracts.collector)
    async with world.ledger.transaction() as tx:
        (known,) = await open_sets(
            tx, [CHAIN_ID], delegate, code or Hash32(bytes(keccak(runtime))), first
        )
        rows = []
        for index in range(first, first + count):
            address, (s,) = world.keys.presign(index, digests)
            packed = s.r.to_bytes(32) + s.s.to_bytes(32) + bytes([s.y_parity])
            rows.append(PresignedRow(index, address, {known.id: packed}))
        await store_presigned(tx, rows)
        await complete_sets(tx, [known.id], first, count)


def cold(world: World) -> ChainSettlement:
    ring = keyring_from_mnemonic(MNEMONIC, deposits_offline=True)
    return world.service(wallets=ring, policy=replace(world.policy, presigned=True))


async def settled(world: World, service: ChainSettlement, merchant: str, count: int) -> str:
    payout = await world.promise(merchant, "USDC", AMOUNT * count, recipient(1))
    await world.settle(service, world.all_are("paid", payout))
    return payout


async def delegates(world: World, deposit: Address) -> bool:
    return (await world.client.code(deposit))[3:] == world.contracts.forwarder


async def submit(world: World, authorization: Any) -> None:
    """A stranger brings the authorization on chain, in a transaction of his own."""
    sender = dev_account(7)
    fees = await world.client.fees()
    signed = sender.sign_transaction(
        {
            "type": 4,
            "chainId": CHAIN_ID,
            "nonce": await world.client.nonce(Address(bytes.fromhex(sender.address[2:]))),
            "to": sender.address,
            "value": 0,
            "gas": 200_000,
            "maxFeePerGas": 2 * fees.base_fee + fees.tip,
            "maxPriorityFeePerGas": fees.tip,
            "authorizationList": [authorization],
        }
    )
    await world.client.send_raw(bytes(signed.raw_transaction))
    await world.mine()


async def test_presigned__first_and_repeat_sweep__paid_without_a_deposit_key(
    world: World,
) -> None:
    await presign(world, 0, 3)
    merchant, service = await world.merchant(), cold(world)
    deposits = [await world.paid_invoice(merchant, "USDC", AMOUNT) for _ in range(3)]
    await world.watch(mine=4)
    await settled(world, service, merchant, 3)
    assert [await delegates(world, d) for d in deposits] == [True] * 3
    for deposit in deposits:
        await world.pay("USDC", deposit, AMOUNT)
    await world.watch(mine=4)
    await settled(world, service, merchant, 3)
    assert await world.held("USDC", recipient(1)) == 6 * AMOUNT
    await world.agrees()


async def test_presigned__submitted_by_a_stranger_first__swept_all_the_same(world: World) -> None:
    await presign(world, 0, 2)
    merchant, service = await world.merchant(), cold(world)
    first = await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.paid_invoice(merchant, "USDC", AMOUNT)
    signed = await world.keys.deposit_signer(0).sign_authorization(
        CHAIN_ID, world.contracts.forwarder, 0
    )
    await submit(world, signed.as_item())
    assert await delegates(world, first)
    assert await world.client.nonce(first) == 1
    await world.watch(mine=4)
    await settled(world, service, merchant, 2)
    await world.agrees()


async def test_authorizations__account_delegates_elsewhere__held_and_others_swept(
    world: World,
) -> None:
    await presign(world, 0, 2)
    merchant, service = await world.merchant(), cold(world)
    strange = await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.paid_invoice(merchant, "USDC", AMOUNT)
    signed = await world.keys.deposit_signer(0).sign_authorization(
        CHAIN_ID, world.contracts.treasury, 0
    )
    await submit(world, signed.as_item())
    await world.watch(mine=4)
    await settled(world, service, merchant, 1)
    assert await world.held("USDC", strange) == AMOUNT
    (held,) = await world.holds("address")
    assert held.object_id == f"anvil/{strange.hex()}"
    assert "foreign code" in held.reason
    assert world.observer.count("strange_deposit_accounts") > 0


async def test_presigned__no_signature_for_this_chain__held_until_one_is_imported(
    world: World,
) -> None:
    merchant, service = await world.merchant(), cold(world)
    await world.deposited(merchant, "USDC", AMOUNT)
    payout = await world.promise(merchant, "USDC", AMOUNT, recipient(1))
    await world.rounds(service, 4)
    holds = await world.holds()
    assert [h.reason for h in holds] == [NEEDS_SIGNATURE]
    await presign(world, 0, 1)
    await world.settle(service, world.all_are("paid", payout))
    assert await world.holds() == []


async def test_presigned__signed_for_other_code__the_chain_is_never_offered(world: World) -> None:
    await presign(world, 0, 1, code=Hash32(bytes(32)))
    service = cold(world)
    await world.rounds(service, 3)
    async with world.ledger.reading() as tx:
        (known,) = await presigned_sets_of(tx)
    assert known.checked_at is None
    assert world.observer.count("presigned_delegate_differs") == 3


async def test_presigned__chain_without_7702__never_offered(world: World) -> None:
    await presign(world, 0, 1)
    world.chain = world.chain.model_copy(update={"supports_7702": False})
    service = cold(world)
    await service.tick()
    async with world.ledger.reading() as tx:
        (known,) = await presigned_sets_of(tx)
    assert known.checked_at is None
