"""Random batches and sweeps against a model of what each recipient's conduct must lead to."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from chain.helper_contracts import decode_sweep_failed, encode_sweep
from tests.chain.contracts.test_collector import deposits
from tests.chain.contracts.world import World, packed, recipient
from tests.support.dev_chain import address_of

PAYS = {0, 4, 10}
"""Conducts of HostileToken under which the money moves: plainly, without an answer, with much gas."""
SEEDS = range(6)


async def set_conducts(
    world: World, token: bytes, conducts: Sequence[int], to: Sequence[bytes]
) -> None:
    for account, conduct in zip(to, conducts, strict=True):
        if conduct:
            await world.run(token, "setConduct(address,uint8)", account, conduct)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", SEEDS)
async def test_f22_pay_batch__random_conducts_amounts_and_gas__balances_match_the_model(
    world: World, seed: int
) -> None:
    draw = random.Random(seed)
    token = await world.token("HostileToken", treasury=10**24)
    count = draw.randint(1, 24)
    conducts = [draw.choice([0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 10]) for _ in range(count)]
    items = [
        (recipient(n), draw.choice([1, 255, 10**6, 2**64, draw.randrange(1, 10**22)]))
        for n in range(count)
    ]
    await set_conducts(world, token, conducts, [to for to, _ in items])
    foreseen = await world.simulate(world.helpers.treasury, token, items)
    before = await world.held(token, world.helpers.treasury)
    expected_failures = [n for n in range(count) if conducts[n] not in PAYS]

    batch_id = draw.randrange(2**256)
    data = world.signed_batch(token, items, batch_id=batch_id)
    gas = draw.randrange(100_000, 3_000_000)
    receipt = await world.chain.transact(world.stranger, world.helpers.treasury, data, gas=gas)
    if receipt.status == 0:  # too little gas: as if it had never been sent
        assert [await world.held(token, to) for to, _ in items] == [0] * count
        receipt = await world.chain.must(
            world.stranger, world.helpers.treasury, data, gas=29_000_000
        )
    executed, failed = world.outcome(receipt)
    assert executed.failed_count == len(failed)
    assert [failure.index for failure in failed] == expected_failures
    assert [failure.index for failure in foreseen] == expected_failures
    paid = [0 if n in expected_failures else items[n][1] for n in range(count)]
    assert await asyncio.gather(*(world.held(token, to) for to, _ in items)) == paid
    assert before - await world.held(token, world.helpers.treasury) == sum(paid)


@pytest.mark.parametrize("seed", SEEDS)
async def test_sweep__random_mix_of_accounts__only_delegated_and_funded_ones_move(
    world: World, seed: int
) -> None:
    draw = random.Random(seed)
    token = await world.token(draw.choice(["UsdtLike", "DaiLike"]), treasury=0)
    accounts = deposits(draw.randint(1, 16))
    held = [draw.choice([0, 5, 10**6, 10**20]) for _ in accounts]
    asked = [draw.choice([1, 5, 10**6, 10**20]) for _ in accounts]
    delegates = [draw.random() < 0.7 for _ in accounts]
    for account, amount in zip(accounts, held, strict=True):
        if amount:
            await world.mint(token, address_of(account), amount)
    authorizations = [
        world.authorize(account) for account, yes in zip(accounts, delegates, strict=True) if yes
    ]
    items = [(address_of(account), amount) for account, amount in zip(accounts, asked, strict=True)]
    receipt = await world.chain.must(
        world.sweeper,
        world.helpers.collector,
        encode_sweep(token, packed(items)),
        authorizations=authorizations,
    )
    events = (decode_sweep_failed(log, world.helpers.collector) for log in receipt.logs)
    moves = [yes and have >= want for yes, have, want in zip(delegates, held, asked, strict=True)]
    assert [event.index for event in events if event] == [
        n for n, yes in enumerate(moves) if not yes
    ]
    assert await world.held(token, world.helpers.treasury) == sum(
        want for want, yes in zip(asked, moves, strict=True) if yes
    )


async def test_sweep__any_gas_limit__an_honest_account_is_never_blamed(world: World) -> None:
    token = await world.token("HostileToken", treasury=0)
    accounts = deposits(3)
    await world.run(token, "setConduct(address,uint8)", world.helpers.treasury, 10)  # needs 200,000
    for account in accounts:
        await world.mint(token, address_of(account), 10)
    authorizations = [world.authorize(account) for account in accounts]
    data = encode_sweep(token, packed([(address_of(account), 10) for account in accounts]))
    # Delegations survive a revert of the transaction that carries them: done first, apart.
    await world.chain.must(
        world.sweeper, address_of(world.payer), authorizations=authorizations, gas=200_000
    )
    snapshot = await world.chain.rpc.call("evm_snapshot")
    outcomes = set()
    for gas in range(60_000, 1_000_000, 30_000):
        receipt = await world.chain.transact(world.sweeper, world.helpers.collector, data, gas=gas)
        if receipt.status == 1:
            assert await world.held(token, world.helpers.treasury) == 30, f"blamed at {gas} gas"
        outcomes.add(receipt.status)
        assert await world.chain.rpc.call("evm_revert", snapshot)
        snapshot = await world.chain.rpc.call("evm_snapshot")
    assert outcomes == {0, 1}
