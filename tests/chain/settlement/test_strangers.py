"""What anyone may do for the price of gas must not stop the house."""

from __future__ import annotations

from chain.abi import encode_call
from chain.multicall import encode_aggregate
from chain.send import SendResult
from tests.chain.settlement.clients import SpyingClient
from tests.chain.settlement.scenes import AMOUNT, ONE_DATABASE, treasury_filled
from tests.chain.settlement.world import World, recipient
from tests.support.dev_chain import dev_account


async def nothing_is_stopped(world: World) -> None:
    assert await world.pauses() == []
    assert await world.holds() == []


@ONE_DATABASE
async def test_f23_zero_value_logs_of_a_real_token_out_of_the_treasury__nothing_stops(
    world: World,
) -> None:
    """Address poisoning: ``transferFrom`` of nothing needs no allowance, and moves nothing."""
    merchant = await world.merchant()
    deposit = await world.deposited(merchant, "USDC", AMOUNT)
    first = await world.promise(merchant, "USDC", 1, recipient(1))
    await world.settle(world.service(), world.all_are("paid", first))
    treasury = world.contracts.treasury
    poisoner = await world.dev.create(dev_account(0), "Poisoner")
    name = "poison(address,address,address[])"
    for sender, to in ((treasury, recipient(1)), (deposit, treasury)):
        data = encode_call(name, world.tokens["USDC"], sender, [to])
        await world.dev.must(dev_account(9), poisoner, data)
    await world.watch(mine=1)
    world.clock.advance(11)  # the lease is over: a new leader looks at what it missed
    again = world.service()
    await again.tick()
    assert world.observer.count("restored_database") == 0
    second = await world.promise(merchant, "USDC", 2, recipient(1))
    await world.settle(again, world.all_are("paid", second))
    await nothing_is_stopped(world)


@ONE_DATABASE
async def test_stranger_submits_two_of_our_batches_in_one_transaction__each_is_booked_by_its_own(
    world: World,
) -> None:
    """Signed batches lie in the open mempool, and a contract may call the treasury twice."""
    world.settings = world.settings.model_copy(update={"max_batch": 1})
    service = world.service(client=(spy := SpyingClient(world.client)))
    merchant = await treasury_filled(world, service)
    multicall = await world.dev.create(dev_account(0), "Multicall")
    both = [await world.promise(merchant, "USDC", 10 + n, recipient(n)) for n in (1, 2)]
    done: list[bool] = []

    async def front_run(raw: bytes) -> SendResult:
        batches = await world.open_batches("payouts")
        if len(batches) == 2 and not done:
            done.append(True)
            calls = encode_aggregate([(b.target, b.calldata) for b in batches])
            await world.dev.must(dev_account(4), multicall, calls)
        return await world.client.send_raw(raw)

    spy.answer = front_run
    await world.settle(service, world.all_are("paid", *both))
    assert done
    assert len({(await world.payout(one))["tx_hash"] for one in both}) == 1
    await nothing_is_stopped(world)
