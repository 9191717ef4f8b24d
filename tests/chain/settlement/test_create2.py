"""Sweeping on Anvil where deposit addresses have no keys: nobody could sign for one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chain.abi import selector
from chain.anvil import Anvil
from chain.deployment import Deployer, deployment_steps
from chain.deposit_factory import decode_create, encode_create
from config.clock import SystemClock
from config.errors import WalletError
from config.units import Address, checksum, to_hex
from ledger.deposit_factories import FactorySource, found_factories
from ledger.leases import acquire
from settlement import creating
from settlement.leading import lease_name
from settlement.service import ChainSettlement
from tests.chain.settlement.lying import providers
from tests.chain.settlement.scenes import AMOUNT, ONE_DATABASE
from tests.chain.settlement.world import CHAIN_ID, MNEMONIC, World, recipient
from tests.support.dev_chain import LocalSigner, dev_account
from tests.support.fault_proxy import Fault, Kind
from wallets.create2 import CloneDeriver, clone_code
from wallets.keyring import keyring_from_mnemonic

"""What differs here is on the chain; the books' part runs on both in ``tests/ledger``."""


@pytest.fixture
async def keyless(world: World) -> ChainSettlement:
    """Settlement of an installation without deposit keys, the factory deployed, seen once."""
    await deploy_factory(world)
    service = settlement(world)
    await service.tick()
    return service


async def deploy_factory(world: World) -> None:
    signer, sweeper = world.keys.treasury_signer().address, world.keys.sponsor("sweeps").address
    deployer = Deployer(CHAIN_ID, world.dev, LocalSigner(dev_account(0)), SystemClock())
    await deployer.deploy(deployment_steps(signer, signer, sweeper, factory=True))


def settlement(world: World) -> ChainSettlement:
    ring = keyring_from_mnemonic(MNEMONIC, deposits_offline=True)
    with pytest.raises(WalletError):
        ring.deposit_signer(0)
    world.source = FactorySource(
        lambda factory, forwarder, first, count: CloneDeriver(factory, forwarder).addresses(
            first, count
        ),
        lambda first, count: None,
        world.contracts.factory,
    )
    return world.service(wallets=ring, policy=replace(world.policy, create2=True))


async def settled(
    world: World, service: ChainSettlement, merchant: str, amount: int, symbol: str = "USDC"
) -> None:
    payout = await world.promise(merchant, symbol, amount, recipient(1))
    await world.settle(service, world.all_are("paid", payout))


async def exist(world: World, *deposits: Address) -> list[bool]:
    codes = await world.client.codes(deposits)
    return [code == clone_code(world.contracts.forwarder) for code in codes]


async def create(world: World, *indexes: int) -> None:
    """A stranger's transaction."""
    await world.dev.must(dev_account(7), world.contracts.factory, encode_create(indexes))


@pytest.mark.parametrize(
    ("database_backend", "symbol"),
    [("sqlite", "USDT"), ("postgresql", "USDC")],
    indirect=["database_backend"],
)
async def test_create2__first_and_repeat_sweep__paid_and_books_agree_all_the_way(
    world: World, keyless: ChainSettlement, symbol: str
) -> None:
    merchant = await world.merchant()
    deposits = [await world.paid_invoice(merchant, symbol, AMOUNT) for _ in range(4)]
    assert await exist(world, *deposits) == [False] * 4
    await world.watch(mine=4)
    await settled(world, keyless, merchant, AMOUNT * 3, symbol)
    assert await exist(world, *deposits) == [True] * 4
    left = [await world.held(symbol, deposit) for deposit in deposits]
    for deposit in deposits[:2]:
        await world.pay(symbol, deposit, AMOUNT)
    # Not confirmed yet, so it must stay where it is: amounts are explicit.
    await world.watch(mine=4)
    await world.pay(symbol, deposits[0], 7)
    await settled(world, keyless, merchant, AMOUNT * 2, symbol)
    assert await world.held(symbol, deposits[0]) >= left[0]
    assert [size for lane, size in world.observer.sealed if lane == "sweeps"][:2] == [4, 2]
    await world.agrees()


