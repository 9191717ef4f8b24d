"""The packed batch payer: what it pays, what it refuses, what it isolates."""

from __future__ import annotations

import pytest
from eth_account import Account

from chain.abi import encode_call
from chain.anvil import Anvil, AnvilOptions, DevRpc
from chain.helper_contracts import (
    MAX_ENTRY_AMOUNT,
    content_hash,
    decode_pay_batch,
    encode_executed,
    encode_pay_batch,
    executed_topics,
)
from chain.reverts import describe_revert, error_name
from config.units import Address, checksum, to_hex
from tests.chain.contracts.world import CHAIN_ID, World, build_world, packed, recipient
from tests.support.dev_chain import DevChain, address_of, dev_account

SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.mark.parametrize(
    ("contract", "arguments", "unit"),
    [("UsdcLike", ("USD Coin", "USDC"), 10**6), ("UsdtLike", (), 10**6), ("DaiLike", (), 10**18)],
)
async def test_pay_batch__plain_no_return_and_18_decimals__each_gets_its_amount(
    world: World, contract: str, arguments: tuple[str, ...], unit: int
) -> None:
    token = await world.token(contract, *arguments)
    items = [(recipient(n), (n + 1) * unit + n) for n in range(20)]
    executed, failed, _ = await world.pay(token, items, batch_id=7)
    assert (executed.epoch, executed.batch_id, executed.token) == (0, 7, token)
    assert executed.content_hash == content_hash(packed(items))
    assert (executed.failed_count, failed) == (0, [])
    assert [await world.held(token, to) for to, _ in items] == [amount for _, amount in items]
    assert await world.ask(world.helpers.treasury, "executed(uint64,uint256)", 0, 7) == 1
    assert await world.ask(world.helpers.treasury, "executed(uint64,uint256)", 0, 6) == 0


async def test_pay_batch__largest_entry__exact(world: World) -> None:
    token = await world.token("DaiLike")
    executed, _, _ = await world.pay(token, [(recipient(1), MAX_ENTRY_AMOUNT)])
    assert executed.failed_count == 0
    assert await world.held(token, recipient(1)) == MAX_ENTRY_AMOUNT


async def test_f21_pay_batch__blacklisted_recipient__others_are_paid_and_it_says_why(
    world: World,
) -> None:
    token = await world.usdc()
    await world.run(token, "blacklist(address)", recipient(1))
    items = [(recipient(n), 100 + n) for n in range(3)]
    (before,) = await world.simulate(world.helpers.treasury, token, items)
    executed, (failure,), _ = await world.pay(token, items)
    assert executed.failed_count == 1
    assert (failure.index, failure.recipient, failure.amount) == (1, recipient(1), 101)
    assert (before.index, before.reason) == (failure.index, failure.reason)
    assert describe_revert(failure.reason) == "Blacklistable: account is blacklisted"
    assert [await world.held(token, recipient(n)) for n in range(3)] == [100, 0, 102]


async def test_f21_pay_batch__paused_token__all_fail_and_the_id_is_consumed(world: World) -> None:
    token = await world.usdc()
    await world.run(token, "setPaused(bool)", True)
    executed, failed, _ = await world.pay(token, [(recipient(n), 5) for n in range(3)])
    assert executed.failed_count == len(failed) == 3
    assert {describe_revert(failure.reason) for failure in failed} == {"Pausable: paused"}
    again = world.signed_batch(token, [(recipient(0), 5)], batch_id=0)
    assert error_name(await world.refusal(world.helpers.treasury, again)) == "AlreadyExecuted"


async def test_f21_pay_batch__treasury_short_of_tokens__pays_what_it_can_in_order(
    world: World,
) -> None:
    token = await world.token("UsdcLike", "USD Coin", "USDC", treasury=25)
    executed, failed, _ = await world.pay(token, [(recipient(n), 10) for n in range(4)])
    assert [failure.index for failure in failed] == [2, 3]
    assert executed.failed_count == 2
    assert describe_revert(failed[0].reason) == "ERC20: transfer amount exceeds balance"


