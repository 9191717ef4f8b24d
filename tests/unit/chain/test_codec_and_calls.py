"""JSON to values, and what makes an answer unbelievable."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import calls
from chain.bloom import TransferProbe, admits, bloom_of, mask
from chain.codec import ReceiptRow, blob, block_param, fixed, quantity, to_receipt, tx_param
from chain.fees import LEAST_TIP, from_gas_price, quote
from chain.model import TRANSFER_TOPIC, Authorization, FeeQuote, Log, TxRequest
from chain.rpc.errors import BadReply
from chain.rpc.labels import clean, labels_of, secrets_of
from chain.rpc.wire import Call, decode_many, decode_one
from config.units import Address, BlockNumber, Hash32

TOKEN = Address(b"\x11" * 20)
ALICE = Address(b"\xaa" * 20)
BLOCK = Hash32(b"\xbb" * 32)


def log_json(**changes: Any) -> dict[str, Any]:
    return {
        "address": "0x" + "11" * 20,
        "topics": ["0x" + TRANSFER_TOPIC.hex(), "0x" + "00" * 32, "0x" + "00" * 12 + "aa" * 20],
        "data": "0x" + "00" * 31 + "07",
        "blockNumber": "0x64",
        "blockHash": "0x" + "bb" * 32,
        "transactionHash": "0x" + "cc" * 32,
        "transactionIndex": "0x1",
        "logIndex": "0x2",
        "removed": False,
        "blockTimestamp": "0x1",
        **changes,
    }


def ask(call: Call[Any], result: object) -> Any:
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 5, "result": result})
    return call.build(decode_one(call.shape, body, 5).result)


@pytest.mark.parametrize("text", ["", "0x", "5", "0xzz", "0x" + "1" * 65, "x5"])
def test_quantity__malformed__refused(text: str) -> None:
    with pytest.raises(ValueError):
        quantity(text)


@given(st.integers(0, 2**256 - 1))
def test_quantity__any_uint256__round_trips(number: int) -> None:
    assert quantity(hex(number)) == number


@pytest.mark.parametrize("text", ["", "0x", "0x1", "11" * 20, "0x" + "11" * 19, "0x" + "g1" * 20])
def test_fixed__malformed__refused(text: str) -> None:
    with pytest.raises(ValueError):
        fixed(text, 20)


def test_fixed__spaces_between_the_digits__refused() -> None:
    text = "0x" + "11 " * 12 + "1111"
    assert len(text) == 42
    with pytest.raises(ValueError, match="not 20 bytes"):
        fixed(text, 20)


@pytest.mark.parametrize("text", ["", "0x1", "1234"])
def test_blob__malformed__refused(text: str) -> None:
    with pytest.raises(ValueError):
        blob(text)


def test_logs__well_formed__exact_values_in_chain_order() -> None:
    call = calls.logs_in_range(100, 101, [TOKEN], [TRANSFER_TOPIC])
    logs = ask(call, [log_json(logIndex="0x3"), log_json()])
    assert [log.log_index for log in logs] == [2, 3]
    assert logs[0] == Log(
        TOKEN, (TRANSFER_TOPIC, bytes(32), ALICE.rjust(32, b"\0")), (7).to_bytes(32, "big"),
        BlockNumber(100), BLOCK, Hash32(b"\xcc" * 32), 1, 2, False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"blockNumber": "0x63"}, {"blockNumber": "0x66"}, {"removed": True},
        {"address": "0x" + "22" * 20}, {"topics": []}, {"topics": ["0x" + "00" * 32]},
        {"topics": ["0x00"]}, {"data": "0x1"}, {"transactionHash": "0x12"}, {"logIndex": "2"},
        {"blockNumber": "-0x64"},
    ],
)  # fmt: skip
def test_f06_logs_in_range__not_as_asked__refused(changes: dict[str, Any]) -> None:
    call = calls.logs_in_range(100, 101, [TOKEN], [TRANSFER_TOPIC])
    assert len(ask(call, [log_json()])) == 1
    with pytest.raises(ValueError):
        ask(call, [log_json(logIndex="0x9"), log_json(**changes)])


@pytest.mark.parametrize("changes", [{"blockHash": "0x" + "dd" * 32}, {"removed": True}])
def test_f06_logs_of_block__of_another__refused(changes: dict[str, Any]) -> None:
    call = calls.logs_of_block(BLOCK, None, [TRANSFER_TOPIC])
    assert len(ask(call, [log_json()])) == 1
    with pytest.raises(ValueError):
        ask(call, [log_json(**changes)])


HUGE = hex(2**63)


@pytest.mark.parametrize(
    "changes",
    [{"number": HUGE}, {"timestamp": hex(253_402_300_800)}, {"timestamp": hex(1_700_000_000_000)}],
)
def test_f06_block__beyond_what_books_and_calendar_hold__refused(changes: dict[str, Any]) -> None:
    block = {
        "number": "0x64",
        "hash": "0x" + "bb" * 32,
        "parentHash": "0x" + "aa" * 32,
        "timestamp": hex(253_402_300_799),
        "logsBloom": "0x" + "00" * 256,
        "gasLimit": "0x1",
    }
    assert ask(calls.block("latest"), block).timestamp == 253_402_300_799
    with pytest.raises(ValueError, match=r"so large|after the year"):
        ask(calls.block("latest"), {**block, **changes})


@pytest.mark.parametrize("name", ["logIndex", "transactionIndex", "blockNumber"])
def test_f06_logs__a_place_that_the_books_cannot_hold__refused(name: str) -> None:
    with pytest.raises(ValueError, match="so large"):
        ask(calls.logs_of_block(BLOCK, None, ()), [log_json(**{name: HUGE})])


@pytest.mark.parametrize("height", ["latest", "0x65"])
def test_f06_logs_of_block__a_stranger_at_no_height_or_another__refused(height: str) -> None:
    """Also where none of them is kept: their heights tell which blocks were answered."""
    rows = [log_json(), log_json(blockNumber=height, logIndex="0x3")]
    with pytest.raises(ValueError, match=r"quantity|several heights"):
        ask(calls.logs_of_block(BLOCK, None, (), keep=lambda _: []), rows)


def test_f06_logs__twice_the_same__refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        ask(calls.logs_in_range(0, 200, None, []), [log_json(), log_json()])


def test_f06_logs__unwanted_recipient__refused() -> None:
    wanted = [ALICE.rjust(32, b"\0")]
    call = calls.logs_in_range(0, 200, None, [TRANSFER_TOPIC, None, wanted])
    assert len(ask(call, [log_json()])) == 1
    other = ["0x" + TRANSFER_TOPIC.hex(), "0x" + "00" * 32, "0x" + "00" * 32]
    with pytest.raises(ValueError, match="topic"):
        ask(call, [log_json(topics=other)])


def test_f06_logs__null_block_of_a_pending_log__refused() -> None:
    call = calls.logs_in_range(0, 200, None, [])
    with pytest.raises(BadReply):
        ask(call, [log_json(blockNumber=None)])


def test_f23_logs__malformed_transfers__kept_for_the_watcher_to_judge() -> None:
    call = calls.logs_in_range(0, 200, None, [TRANSFER_TOPIC])
    topics = ["0x" + TRANSFER_TOPIC.hex()]
    logs = ask(call, [log_json(topics=topics, data="0x"), log_json(logIndex="0x3", data="0x01")])
    assert [len(log.data) for log in logs] == [0, 1]


def test_keep__rows_not_wanted__not_built_but_still_placed() -> None:
    call = calls.logs_in_range(100, 101, None, [], lambda rows: [0])
    assert len(ask(call, [log_json(), log_json(data="nonsense")])) == 1
    with pytest.raises(ValueError):
        ask(call, [log_json(), log_json(blockNumber="0x1")])


def receipt_json(**changes: Any) -> dict[str, Any]:
    return {
        "transactionHash": "0x" + "cc" * 32, "blockHash": "0x" + "bb" * 32, "blockNumber": "0x64",
        "transactionIndex": "0x1", "status": "0x1", "gasUsed": "0x5208", "from": "0x" + "aa" * 20,
        "to": None, "contractAddress": "0x" + "11" * 20, "effectiveGasPrice": "0x3",
        "l1Fee": "0x64", "logs": [log_json()], **changes,
    }  # fmt: skip


def to_row(**changes: Any) -> ReceiptRow:
    return msgspec.convert(receipt_json(**changes), ReceiptRow)


def test_receipt__op_stack__fee_includes_the_l1_fee() -> None:
    receipt = to_receipt(to_row())
    assert receipt is not None
    assert receipt.fee == 21_000 * 3 + 100
    plain = receipt_json()
    del plain["l1Fee"]
    without = to_receipt(msgspec.convert(plain, ReceiptRow))
    assert without is not None and without.l1_fee == 0


def test_receipt__arbitrum__data_on_ethereum_is_part_of_the_gas_used() -> None:
    """Nitro's shape: ``gasUsedForL1`` is contained in ``gasUsed``, and paid at the same price."""
    shape = receipt_json(
        type="0x2", gasUsed="0x6d3ce", gasUsedForL1="0x51b4a", effectiveGasPrice="0x989680",
        l1BlockNumber="0x160ab2d", timeboosted=False, cumulativeGasUsed="0x2a6f11",
    )  # fmt: skip
    del shape["l1Fee"]
    receipt = to_receipt(msgspec.convert(shape, ReceiptRow))
    assert receipt is not None
    assert (receipt.l1_fee, receipt.fee) == (0, 0x6D3CE * 10_000_000)


