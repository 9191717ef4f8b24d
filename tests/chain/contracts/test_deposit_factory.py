"""Deposit addresses without keys: created by anyone, collected by the collector alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from chain.abi import decode_address, encode_call
from chain.deposit_factory import creation_entries, encode_create, encode_creating_sweep
from chain.helper_contracts import SweepFailed, Swept
from chain.reverts import describe_revert, error_name
from config.units import ZERO_ADDRESS, Address, checksum
from tests.chain.contracts.test_collector import outcome
from tests.chain.contracts.world import World, build_world, packed, recipient
from tests.support.dev_chain import DevChain
from wallets.create2 import CloneDeriver, clone_code

FORWARD = "forward(address,address,uint256)"


@pytest.fixture
async def world(chain: DevChain) -> World:
    """The helper contracts and the factory, as an installation without deposit keys has them."""
    return await build_world(chain, factory=True)


def deposits(world: World, *indexes: int) -> list[Address]:
    deriver = CloneDeriver(world.helpers.factory, world.helpers.forwarder)
    return [deriver.address(index) for index in indexes]


async def exist(world: World, *accounts: Address) -> list[bool]:
    """Whether each is there, as what it must be and nothing else."""
    codes = [await world.chain.code(account) for account in accounts]
    assert set(codes) <= {b"", clone_code(world.helpers.forwarder)}
    return [bool(code) for code in codes]


async def sweep(
    world: World, token: Address, indexes: Sequence[int], items: Sequence[tuple[Address, int]]
) -> tuple[Swept, list[SweepFailed]]:
    """Create these, sweep those; what the collector said of the token's own list."""
    data = encode_creating_sweep(token, world.helpers.factory, indexes, packed(items))
    receipt = await world.chain.must(world.sweeper, world.helpers.collector, data)
    swept, failed = outcome(world, receipt)
    if indexes:
        created = swept.pop(0)
        assert (created.token, created.failed_count) == (ZERO_ADDRESS, 0)
        assert created.accounts == -(-len(indexes) // 3)
    (mine,) = swept
    return mine, failed


@pytest.mark.parametrize(
    ("contract", "arguments"),
    [("UsdcLike", ("USD Coin", "USDC")), ("UsdtLike", ()), ("DaiLike", ())],
)
async def test_sweep__first_and_again__moves_exactly_the_named_amounts(
    world: World, contract: str, arguments: tuple[str, ...]
) -> None:
    token = await world.token(contract, *arguments, treasury=0)
    indexes = [0, 1, 7, 2**31 - 2, 2**31 - 1]
    accounts = deposits(world, *indexes)
    for account in accounts:
        await world.mint(token, account, 1_000)
    swept, failed = await sweep(world, token, indexes, [(a, 600) for a in accounts])
    assert (swept, failed) == (Swept(token, world.helpers.treasury, 5, 0), [])
    assert await exist(world, *accounts) == [True] * 5
    assert [await world.held(token, account) for account in accounts] == [400] * 5
    swept, failed = await sweep(world, token, [], [(a, 400) for a in accounts])
    assert (swept.failed_count, failed) == (0, [])
    assert await world.held(token, world.helpers.treasury) == 5_000


async def test_address_of__every_index__is_what_the_daemon_derives(world: World) -> None:
    factory = world.helpers.factory
    for index in (0, 1, 255, 2**31 - 1):
        answer = await world.chain.call(factory, encode_call("addressOf(uint256)", index))
        assert decode_address(answer) == deposits(world, index)[0]
    for call in (encode_call("addressOf(uint256)", 2**32 - 1), encode_create([2**32 - 1])):
        assert error_name(await world.refusal(factory, call)) == "IndexTooHigh"


async def test_create__by_a_stranger_first_and_twice__swept_all_the_same(world: World) -> None:
    token = await world.usdc()
    accounts = deposits(world, *range(5))
    for account in accounts:
        await world.mint(token, account, 10)
    for _ in range(2):
        await world.chain.must(world.stranger, world.helpers.factory, encode_create([1, 4]))
    assert await exist(world, *accounts) == [False, True, False, False, True]
    swept, failed = await sweep(world, token, range(5), [(a, 10) for a in accounts])
    assert (swept.accounts, failed) == (5, [])


async def test_create__too_little_gas__all_or_none(world: World) -> None:
    """Or an estimate would find a limit that is enough for the first ones."""
    accounts = deposits(world, *range(3))
    data = encode_create([0, 1, 2])
    for gas in range(60_000, 220_000, 4_000):
        receipt = await world.chain.transact(world.stranger, world.helpers.factory, data, gas=gas)
        assert await exist(world, *accounts) == [receipt.status == 1] * 3
        if receipt.status == 1:
            return
    raise AssertionError("220,000 gas were not enough")


async def test_sweep__not_created__a_failure_not_a_no_op(world: World) -> None:
    token = await world.usdc()
    first, second = deposits(world, 0, 1)
    await world.mint(token, first, 10)
    await world.mint(token, second, 10)
    swept, (failure,) = await sweep(world, token, [1], [(first, 10), (second, 10)])
    assert (swept.failed_count, failure.index, failure.reason) == (1, 0, b"")
    assert await world.held(token, first) == 10


async def test_f21_sweep__blacklisted_or_short__others_are_created_and_swept(
    world: World,
) -> None:
    token = await world.usdc()
    accounts = deposits(world, 0, 1, 2)
    for account in accounts:
        await world.mint(token, account, 10)
    await world.run(token, "blacklist(address)", accounts[1])
    items = list(zip(accounts, (10, 10, 11), strict=True))
    swept, failed = await sweep(world, token, [0, 1, 2], items)
    assert (swept.accounts, swept.failed_count) == (3, 2)
    assert [(f.index, describe_revert(f.reason)) for f in failed] == [
        (1, "Blacklistable: account is blacklisted"),
        (2, "ERC20: transfer amount exceeds balance"),
    ]
    # What was created stays so, and is swept once it can be.
    await world.run(token, "unBlacklist(address)", accounts[1])
    swept, failed = await sweep(world, token, [], [(accounts[1], 10), (accounts[2], 10)])
    assert failed == []


async def test_f22_sweep__paused_or_answers_false_or_burns_gas__a_failure_of_its_own(
    world: World,
) -> None:
    token = await world.token("HostileToken")
    (account,) = deposits(world, 0)
    await world.mint(token, account, 10)
    for conduct, reason in ((1, "TransferRefused()"), (2, "TransferRefused()"), (7, None)):
        await world.run(token, "setConduct(address,uint8)", world.helpers.treasury, conduct)
        _, (failure,) = await sweep(world, token, [0], [(account, 10)])
        said = describe_revert(failure.reason) if failure.reason else None
        assert said == reason
    await world.run(token, "setConduct(address,uint8)", world.helpers.treasury, 4)
    swept, _ = await sweep(world, token, [], [(account, 10)])  # answers nothing, as Tether's
    assert swept.failed_count == 0
    usdc = await world.usdc()
    await world.mint(usdc, account, 10)
    await world.run(usdc, "setPaused(bool)", True)
    _, (failure,) = await sweep(world, usdc, [], [(account, 10)])
    assert describe_revert(failure.reason) == "Pausable: paused"


async def test_sweep__native_coin__explicit_amount_and_the_rest_stays(world: World) -> None:
    (account,) = deposits(world, 3)
    await world.chain.must(world.payer, account, value=10**18)
    swept, failed = await sweep(world, ZERO_ADDRESS, [3], [(account, 10**17)])
    assert (swept.failed_count, failed) == (0, [])
    assert await world.chain.balance(world.helpers.treasury) == 10**17
    await world.chain.must(world.payer, account, value=5)
    assert await world.chain.balance(account) == 9 * 10**17 + 5
    assert await world.chain.balance(world.helpers.factory) == 0


async def test_deposit_address__called_by_anyone_but_the_collector__refused(
    world: World,
) -> None:
    token = await world.usdc()
    (account,) = deposits(world, 0)
    await world.mint(token, account, 10)
    await world.chain.must(world.stranger, world.helpers.factory, encode_create([0]))
    forward = encode_call(FORWARD, token, recipient(1), 10)
    for caller in (world.stranger, world.sweeper, world.owner):
        assert error_name(await world.refusal(account, forward, by=caller)) == "NotCollector"
    for foreign in ("initialize(address)", "upgradeTo(address)"):
        assert await world.refusal(account, encode_call(foreign, recipient(1))) == b""


async def test_forward__of_the_factory_by_anyone__creates_and_moves_nothing(
    world: World,
) -> None:
    """A token that the factory itself holds stays there: its word is for creating alone."""
    token, factory = await world.usdc(), world.helpers.factory
    await world.mint(token, factory, 10)
    await world.run(factory, FORWARD, token, recipient(1), 1 + (6 << 96), by=world.stranger)
    assert await exist(world, *deposits(world, 0, 5)) == [True, True]
    assert (await world.held(token, recipient(1)), await world.held(token, factory)) == (0, 10)
    for data in (b"", encode_call(FORWARD, token, recipient(1), 1), encode_create([6])):
        with pytest.raises(AssertionError):  # coin would stay in the factory for ever
            await world.chain.must(world.payer, factory, data, value=1)


async def test_sweep__too_little_gas_to_create__nothing_happened(world: World) -> None:
    """Whoever sends it cannot fail an address by a small gas limit."""
    token = await world.usdc()
    accounts = deposits(world, 0, 1, 2)
    for account in accounts:
        await world.mint(token, account, 10)
    data = encode_creating_sweep(
        token, world.helpers.factory, [0, 1, 2], packed([(a, 10) for a in accounts])
    )
    for gas in range(70_000, 480_000, 30_000):
        receipt = await world.chain.transact(world.sweeper, world.helpers.collector, data, gas=gas)
        there = await exist(world, *accounts)
        assert there == [receipt.status == 1] * 3
        if receipt.status == 1:
            assert outcome(world, receipt)[1] == []
            return
    raise AssertionError("480,000 gas were not enough")


async def test_simulate__nothing_created_yet__foresees_who_fails(world: World) -> None:
    token = await world.usdc()
    accounts = deposits(world, 0, 1)
    await world.mint(token, accounts[0], 10)
    entries = [*creation_entries(world.helpers.factory, [0, 1]), *((a, 10) for a in accounts)]
    (failure,) = await world.simulate(world.helpers.collector, token, entries)
    assert failure.index == 2
    assert await exist(world, *accounts) == [False, False]
    await world.chain.rpc.call("anvil_setCode", checksum(world.helpers.factory), "0x")
    failures = await world.simulate(world.helpers.collector, token, entries)
    assert [f.index for f in failures] == [0, 1, 2]


async def test_simulate__address_that_cannot_be_created__is_told_of_the_creation_too(
    world: World,
) -> None:
    """Settlement creates apart what the collector cannot have created: it must see the difference
    between that and an address that merely does not pay."""
    token = await world.usdc()
    accounts = deposits(world, 0, 1)
    for account in accounts:
        await world.mint(token, account, 10)
    # CREATE2 refuses where a nonce is in use (EIP-684), and burns the gas that it was given.
    await world.chain.rpc.call("anvil_setNonce", checksum(accounts[1]), "0x1")
    entries = [*creation_entries(world.helpers.factory, [0, 1]), *((a, 10) for a in accounts)]
    failures = await world.simulate(world.helpers.collector, token, entries)
    assert [f.index for f in failures] == [0, 2]
    assert failures[0].reason == bytes(32)
    refused = await world.refusal(world.helpers.factory, encode_create([0, 1]))
    assert describe_revert(refused) == "NotCreated(1)"