async def test_f22_pay_batch__fee_on_transfer__counts_as_paid_while_the_recipient_is_short(
    world: World,
) -> None:
    token = await world.token("FeeToken")
    executed, _, _ = await world.pay(token, [(recipient(1), 10_000)])
    assert executed.failed_count == 0
    assert await world.held(token, recipient(1)) == 9_900


@pytest.mark.parametrize(
    ("conduct", "paid", "reason"),
    [
        (1, False, "answered 0x" + "00" * 32 + " where success was expected"),  # returns false
        (2, False, "reverted with 0x" + "00" * 31),  # returns 31 bytes
        (3, False, "answered 0x" + "00" * 31 + "02 where success was expected"),
        (4, True, None),  # pays and returns nothing
        (5, False, "no money for you"),
        (6, False, None),  # reverts with 100,000 bytes
        (7, False, "failed without a reason (no code, not delegated, or out of gas)"),  # endless
        (8, False, "failed without a reason (no code, not delegated, or out of gas)"),  # invalid
    ],
)
async def test_f22_pay_batch__recipient_that_cannot_be_paid__isolated(
    world: World, conduct: int, paid: bool, reason: str | None
) -> None:
    token = await world.token("HostileToken")
    await world.run(token, "setConduct(address,uint8)", recipient(1), conduct)
    items = [(recipient(n), 10 + n) for n in range(3)]
    foreseen = await world.simulate(world.helpers.treasury, token, items)
    executed, failed, receipt = await world.pay(token, items)
    assert [failure.index for failure in failed] == ([] if paid else [1])
    assert [(f.index, f.reason) for f in foreseen] == [(f.index, f.reason) for f in failed]
    assert [await world.held(token, recipient(n)) for n in range(3)] == [10, 11 if paid else 0, 12]
    assert executed.failed_count == len(failed)
    assert receipt.gas_used < 600_000
    if failed:
        assert len(failed[0].reason) <= 196
    if reason is not None:
        assert describe_revert(failed[0].reason) == reason


async def test_pay_batch__too_little_gas__reverts_whole_and_never_blames_a_recipient(
    world: World,
) -> None:
    token = await world.token("HostileToken")
    await world.run(token, "setConduct(address,uint8)", recipient(2), 10)  # needs 200,000 gas
    items = [(recipient(n), 10) for n in range(4)]
    data = world.signed_batch(token, items)
    snapshot = await world.chain.rpc.call("evm_snapshot")
    outcomes = set()
    for gas in range(60_000, 720_000, 20_000):
        receipt = await world.chain.transact(world.stranger, world.helpers.treasury, data, gas=gas)
        if receipt.status == 1:
            executed, failed = world.outcome(receipt)
            assert (executed.failed_count, failed) == (0, []), f"blamed at {gas} gas"
        outcomes.add(receipt.status)
        assert await world.chain.rpc.call("evm_revert", snapshot)
        snapshot = await world.chain.rpc.call("evm_snapshot")
    assert outcomes == {0, 1}


async def test_pay_batch__same_id_again__refused_whoever_sends_it(world: World) -> None:
    token = await world.usdc()
    items = [(recipient(1), 10)]
    await world.pay(token, items, batch_id=255)
    for other in ([(recipient(1), 10)], [(recipient(2), 7)]):
        data = world.signed_batch(token, other, batch_id=255)
        for sender in (world.stranger, world.owner):
            reason = await world.refusal(world.helpers.treasury, data, by=sender)
            assert describe_revert(reason) == "AlreadyExecuted(0, 255)"
    await world.pay(token, items, batch_id=256)  # its neighbour in the next word is free
    await world.pay(token, items, batch_id=254)
    assert await world.held(token, recipient(1)) == 30


