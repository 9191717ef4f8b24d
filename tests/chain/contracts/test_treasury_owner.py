"""What the cold owner can do to treasury and collector, and nobody else."""

from __future__ import annotations

import pytest

from chain.abi import decode_address, encode_call
from chain.reverts import describe_revert, error_name
from config.units import ZERO_ADDRESS
from tests.chain.contracts.world import World, recipient
from tests.support.dev_chain import address_of


async def test_withdraw__tokens_and_native__arrive(world: World) -> None:
    treasury = world.helpers.treasury
    for contract in ("UsdtLike", "DaiLike"):
        token = await world.token(contract, treasury=100)
        await world.run(
            treasury, "withdraw(address,address,uint256)", token, recipient(1), 60, by=world.owner
        )
        assert [await world.held(token, to) for to in (recipient(1), treasury)] == [60, 40]
    await world.chain.must(world.payer, treasury, value=10**18)
    await world.run(
        treasury,
        "withdraw(address,address,uint256)",
        ZERO_ADDRESS,
        recipient(1),
        10**17,
        by=world.owner,
    )
    assert await world.chain.balance(recipient(1)) == 10**17


async def test_withdraw__refused_by_the_token__reverts_with_its_reason(world: World) -> None:
    token = await world.token("UsdcLike", "USD Coin", "USDC", treasury=5)
    data = encode_call("withdraw(address,address,uint256)", token, recipient(1), 6)
    reason = await world.refusal(world.helpers.treasury, data, by=world.owner)
    assert describe_revert(reason) == "WithdrawalFailed(ERC20: transfer amount exceeds balance)"
    data = encode_call("withdraw(address,address,uint256)", ZERO_ADDRESS, recipient(1), 1)
    assert (
        error_name(await world.refusal(world.helpers.treasury, data, by=world.owner))
        == "WithdrawalFailed"
    )
    data = encode_call("withdraw(address,address,uint256)", token, ZERO_ADDRESS, 1)
    assert (
        error_name(await world.refusal(world.helpers.treasury, data, by=world.owner))
        == "ZeroAddress"
    )


@pytest.mark.parametrize(
    ("contract", "signature", "values"),
    [
        ("treasury", "withdraw(address,address,uint256)", (ZERO_ADDRESS, recipient(1), 0)),
        ("treasury", "setSigner(address)", (recipient(1),)),
        ("treasury", "raiseEpoch(uint64)", (1,)),
        ("treasury", "offerOwnership(address)", (recipient(1),)),
        ("collector", "setSweeper(address)", (recipient(1),)),
        ("collector", "announceSink(address)", (recipient(1),)),
        ("collector", "applySink()", ()),
        ("collector", "cancelSink()", ()),
        ("collector", "offerOwnership(address)", (recipient(1),)),
    ],
)
async def test_owner_only__called_by_others__refused(
    world: World, contract: str, signature: str, values: tuple[object, ...]
) -> None:
    target = getattr(world.helpers, contract)
    for caller in (world.stranger, world.signer, world.sweeper):
        data = encode_call(signature, *values)
        assert error_name(await world.refusal(target, data, by=caller)) == "NotOwner"


async def test_set_signer__rotated__old_signatures_die_and_new_ones_pay(world: World) -> None:
    token = await world.usdc()
    treasury = world.helpers.treasury
    old = world.signed_batch(token, [(recipient(1), 10)])
    await world.run(treasury, "setSigner(address)", address_of(world.stranger), by=world.owner)
    assert error_name(await world.refusal(treasury, old)) == "BadSignature"
    new = world.signed_batch(token, [(recipient(1), 10)], signer=world.stranger)
    await world.chain.must(world.payer, treasury, new)
    assert await world.held(token, recipient(1)) == 10


async def test_raise_epoch__sent_twice__raised_once(world: World) -> None:
    treasury = world.helpers.treasury
    await world.run(treasury, "raiseEpoch(uint64)", 1, by=world.owner)
    for value in (0, 1, 3):
        data = encode_call("raiseEpoch(uint64)", value)
        assert (
            describe_revert(await world.refusal(treasury, data, by=world.owner)) == "WrongEpoch(1)"
        )
    assert await world.ask(treasury, "epoch()") == 1


@pytest.mark.parametrize("contract", ["treasury", "collector"])
async def test_ownership__changes_hands_in_two_steps__and_can_be_withdrawn(
    world: World, contract: str
) -> None:
    target = getattr(world.helpers, contract)
    heir = address_of(world.stranger)
    await world.run(target, "offerOwnership(address)", heir, by=world.owner)
    assert decode_address(await world.chain.call(target, encode_call("owner()"))) == address_of(
        world.owner
    )
    accept = encode_call("acceptOwnership()")
    assert error_name(await world.refusal(target, accept, by=world.payer)) == "NotPendingOwner"
    await world.run(target, "offerOwnership(address)", ZERO_ADDRESS, by=world.owner)
    assert error_name(await world.refusal(target, accept, by=world.stranger)) == "NotPendingOwner"
    await world.run(target, "offerOwnership(address)", heir, by=world.owner)
    await world.run(target, "acceptOwnership()", by=world.stranger)
    assert decode_address(await world.chain.call(target, encode_call("owner()"))) == heir
    # Used once: a former owner could take the contract back at any time otherwise.
    assert error_name(await world.refusal(target, accept, by=world.stranger)) == "NotPendingOwner"
    data = encode_call("offerOwnership(address)", heir)
    assert error_name(await world.refusal(target, data, by=world.owner)) == "NotOwner"