def test_receipt__operator_fee_of_isthmus__as_a_balance_showed_it() -> None:
    """A withdrawal on a devnet of the OP Stack's own tests, which notes the sender's balance:
    it went down by 422 wei more than gas and ``l1Fee``."""
    receipt = to_receipt(
        to_row(
            gasUsed="0x12448", effectiveGasPrice="0x6696339c", l1GasPrice="0x1023dc7",
            l1BlobBaseFee="0x1", l1GasUsed="0x640", l1Fee="0x2353d65", l1BaseFeeScalar="0x558",
            l1BlobBaseFeeScalar="0xc5fc5", operatorFeeScalar="0x12c", operatorFeeConstant="0x190",
        )
    )  # fmt: skip
    assert receipt is not None
    assert receipt.fee == 128_781_093_286_213 + 422


def test_receipt__operator_fee_of_jovian__known_by_the_da_scalar() -> None:
    """The first receipt's fields are of alloy's test of a Jovian receipt; without the parameters
    (both zero) nodes give the DA scalar all the same."""
    jovian = {"gasUsed": "0x5208", "l1Fee": "0x5bf1ab43d", "daFootprintGasScalar": "0x1"}
    receipt = to_receipt(to_row(**jovian, operatorFeeScalar="0x1", operatorFeeConstant="0x1"))
    assert receipt is not None
    assert receipt.fee == 21_000 * 3 + 0x5BF1AB43D + 21_000 * 100 + 1
    plain = to_receipt(to_row(**jovian))
    assert plain is not None
    assert plain.fee == 21_000 * 3 + 0x5BF1AB43D