async def test_pay_batch__token_calls_back_with_the_same_batch__paid_once(world: World) -> None:
    token = await world.token("HostileToken")
    data = world.signed_batch(token, [(recipient(1), 10)])
    await world.run(token, "setConduct(address,uint8)", recipient(1), 9)
    await world.run(token, "setCallBack(address,bytes)", world.helpers.treasury, data)
    await world.chain.must(world.stranger, world.helpers.treasury, data)
    assert await world.ask(token, "callBackSucceeded()") == 0
    assert await world.held(token, recipient(1)) == 10


async def test_pay_batch__signed_for_something_else__refused(world: World) -> None:
    token = await world.usdc()
    other = await world.token("DaiLike")
    items = [(recipient(1), 10)]
    treasury = world.helpers.treasury
    _, _, _, content, foreign = decode_pay_batch(world.signed_batch(other, items))
    _, _, _, _, other_id = decode_pay_batch(world.signed_batch(token, items, batch_id=9))
    _, _, _, _, other_list = decode_pay_batch(world.signed_batch(token, [(recipient(1), 11)]))
    cases = {
        "chain": world.signed_batch(token, items, chain_id=1),
        "contract": world.signed_batch(token, items, treasury=world.helpers.collector),
        "signer": world.signed_batch(token, items, signer=world.owner),
        "token": encode_pay_batch(0, 0, token, content, foreign),
        "id": encode_pay_batch(0, 0, token, content, other_id),
        "content": encode_pay_batch(0, 0, token, content, other_list),
    }
    for name, data in cases.items():
        assert error_name(await world.refusal(treasury, data)) == "BadSignature", name


async def test_pay_batch__on_another_chain__only_what_was_signed_for_that_chain() -> None:
    async with Anvil(AnvilOptions(chain_id=10)) as anvil, DevRpc(anvil.rpc_url) as rpc:
        world = await build_world(DevChain(rpc), chain_id=10)
        token = await world.usdc()
        items = [(recipient(1), 10)]
        foreign = world.signed_batch(token, items, chain_id=CHAIN_ID)
        assert error_name(await world.refusal(world.helpers.treasury, foreign)) == "BadSignature"
        ours = world.signed_batch(token, items, chain_id=10)
        await world.chain.must(world.stranger, world.helpers.treasury, ours)
        assert await world.held(token, recipient(1)) == 10


async def test_pay_batch__malformed_signature__refused(world: World) -> None:
    token = await world.usdc()
    treasury = world.helpers.treasury
    _, _, _, content, good = decode_pay_batch(world.signed_batch(token, [(recipient(1), 10)]))
    r, s, v = good[:32], int.from_bytes(good[32:64]), good[64]
    twin = r + (SECP256K1_ORDER - s).to_bytes(32) + bytes([55 - v])
    assert encode_pay_batch(0, 0, token, content, good) == world.signed_batch(
        token, [(recipient(1), 10)]
    )
    for bad in (twin, good[:64] + b"\0", good[:64] + bytes([v - 27]), bytes(65)):
        data = encode_pay_batch(0, 0, token, content, bad)
        assert error_name(await world.refusal(treasury, data)) == "BadSignature"
    for length in (0, 64, 66):
        data = encode_call(
            "payBatch(uint64,uint256,address,bytes,bytes)",
            0,
            0,
            token,
            content,
            (good + b"\x1b")[:length],
        )
        assert error_name(await world.refusal(treasury, data)) == "BadSignature"


async def test_pay_batch__signer_set_to_zero__nonsense_signature_still_refused(
    world: World,
) -> None:
    token = await world.usdc()
    await world.run(world.helpers.treasury, "setSigner(address)", bytes(20), by=world.owner)
    data = encode_pay_batch(0, 0, token, packed([(recipient(1), 10)]), bytes(64) + b"\x1b")
    assert error_name(await world.refusal(world.helpers.treasury, data)) == "BadSignature"


