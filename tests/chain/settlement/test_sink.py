"""The owner's key moves the collector's sink: said when it is announced, and nothing follows it."""

from __future__ import annotations

from chain.abi import encode_call
from chain.send import SendResult
from config.units import Address, to_hex
from ledger.holds import open_holds, release_hold
from ledger.postings import AccountKind
from ledger.suspense import Resolve, resolve
from tests.chain.settlement.clients import SpyingClient
from tests.chain.settlement.scenes import AMOUNT, ONE_DATABASE
from tests.chain.settlement.world import World, recipient

ELSEWHERE = Address(b"\x99" * 20)
THREE_DAYS = 3 * 86_400


async def by_owner(world: World, signature: str, *values: object) -> None:
    owner = to_hex(world.keys.treasury_signer().address)
    await world.rpc.call("anvil_impersonateAccount", owner)
    await world.rpc.call("anvil_setBalance", owner, hex(10**18))
    data = to_hex(encode_call(signature, *values))
    call = {"from": owner, "to": to_hex(world.contracts.collector), "data": data}
    await world.rpc.call("eth_sendTransaction", call)
    await world.watch(mine=1)


async def places(world: World) -> list[str]:
    return [h.object_id for h in await world.holds()]


async def move_to(world: World, sink: Address) -> None:
    await by_owner(world, "announceSink(address)", sink)
    await world.rpc.call("evm_increaseTime", THREE_DAYS)
    await by_owner(world, "applySink()")


@ONE_DATABASE
async def test_sink_announced_then_moved__holds_say_so__nothing_is_swept_until_it_is_back(
    world: World,
) -> None:
    service = world.service()
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", AMOUNT)
    await by_owner(world, "announceSink(address)", ELSEWHERE)
    await world.watch(mine=4)
    payout = await world.promise(merchant, "USDC", 1, recipient(1))
    await world.settle(service, world.all_are("paid", payout))
    assert await places(world) == ["anvil/sink/announced"]
    await world.rpc.call("evm_increaseTime", THREE_DAYS)
    await by_owner(world, "applySink()")
    deposit = await world.deposited(merchant, "USDC", AMOUNT)
    for _ in range(4):
        world.clock.advance(31)
        await service.tick()
        await world.watch(mine=1)
    assert await places(world) == ["anvil/sink/moved"]
    assert await world.held("USDC", deposit) == AMOUNT
    await world.agrees()
    await move_to(world, world.contracts.treasury)
    large = await world.promise(merchant, "USDC", 2 * AMOUNT - 1, recipient(1))
    await world.settle(world.service(), world.all_are("paid", large))
    assert await places(world) == []


@ONE_DATABASE
async def test_sink_moved_while_a_sweep_is_on_its_way__booked_as_gone_there__paid_again_once_resolved(
    world: World,
) -> None:
    """Taken for one that failed, its money would lie at deposit addresses in the books for ever."""
    spy = SpyingClient(world.client)

    async def moved_before_it_is_mined(raw: bytes) -> SendResult:
        spy.answer = None
        await move_to(world, ELSEWHERE)
        return await world.client.send_raw(raw)

    spy.answer = moved_before_it_is_mined
    service = world.service(client=spy)
    merchant = await world.merchant()
    for _ in range(2):
        await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)

    async def gone() -> bool:
        return await world.booked(AccountKind.SUSPENSE_OUT) == 2 * AMOUNT

    await world.settle(service, gone)
    assert await world.held("USDC", ELSEWHERE) == 2 * AMOUNT
    for _ in range(30):
        world.clock.advance(7)
        await service.tick()
        await world.watch(mine=1)
    await world.agrees()
    assert sorted(await places(world)) == ["anvil/USDC/suspense", "anvil/sink/moved"]
    await move_to(world, world.contracts.treasury)
    async with world.ledger.transaction() as tx:
        asked = Resolve(
            "suspense_out", "anvil", "USDC", "owner", None, "a test", "swept to the owner's new one"
        )
        await resolve(tx, asked)
        (hold,) = [h for h in await open_holds(tx) if h.object_type == "breaker"]
        assert f"{2 * AMOUNT} base units were swept to 0x9999" in hold.reason
        await release_hold(tx, hold.id)
    await world.deposited(merchant, "USDC", AMOUNT)
    payout = await world.promise(merchant, "USDC", AMOUNT, recipient(1))
    await world.settle(world.service(), world.all_are("paid", payout))
    assert await places(world) == []