def test_receipt__op_stack_after_isthmus__further_fields_are_no_fee_of_their_own() -> None:
    receipt = to_receipt(
        to_row(
            l1Fee="0x2540be400", l1GasPrice="0x77359400", l1GasUsed="0x640", l1BlobBaseFee="0x1",
            l1BaseFeeScalar="0x8dd", l1BlobBaseFeeScalar="0x101c12", operatorFeeScalar="0x0",
            operatorFeeConstant="0x0", blobGasUsed="0x1a2b",
        )
    )  # fmt: skip
    assert receipt is not None
    assert receipt.fee == 21_000 * 3 + 10_000_000_000


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "0x2"},
        {"logs": [log_json(transactionHash="0x" + "dd" * 32)]},
        {"logs": [log_json(blockHash="0x" + "dd" * 32)]},
        {"logs": [log_json(), log_json(logIndex="0x1")]},
        {"effectiveGasPrice": hex(2**255)},
    ],
)
def test_f06_receipt__contradicts_itself__refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        to_receipt(to_row(**changes))


def test_receipt__pending_without_a_block__none() -> None:
    assert to_receipt(to_row(blockHash=None, blockNumber=None, transactionIndex=None)) is None


def test_receipt__of_another_transaction__refused() -> None:
    with pytest.raises(ValueError):
        ask(calls.receipt(Hash32(bytes(32))), receipt_json())


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html></html>", b"no", b"[]", b'{"jsonrpc":"2.0","id":5,"resu', b'{"id":6,"result":"0x1"}',
        b'{"id":5,"result":{"a":1}}', b'{"result":"0x1"}', b"\xff\xfe", b'{"id":5,"result":7}',
        b'{"id":5,"result":"\xff"}', b'{"id":5,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda body: body[:24].decode("ascii", "replace"),
)  # fmt: skip
def test_f06_reply__not_the_answer__bad_reply(body: bytes) -> None:
    with pytest.raises(BadReply):
        decode_one(calls.TEXT, body, 5)


