"""Every method of the client against a real node."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from chain.anvil import Anvil, DevRpc
from chain.bloom import bloom_of
from chain.client import ChainClient
from chain.model import TRANSFER_TOPIC, TxRequest
from chain.rpc.errors import CallReverted, NodeBehind
from chain.send import SendOutcome
from config.units import Address, Hash32, from_hex

Account.enable_unaudited_hdwallet_features()
MNEMONIC = "test test test test test test test test test test test junk"
PAYER: LocalAccount = Account.from_mnemonic(MNEMONIC)
ALICE = Address(bytes.fromhex("aa" * 20))
BOB = Address(bytes.fromhex("bb" * 20))

# Runtime of a contract that logs Transfer(caller, address in calldata word 0, amount in word 1),
# reverts with 32 bytes of data when word 1 is 0, and answers the amount otherwise.
#   PUSH1 20 CALLDATALOAD DUP1 PUSH1 11 JUMPI  PUSH1 2a PUSH1 00 MSTORE PUSH1 20 PUSH1 00 REVERT
LOGGER_RUNTIME = bytes.fromhex(
    "602035"  # amount
    "80" "6011" "57"  # if amount: jump to 0x11
    "602a60005260206000fd" "5b"  # revert(42); 0x11: JUMPDEST
    "6000" "52"  # mem[0] = amount
    "600035" "33" "7f" + TRANSFER_TOPIC.hex() + "6020" "6000" "a3"  # log3(0, 32, topic, caller, to)
    "60206000f3"
)  # fmt: skip


def sender() -> Address:
    return Address(from_hex(PAYER.address.lower()))


async def send(client: ChainClient, **fields: Any) -> Hash32:
    quote = await client.fees()
    tx = {
        "chainId": client.chain_id,
        "nonce": await client.nonce(sender()),
        "gas": 500_000,
        "maxFeePerGas": 2 * quote.base_fee + quote.tip,
        "maxPriorityFeePerGas": quote.tip,
        "value": 0,
        **fields,
    }
    signed = PAYER.sign_transaction(tx)
    result = await client.send_raw(bytes(signed.raw_transaction))
    assert result.outcome is SendOutcome.accepted, result
    tx_hash = Hash32(bytes(signed.hash))
    for _ in range(200):
        if await client.receipt(tx_hash) is not None:
            return tx_hash
        await asyncio.sleep(0.01)
    raise AssertionError("not mined within 2 s")


async def deploy_logger(client: ChainClient) -> Address:
    size = len(LOGGER_RUNTIME)
    init = bytes.fromhex(f"61{size:04x}80600a3d393df3") + b"" + LOGGER_RUNTIME
    receipt = await client.receipt(await send(client, data=init, to=b""))
    assert receipt is not None and receipt.status == 1 and receipt.contract_address is not None
    assert await client.code(receipt.contract_address) == LOGGER_RUNTIME
    return receipt.contract_address


def pay(to: Address, amount: int) -> bytes:
    return to.rjust(32, b"\0") + amount.to_bytes(32, "big")


async def test_blocks__by_number_tag_and_hash__agree(client: ChainClient, dev_rpc: DevRpc) -> None:
    await dev_rpc.call("anvil_mine", "0x5")
    latest = await client.block("latest")
    assert latest is not None and latest.number == 5
    assert await client.block(5) == latest
    assert await client.block_by_hash(latest.hash) == latest
    assert await client.block_by_hash(Hash32(bytes(32))) is None
    assert await client.block(6) is None
    headers = await client.headers(0, 5)
    assert [header.number for header in headers] == [0, 1, 2, 3, 4, 5]
    for parent, child in pairwise(headers):
        assert child.parent_hash == parent.hash
    with pytest.raises(NodeBehind):
        await client.headers(4, 7)
    assert await client.remote_chain_id() == 31337


async def test_transfers__by_range_and_by_block_hash__same_logs(client: ChainClient) -> None:
    logger = await deploy_logger(client)
    first = await send(client, to=logger, data=pay(ALICE, 7))
    second = await send(client, to=logger, data=pay(BOB, 8))
    everything = await client.transfer_logs(0, 10, tokens=[logger], recipients=None)
    assert [(log.topics[2][12:], int.from_bytes(log.data, "big")) for log in everything] == [
        (ALICE, 7),
        (BOB, 8),
    ]
    assert await client.transfer_logs(0, 10, tokens=None, recipients=[BOB]) == everything[1:]
    assert await client.transfer_logs(0, 10, tokens=[ALICE], recipients=None) == []
    by_hash = await client.transfer_logs_of_block(
        everything[0].block_hash, tokens=[logger], recipients=None
    )
    assert by_hash == everything[:1]
    assert await client.logs(0, 10, [logger], [TRANSFER_TOPIC]) == everything

    receipts = await client.receipts([first, second, Hash32(bytes(32))])
    assert receipts[0] is not None and receipts[0].logs == (everything[0],)
    assert receipts[1] is not None and receipts[1].sender == sender()
    assert receipts[2] is None
    header = await client.block(everything[0].block_number)
    assert header is not None
    assert header.logs_bloom == bloom_of(everything[:1]).to_bytes(256, "big")
    assert await client.transaction_block(first) == (True, everything[0].block_number)
    assert await client.transaction_block(Hash32(bytes(32))) == (False, None)


async def test_call__reverts__data_comes_along(client: ChainClient) -> None:
    logger = await deploy_logger(client)
    good = TxRequest(sender(), logger, pay(ALICE, 9))
    bad = TxRequest(sender(), logger, pay(ALICE, 0))
    assert int.from_bytes(await client.call(good), "big") == 9
    with pytest.raises(CallReverted) as caught:
        await client.call(bad)
    assert int.from_bytes(caught.value.data, "big") == 42
    answers = await client.calls([good, bad])
    assert answers[0] == (9).to_bytes(32, "big")
    assert isinstance(answers[1], CallReverted)
    assert await client.estimate_gas(good) > 21_000
    with pytest.raises(CallReverted):
        await client.estimate_gas(bad)


async def test_accounts__at_blocks_and_hashes__as_of_then(client: ChainClient) -> None:
    before = await client.block("latest")
    assert before is not None
    await send(client, to=ALICE, value=5)
    assert await client.balance(ALICE) == 5
    assert await client.balance(ALICE, before.number) == 0
    assert await client.balance(ALICE, before.hash) == 0
    assert await client.nonce(sender()) == 1
    assert await client.nonce(sender(), before.number) == 0
    assert await client.nonces([sender(), ALICE]) == [1, 0]
    assert await client.codes([ALICE, BOB]) == [b"", b""]


async def test_send_raw__again_and_stale__said_so(
    client: ChainClient, dev_rpc: DevRpc, anvil: Anvil
) -> None:
    await dev_rpc.call("evm_setAutomine", False)
    fields: dict[str, Any] = {
        "chainId": 31337, "nonce": 0, "gas": 21_000, "maxFeePerGas": 3 * 10**9,
        "maxPriorityFeePerGas": 10**9, "value": 1, "to": ALICE,
    }  # fmt: skip

    async def outcome(**changes: Any) -> SendOutcome:
        raw = bytes(PAYER.sign_transaction({**fields, **changes}).raw_transaction)
        return (await client.send_raw(raw)).outcome

    assert await outcome() is SendOutcome.accepted
    assert await outcome() is SendOutcome.already_known
    assert await outcome(value=2) is SendOutcome.replacement_underpriced
    assert await outcome(chainId=1) is SendOutcome.rejected
    assert await outcome(nonce=1, value=10**30) is SendOutcome.insufficient_funds
    assert await outcome(nonce=1, gas=20_000) is SendOutcome.rejected
    assert await outcome(nonce=1, gas=10**9) is SendOutcome.rejected
    await dev_rpc.call("evm_mine")
    assert await outcome(value=3) is SendOutcome.nonce_too_low
    anvil.stop()
    assert await outcome(nonce=1) is SendOutcome.unknown
