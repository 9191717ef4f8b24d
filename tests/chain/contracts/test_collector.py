"""Sweeping delegated deposit addresses (EIP-7702), and everything that is not one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from chain.abi import decode_address, encode_call
from chain.helper_contracts import (
    SweepFailed,
    Swept,
    decode_sweep_failed,
    decode_swept,
    delegate_of,
    delegation_code,
    encode_sweep,
    encode_sweep_many,
)
from chain.model import Receipt
from chain.reverts import describe_revert, error_name
from config.units import ZERO_ADDRESS, Address, checksum, to_hex
from tests.chain.contracts.world import Items, World, packed, recipient
from tests.support.dev_chain import RevertedError, address_of


def deposits(count: int) -> list[LocalAccount]:
    return [Account.from_key((n + 1000).to_bytes(32)) for n in range(count)]


def outcome(world: World, receipt: Receipt) -> tuple[list[Swept], list[SweepFailed]]:
    collector = world.helpers.collector
    swept = [decode_swept(log, collector) for log in receipt.logs]
    failed = [decode_sweep_failed(log, collector) for log in receipt.logs]
    return [event for event in swept if event], [event for event in failed if event]


async def sweep(
    world: World, token: Address, items: Items, authorizations: Sequence[object] = ()
) -> tuple[Swept, list[SweepFailed]]:
    receipt = await world.chain.must(
        world.sweeper,
        world.helpers.collector,
        encode_sweep(token, packed(items)),
        authorizations=authorizations,
    )
    (swept,), failed = outcome(world, receipt)
    return swept, failed


@pytest.mark.parametrize(
    ("contract", "arguments"),
    [("UsdcLike", ("USD Coin", "USDC")), ("UsdtLike", ()), ("DaiLike", ())],
)
async def test_sweep__first_and_again__moves_exactly_the_named_amounts(
    world: World, contract: str, arguments: tuple[str, ...]
) -> None:
    token = await world.token(contract, *arguments, treasury=0)
    accounts = deposits(5)
    for n, account in enumerate(accounts):
        await world.mint(token, address_of(account), 1_000 + n)
    items = [(address_of(account), 600) for account in accounts]
    swept, failed = await sweep(
        world, token, items, [world.authorize(account) for account in accounts]
    )
    assert swept == Swept(token, world.helpers.treasury, 5, 0)
    assert failed == []
    for account in accounts:
        assert delegate_of(await world.chain.code(address_of(account))) == world.helpers.forwarder
    rest = [(address_of(account), 400 + n) for n, account in enumerate(accounts)]
    assert await world.simulate(world.helpers.collector, token, rest) == ()
    swept, failed = await sweep(world, token, rest)
    assert (swept.failed_count, failed) == (0, [])
    assert await world.held(token, world.helpers.treasury) == 5 * 1_000 + 10
    assert [await world.held(token, to) for to, _ in items] == [0] * 5


async def test_sweep__account_that_does_not_delegate__is_a_failure_not_a_no_op(
    world: World,
) -> None:
    token = await world.usdc()
    good, plain, wrong_nonce, wrong_chain, elsewhere = deposits(5)
    for account in (good, plain, wrong_nonce, wrong_chain, elsewhere):
        await world.mint(token, address_of(account), 10)
    disperser = await world.chain.create(world.payer, "Disperser")
    items = [(address_of(a), 10) for a in (good, plain, wrong_nonce, wrong_chain, elsewhere)]
    swept, failed = await sweep(
        world,
        token,
        items,
        [
            world.authorize(good),
            world.authorize(wrong_nonce, nonce=1),
            world.authorize(wrong_chain, chain_id=1),
            world.authorize(elsewhere, delegate=disperser),
        ],
    )
    assert swept.failed_count == 4
    assert [(failure.index, failure.account) for failure in failed] == [
        (n, address_of(a))
        for n, a in enumerate((plain, wrong_nonce, wrong_chain, elsewhere), start=1)
    ]
    assert all(failure.reason == b"" for failure in failed)
    assert await world.held(token, address_of(good)) == 0
    assert await world.held(token, address_of(plain)) == 10
    foreseen = await world.simulate(world.helpers.collector, token, items[1:])
    assert [failure.index for failure in foreseen] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "code",
    [
        "0x60015f5260205ff3",  # answers a word that is 1
        "0x60205ff3",  # answers a word that is 0
        "0x",
    ],
)
async def test_sweep__account_with_code_that_answers_something_else__a_failure(
    world: World, code: str
) -> None:
    token = await world.usdc()
    await world.chain.rpc.call("anvil_setCode", checksum(recipient(1)), code)
    swept, (failure,) = await sweep(world, token, [(recipient(1), 10)])
    assert (swept.failed_count, failure.index) == (1, 0)


async def test_sweep__delegated_to_another_collectors_forwarder__fails_with_its_reason(
    world: World,
) -> None:
    token = await world.usdc()
    (account,) = deposits(1)
    await world.mint(token, address_of(account), 10)
    foreign = await world.chain.create(world.payer, "Forwarder", recipient(9))
    _, (failure,) = await sweep(
        world, token, [(address_of(account), 10)], [world.authorize(account, delegate=foreign)]
    )
    assert describe_revert(failure.reason) == "NotCollector()"


async def test_f21_sweep__blacklisted_or_short_account__others_are_swept(world: World) -> None:
    token = await world.usdc()
    first, listed, short = accounts = deposits(3)
    for account in accounts:
        await world.mint(token, address_of(account), 10)
    await world.run(token, "blacklist(address)", address_of(listed))
    items = [(address_of(first), 10), (address_of(listed), 10), (address_of(short), 11)]
    swept, failed = await sweep(world, token, items, [world.authorize(a) for a in accounts])
    assert (swept.accounts, swept.failed_count) == (3, 2)
    assert [describe_revert(failure.reason) for failure in failed] == [
        "Blacklistable: account is blacklisted",
        "ERC20: transfer amount exceeds balance",
    ]
    assert [failure.amount for failure in failed] == [10, 11]


async def test_f22_sweep__token_answers_false__a_failure(world: World) -> None:
    token = await world.token("HostileToken")
    (account,) = deposits(1)
    await world.mint(token, address_of(account), 10)
    items = [(address_of(account), 10)]
    for conduct, reason in (
        (1, "TransferRefused()"),
        (2, "TransferRefused()"),
        (3, "TransferRefused()"),
    ):
        await world.run(token, "setConduct(address,uint8)", world.helpers.treasury, conduct)
        authorizations = [world.authorize(account)] if conduct == 1 else []
        _, (failure,) = await sweep(world, token, items, authorizations)
        assert describe_revert(failure.reason) == reason
    await world.run(token, "setConduct(address,uint8)", world.helpers.treasury, 7)  # endless
    _, (failure,) = await sweep(world, token, items)
    assert failure.reason == b""
    await world.run(
        token, "setConduct(address,uint8)", world.helpers.treasury, 4
    )  # answers nothing
    swept, _ = await sweep(world, token, items)
    assert swept.failed_count == 0


async def test_sweep__native_coin__forwarded_and_still_accepted_after_delegation(
    world: World,
) -> None:
    (account,) = deposits(1)
    await world.chain.must(world.payer, address_of(account), value=10**18)
    items = [(address_of(account), 10**17)]
    swept, _ = await sweep(world, ZERO_ADDRESS, items, [world.authorize(account)])
    assert (swept.token, swept.failed_count) == (ZERO_ADDRESS, 0)
    assert await world.chain.balance(world.helpers.treasury) == 10**17
    receipt = await world.chain.must(world.payer, address_of(account), value=5)
    assert receipt.gas_used < 21_100
    assert await world.chain.balance(address_of(account)) == 9 * 10**17 + 5
    _, (failure,) = await sweep(world, ZERO_ADDRESS, [(address_of(account), 10**18)])
    assert failure.amount == 10**18


async def test_sweep_many__two_tokens_one_authorization__both_moved(world: World) -> None:
    usdc, usdt = await world.usdc(), await world.token("UsdtLike", treasury=0)
    (account,) = deposits(1)
    for token in (usdc, usdt):
        await world.mint(token, address_of(account), 10)
    data = encode_sweep_many(
        [(usdc, packed([(address_of(account), 4)])), (usdt, packed([(address_of(account), 11)]))]
    )
    receipt = await world.chain.must(
        world.sweeper, world.helpers.collector, data, authorizations=[world.authorize(account)]
    )
    swept, failed = outcome(world, receipt)
    assert [(event.token, event.failed_count) for event in swept] == [(usdc, 0), (usdt, 1)]
    assert [(event.token, event.index) for event in failed] == [(usdt, 0)]


async def test_sweep__strangers_and_malformed__refused(world: World) -> None:
    token = await world.usdc()
    collector = world.helpers.collector
    data = encode_sweep(token, packed([(recipient(1), 1)]))
    many = encode_sweep_many([(token, packed([(recipient(1), 1)]))])
    for caller in (world.stranger, world.owner, world.signer):
        for call in (data, many):
            assert error_name(await world.refusal(collector, call, by=caller)) == "NotSweeper"
    cases = {
        encode_sweep(token, packed([(recipient(1), 1)])[:-1]): "MalformedEntries",
        encode_sweep(token, b""): "MalformedEntries",
        encode_sweep(recipient(9), packed([(recipient(1), 1)])): "NoTokenCode",
        encode_call("sweepMany(address[],bytes[])", [token, token], [b"\1" * 32]): "LengthsDiffer",
    }
    for call, name in cases.items():
        assert error_name(await world.refusal(collector, call, by=world.sweeper)) == name


async def test_set_sweeper__rotated__the_old_one_is_refused(world: World) -> None:
    token = await world.usdc()
    collector = world.helpers.collector
    await world.run(collector, "setSweeper(address)", address_of(world.stranger), by=world.owner)
    data = encode_sweep(token, packed([(recipient(1), 1)]))
    assert error_name(await world.refusal(collector, data, by=world.sweeper)) == "NotSweeper"
    await world.chain.must(world.stranger, collector, data)


async def test_sink__moves_only_after_its_delay_and_only_as_announced(world: World) -> None:
    collector = world.helpers.collector
    apply = encode_call("applySink()")
    assert error_name(await world.refusal(collector, apply, by=world.owner)) == "NothingAnnounced"
    await world.run(collector, "announceSink(address)", recipient(1), by=world.owner)
    delay = await world.ask(collector, "SINK_DELAY()")
    assert delay == 3 * 86_400
    await world.chain.rpc.call("evm_increaseTime", hex(delay - 60))
    await world.chain.rpc.call("anvil_mine", "0x1")
    assert error_name(await world.refusal(collector, apply, by=world.owner)) == "SinkNotReady"
    await world.run(
        collector, "announceSink(address)", recipient(2), by=world.owner
    )  # starts again
    await world.chain.rpc.call("evm_increaseTime", hex(delay - 60))
    await world.chain.rpc.call("anvil_mine", "0x1")
    assert error_name(await world.refusal(collector, apply, by=world.owner)) == "SinkNotReady"
    await world.chain.rpc.call("evm_increaseTime", hex(61))
    await world.run(collector, "applySink()", by=world.owner)
    assert decode_address(await world.chain.call(collector, encode_call("sink()"))) == recipient(2)
    assert error_name(await world.refusal(collector, apply, by=world.owner)) == "NothingAnnounced"
    token = await world.usdc()
    (account,) = deposits(1)
    await world.mint(token, address_of(account), 10)
    swept, _ = await sweep(world, token, [(address_of(account), 10)], [world.authorize(account)])
    assert (swept.sink, await world.held(token, recipient(2))) == (recipient(2), 10)


async def test_sink__announcement_withdrawn_or_zero__nothing_to_apply(world: World) -> None:
    collector = world.helpers.collector
    await world.run(collector, "announceSink(address)", recipient(1), by=world.owner)
    await world.run(collector, "cancelSink()", by=world.owner)
    await world.chain.rpc.call("evm_increaseTime", hex(4 * 86_400))
    await world.chain.rpc.call("anvil_mine", "0x1")
    assert (
        error_name(await world.refusal(collector, encode_call("applySink()"), by=world.owner))
        == "NothingAnnounced"
    )
    zero = encode_call("announceSink(address)", ZERO_ADDRESS)
    assert error_name(await world.refusal(collector, zero, by=world.owner)) == "ZeroAddress"


async def test_forwarder__called_by_anyone_but_the_collector__refused(world: World) -> None:
    token = await world.usdc()
    (account,) = deposits(1)
    await world.mint(token, address_of(account), 10)
    await sweep(world, token, [(address_of(account), 1)], [world.authorize(account)])
    forward = encode_call("forward(address,address,uint256)", token, recipient(1), 9)
    for caller in (world.stranger, world.sweeper, world.owner):
        assert (
            error_name(await world.refusal(address_of(account), forward, by=caller))
            == "NotCollector"
        )
    for foreign in (
        encode_call("isValidSignature(bytes32,bytes)", bytes(32), bytes(65)),  # EIP-1271
        encode_call("execute(bytes32,bytes)", bytes(32), b""),  # ERC-7821
        encode_call("initialize(address)", recipient(1)),
    ):
        with pytest.raises(RevertedError):
            await world.chain.call(address_of(account), foreign)


async def test_simulate__code_override_for_an_undelegated_account__foresees_the_sweep(
    world: World,
) -> None:
    token = await world.usdc()
    (account,) = deposits(1)
    await world.mint(token, address_of(account), 10)
    data = encode_call("simulate(address,bytes)", token, packed([(address_of(account), 10)]))
    request = {"to": checksum(world.helpers.collector), "data": to_hex(data)}
    override = {
        checksum(address_of(account)): {"code": to_hex(delegation_code(world.helpers.forwarder))}
    }
    from chain.anvil import DevRpcError
    from chain.helper_contracts import decode_simulated
    from config.units import from_hex

    with pytest.raises(DevRpcError) as caught:
        await world.chain.rpc.call("eth_call", request, "latest", override)
    assert decode_simulated(from_hex(str(caught.value.data))) == ()
    assert await world.held(token, address_of(account)) == 10