@ONE_DATABASE
async def test_f05_create2__one_provider_shows_foreign_code__not_held__swept(
    world: World, keyless: ChainSettlement, anvil: Anvil
) -> None:
    merchant = await world.merchant()
    deposit = await world.deposited(merchant, "USDC", AMOUNT)
    lie = Fault(Kind.answers, {"eth_getCode"}, value="0x00", naming=to_hex(deposit))
    world.clock.advance(11)
    async with providers(world, anvil, lie, count=2) as client:
        service = world.service(
            client=client, wallets=keyless.context.wallets, policy=keyless.context.policy
        )
        await settled(world, service, merchant, AMOUNT)
    assert lie.struck > 0
    assert await world.holds() == []


@ONE_DATABASE
async def test_create2__somebody_created_it_first__swept_all_the_same(
    world: World, keyless: ChainSettlement
) -> None:
    merchant = await world.merchant()
    for _ in range(4):
        await world.paid_invoice(merchant, "USDC", AMOUNT)
    await create(world, 0, 3)
    await world.watch(mine=4)
    # In the very block of the sweep, before it: sealed to be created, and then it is there.
    await world.automine(False)
    payout = await world.promise(merchant, "USDC", 4 * AMOUNT, recipient(1))
    await world.next_base_fee(10**9)
    stranger = dev_account(7)
    fees = await world.client.fees()
    signed = stranger.sign_transaction(
        {
            "type": 2,
            "chainId": CHAIN_ID,
            "nonce": await world.client.nonce(Address(bytes.fromhex(stranger.address[2:]))),
            "to": checksum(world.contracts.factory),
            "value": 0,
            "data": encode_create([1]),
            "gas": 200_000,
            "maxFeePerGas": 50 * (fees.base_fee + fees.tip),
            "maxPriorityFeePerGas": 40 * (fees.base_fee + fees.tip),
        }
    )
    await world.client.send_raw(bytes(signed.raw_transaction))
    await keyless.tick()
    await world.automine(True)
    await world.watch(mine=1)
    block = await world.rpc.call("eth_getBlockByNumber", "latest", True)
    if not block["transactions"]:
        block = await world.rpc.call(
            "eth_getBlockByNumber", hex(int(block["number"], 16) - 1), True
        )
    order = [tx["from"].lower() for tx in block["transactions"]]
    sweeper = checksum(world.keys.sponsor("sweeps").address).lower()
    assert order == [stranger.address.lower(), sweeper]
    await world.settle(keyless, world.all_are("paid", payout))
    assert await world.holds() == []


@ONE_DATABASE
async def test_create2__one_blacklisted__others_are_swept_and_it_is_held(
    world: World, keyless: ChainSettlement
) -> None:
    merchant = await world.merchant()
    deposits = [await world.paid_invoice(merchant, "USDC", AMOUNT) for _ in range(4)]
    await world.run(world.tokens["USDC"], "blacklist(address)", deposits[1])
    await world.watch(mine=4)
    await settled(world, keyless, merchant, 3 * AMOUNT)
    (held,) = await world.holds()
    assert held.object_id == f"anvil/{deposits[1].hex()}/USDC"
    assert "blacklisted" in held.reason
    assert await exist(world, *deposits) == [True, False, True, True]


@ONE_DATABASE
async def test_create2__token_paused__waits_and_the_other_token_is_swept(
    world: World, keyless: ChainSettlement
) -> None:
    merchant = await world.merchant()
    for symbol in ("USDC", "USDT"):
        await world.paid_invoice(merchant, symbol, AMOUNT)
    await world.run(world.tokens["USDC"], "setPaused(bool)", True)
    await world.watch(mine=4)
    await settled(world, keyless, merchant, AMOUNT, "USDT")
    assert [size for lane, size in world.observer.sealed if lane == "sweeps"] == [1]
    await world.run(world.tokens["USDC"], "setPaused(bool)", False)
    await settled(world, keyless, merchant, AMOUNT)


@ONE_DATABASE
async def test_create2__address_of_a_key_from_before__held_and_others_swept(
    world: World, keyless: ChainSettlement
) -> None:
    merchant, source = await world.merchant(), world.source
    world.source = None
    with_key = await world.paid_invoice(merchant, "USDC", AMOUNT)
    world.source = source
    await world.deposited(merchant, "USDC", AMOUNT)
    await settled(world, keyless, merchant, AMOUNT)
    (held,) = await world.holds()
    assert (held.object_id, held.object_type) == (f"anvil/{with_key.hex()}", "address")
    assert "only its key" in held.reason