async def test_pay_batch__truncated_or_empty_entries__refused(world: World) -> None:
    token = await world.usdc()
    content = packed([(recipient(1), 10), (recipient(2), 10)])
    signature = world.signer.unsafe_sign_hash(bytes(32)).signature
    for cut in (content[:-1], content[:33], b"", content + b"\0"):
        data = encode_pay_batch(0, 0, token, cut, bytes(signature))
        assert error_name(await world.refusal(world.helpers.treasury, data)) == "MalformedEntries"


async def test_pay_batch__nothing_at_the_tokens_address__refused_and_id_kept(world: World) -> None:
    nowhere = Address(b"\x77" * 20)
    data = world.signed_batch(nowhere, [(recipient(1), 10)])
    assert error_name(await world.refusal(world.helpers.treasury, data)) == "NoTokenCode"
    assert await world.ask(world.helpers.treasury, "executed(uint64,uint256)", 0, 0) == 0


async def test_pay_batch__other_epoch__refused_before_and_after_it_is_raised(world: World) -> None:
    token = await world.usdc()
    treasury = world.helpers.treasury
    items = [(recipient(1), 10)]
    early = world.signed_batch(token, items, epoch=1)
    stray = world.signed_batch(token, items, epoch=0)
    assert describe_revert(await world.refusal(treasury, early)) == "WrongEpoch(0)"
    await world.run(treasury, "raiseEpoch(uint64)", 1, by=world.owner)
    assert describe_revert(await world.refusal(treasury, stray)) == "WrongEpoch(1)"
    await world.chain.must(world.stranger, treasury, early)
    assert await world.held(token, recipient(1)) == 10


async def test_simulate__sent_as_a_transaction__moves_nothing(world: World) -> None:
    token = await world.usdc()
    data = encode_call("simulate(address,bytes)", token, packed([(recipient(1), 10)]))
    receipt = await world.chain.transact(world.stranger, world.helpers.treasury, data)
    assert receipt.status == 0
    assert await world.held(token, recipient(1)) == 0
    assert await world.simulate(world.helpers.treasury, token, [(recipient(1), 10)]) == ()


async def test_executed__found_by_its_log__carries_the_content_hash(world: World) -> None:
    token = await world.usdc()
    for batch_id in (3, 4, 5):
        await world.pay(token, [(recipient(batch_id), batch_id)], batch_id=batch_id)
    query = {
        "address": checksum(world.helpers.treasury),
        "topics": [to_hex(word) for word in executed_topics(0, 4)],
        "fromBlock": "0x0",
    }
    (found,) = await world.chain.rpc.call("eth_getLogs", query)
    assert content_hash(packed([(recipient(4), 4)])).hex() in found["data"]
    assert await world.chain.call(world.helpers.treasury, encode_executed(0, 4)) == (1).to_bytes(32)


async def test_digest__contract_and_typed_data_library__agree(world: World) -> None:
    from eth_account.messages import _hash_eip191_message, encode_typed_data

    from chain.helper_contracts import batch_digest

    token, content = recipient(5), content_hash(b"any")
    ours = batch_digest(CHAIN_ID, world.helpers.treasury, 3, 2**200, token, content)
    asked = encode_call("batchDigest(uint64,uint256,address,bytes32)", 3, 2**200, token, content)
    message = encode_typed_data(
        domain_data={
            "name": "Bursar Treasury",
            "version": "1",
            "chainId": CHAIN_ID,
            "verifyingContract": checksum(world.helpers.treasury),
        },
        message_types={
            "Batch": [
                {"name": "epoch", "type": "uint64"},
                {"name": "id", "type": "uint256"},
                {"name": "token", "type": "address"},
                {"name": "contentHash", "type": "bytes32"},
            ]
        },
        message_data={"epoch": 3, "id": 2**200, "token": checksum(token), "contentHash": content},
    )
    assert await world.chain.call(world.helpers.treasury, asked) == ours
    assert _hash_eip191_message(message) == ours
    assert (
        Account._recover_hash(ours, signature=world.signer.unsafe_sign_hash(ours).signature)
        == dev_account(2).address
    )
    assert address_of(world.signer) == address_of(dev_account(2))