def test_batch__out_of_order__sorted_by_id() -> None:
    body = b'[{"id":8,"result":"0x8"},{"id":7,"result":"0x7"}]'
    replies = decode_many(calls.TEXT, body, 7, 3)
    assert isinstance(replies, list)
    assert [reply and reply.result for reply in replies] == ["0x7", "0x8", None]


@pytest.mark.parametrize("ids", ["[7,7]", "[7,99]", '[7,"8"]', "[7,null]", "[6,7]"])
def test_f06_batch__ids_wrong__bad_reply(ids: str) -> None:
    body = msgspec.json.encode([{"id": i, "result": "0x1"} for i in msgspec.json.decode(ids)])
    with pytest.raises(BadReply):
        decode_many(calls.TEXT, body, 7, 2)


def test_params__spelled_for_nodes() -> None:
    assert block_param(255) == "0xff"
    assert block_param("safe") == "safe"
    assert block_param(BLOCK) == {"blockHash": "0x" + "bb" * 32}
    authorization = Authorization(1, TOKEN, 0, 1, 5, 6)
    tx = TxRequest(ALICE, None, b"\x01", value=5, authorization_list=(authorization,))
    assert tx_param(tx) == {
        "from": "0x" + "aa" * 20, "data": "0x01", "value": "0x5",
        "authorizationList": [
            {"chainId": "0x1", "address": "0x" + "11" * 20, "nonce": "0x0", "yParity": "0x1", "r": "0x5", "s": "0x6"}
        ],
    }  # fmt: skip


def a_log(address: bytes, *topics: bytes) -> Log:
    return Log(Address(address), topics, b"", BlockNumber(1), BLOCK, BLOCK, 0, 0)


@given(st.binary(min_size=20, max_size=32))
def test_bloom__mask__one_to_three_of_2048_bits(item: bytes) -> None:
    assert 1 <= mask(item).bit_count() <= 3 and mask(item) < 1 << 2048


def test_f05_bloom__transfer_of_the_token__may_hold_and_others_not() -> None:
    bloom = bloom_of([a_log(TOKEN, TRANSFER_TOPIC, bytes(32))]).to_bytes(256, "big")
    assert TransferProbe([ALICE, TOKEN]).may_hold(bloom)
    assert not TransferProbe([ALICE]).may_hold(bloom)
    assert not TransferProbe([TOKEN]).may_hold(bytes(256))
    assert admits(bloom, [a_log(TOKEN, TRANSFER_TOPIC)])
    assert not admits(bloom, [a_log(ALICE, TRANSFER_TOPIC)])


def test_fees__empty_blocks__do_not_pull_the_tip_down() -> None:
    found = quote([5, 6, 7, 8], [0, 3 * 10**9, 10**9], [0.0, 0.5, 0.9])
    assert found == FeeQuote(base_fee=8, tip=3 * 10**9)


def test_fees__nobody_tips__least_tip() -> None:
    assert quote([5, 6], [0], [0.0]).tip == LEAST_TIP
    assert quote([], [], []) == FeeQuote(0, LEAST_TIP)
    assert from_gas_price(10**10) == FeeQuote(0, 10**10)


def test_labels__hosts_and_ports_only() -> None:
    urls = [
        "https://u:passw0rd@a.example/v2/KEYKEYKEY?k=VALUEVALUE",
        "https://a.example/x",
        "http://b:8545",
    ]
    assert labels_of(urls) == ["a.example", "a.example#2", "b:8545"]
    text = clean(
        " ".join(["passw0rd", "KEYKEYKEY", "VALUEVALUE", urls[0], "v2"]), secrets_of(urls[0])
    )
    assert text == "*** *** *** *** v2"