@ONE_DATABASE
async def test_create2__account_of_a_key_that_delegates__swept_without_the_key(
    world: World, keyless: ChainSettlement
) -> None:
    """The change from keys to none: what was swept once before needs its key no more."""
    merchant, source = await world.merchant(), world.source
    world.source = None
    with_keys = world.service()
    deposit = await world.deposited(merchant, "USDC", AMOUNT)
    world.clock.advance(60)  # the lease of the other process ends
    await settled(world, with_keys, merchant, AMOUNT)
    world.source = source
    world.clock.advance(60)
    await world.pay("USDC", deposit, AMOUNT)
    await world.deposited(merchant, "USDC", AMOUNT)
    await settled(world, settlement(world), merchant, 2 * AMOUNT)


@ONE_DATABASE
async def test_create2__factory_missing_or_another__chain_is_not_offered_until_it_is_there(
    world: World,
) -> None:
    service, merchant = settlement(world), await world.merchant()
    await service.tick()
    with pytest.raises(WalletError, match="contracts deploy"):
        await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.rpc.call("anvil_setCode", checksum(world.contracts.factory), "0x00")
    await service.tick()
    async with world.ledger.reading() as tx:
        (known,) = await found_factories(tx)
    assert known.checked_at is None
    assert world.observer.count("deposit_factory_missing") == 2
    await world.rpc.call("anvil_setCode", checksum(world.contracts.factory), "0x")
    await deploy_factory(world)
    await service.tick()
    await world.deposited(merchant, "USDC", AMOUNT)
    await settled(world, service, merchant, AMOUNT)
    assert world.observer.count("deposit_factory_missing") == 2


@ONE_DATABASE
async def test_create2__creating_costs_more_than_an_entry_may__created_before_and_then_swept(
    world: World, keyless: ChainSettlement, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a chain that raised the price of new contracts: the same factory by another name,
    but what the collector asks of it always fails."""
    monkeypatch.setattr(creating, "MOST_AT_ONCE", 3)
    factory, copy = world.contracts.factory, recipient(900)
    real = await world.client.code(factory)
    await world.rpc.call("anvil_setCode", checksum(copy), to_hex(real))
    await world.rpc.call("anvil_setCode", checksum(factory), to_hex(stingy(copy)))
    merchant = await world.merchant()
    deposits = [await world.paid_invoice(merchant, "USDC", AMOUNT) for _ in range(5)]
    await create(world, 2)
    await world.watch(mine=4)
    await settled(world, keyless, merchant, 5 * AMOUNT)
    assert await exist(world, *deposits) == [True] * 5
    sizes = [n for lane, n in world.observer.sealed if lane == "sweeps"]
    assert (sizes[0], sum(sizes)) == (1, 5)
    # Three in the first, one in the second, none twice.
    assert world.observer.count("deposit_addresses_created_apart") == 2
    assert await world.holds() == []


@ONE_DATABASE
async def test_create2__created_apart_and_not_mined_yet__not_sealed_again(
    world: World, keyless: ChainSettlement
) -> None:
    ctx = keyless.context
    async with world.ledger.transaction() as tx:
        lease = await acquire(tx, lease_name("anvil"), "process-1")
    assert lease is not None
    assert [await creating.create_apart(ctx, lease, n, 1) for n in ([0, 1], [1, 0], [1, 2])] == [
        1, 0, 1,
    ]  # fmt: skip
    sealed = await world.open_batches("sweeps")
    assert [decode_create(batch.calldata) for batch in sealed] == [[0, 1], [2]]


def stingy(implementation: Address) -> bytes:
    """Code that refuses ``forward`` and delegates every other call."""
    forward = selector("forward(address,address,uint256)").hex()
    return bytes.fromhex(
        f"5f3560e01c63{forward}14603957"  # selector, EQ, to the refusal
        f"365f5f375f5f365f73{implementation.hex()}5af4"  # delegate
        "3d5f5f3e603757"  # to the end, if it succeeded
        "5f5ffd"
        "5b00"  # at 0x37: STOP
        "5b5f5ffd"  # at 0x39: REVERT
    )
