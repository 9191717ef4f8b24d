"""Headers, transactions and receipts that other clients made prove; forged ones do not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from chain.codec import LogRow
from chain.proofs.header import header_hash
from chain.proofs.receipts import commitment, prove_header, prove_receipts, prove_transactions
from chain.proofs.rows import BlockRow, ProvableReceiptRow
from tests.unit.chain.proof_vectors import (
    CANCUN,
    CANCUN_RECEIPTS,
    CANYON,
    CANYON_RECEIPTS,
    PRAGUE,
    REGOLITH,
    REGOLITH_ROOT,
    ZERO_BLOOM,
    ZERO_HASH,
)


def block(data: dict[str, Any]) -> BlockRow:
    return msgspec.convert(data, BlockRow)


def receipts(data: list[dict[str, Any]]) -> list[ProvableReceiptRow]:
    return msgspec.convert(data, list[ProvableReceiptRow])


def regolith(**deposit: str) -> list[ProvableReceiptRow]:
    rows = []
    for kind, gas, logs in REGOLITH:
        row = ProvableReceiptRow(
            transaction_hash=ZERO_HASH, status="0x1", gas_used="0x0", sender="0x" + "00" * 20,
            cumulative_gas_used=hex(gas), type=hex(kind),
            logs=[
                LogRow(
                    address="0x" + address, topics=["0x" + topic.rjust(64, "0") for topic in topics],
                    data="0x" + data, block_number="0x1", block_hash=ZERO_HASH,
                    transaction_hash=ZERO_HASH, transaction_index="0x0", log_index="0x0",
                )
                for address, topics, data in logs
            ],
        )  # fmt: skip
        if kind == 0x7E:
            row = msgspec.structs.replace(row, **deposit)
        rows.append(row)
    return rows


def prove(block_data: dict[str, Any], receipt_data: list[dict[str, Any]]) -> int:
    row = block(block_data)
    header, hashes = prove_header(row), prove_transactions(row)
    return len(prove_receipts(row, header, hashes, receipts(receipt_data)))


@pytest.mark.parametrize("data", [CANCUN, PRAGUE, CANYON], ids=["cancun", "prague", "op-canyon"])
def test_header__made_by_another_client__hashes_to_its_hash(data: dict[str, Any]) -> None:
    assert prove_header(block(data)).hash.hex() == data["hash"][2:]


@pytest.mark.parametrize("data", [CANCUN, PRAGUE, CANYON], ids=["cancun", "prague", "op-canyon"])
def test_transactions__types_0_to_3_and_deposits__give_root_and_hashes(
    data: dict[str, Any],
) -> None:
    found = prove_transactions(block(data))
    assert ["0x" + item.hex() for item in found] == [tx["hash"] for tx in data["transactions"]]


def test_receipts__whole_blocks__proven() -> None:
    assert prove(CANCUN, CANCUN_RECEIPTS) == 1
    assert prove(CANYON, CANYON_RECEIPTS) == 1


def test_receipts__op_stack_before_canyon__deposit_nonce_is_left_out_of_the_root() -> None:
    assert "0x" + commitment(regolith())[0].hex() == REGOLITH_ROOT
    assert "0x" + commitment(regolith(deposit_nonce=hex(4012991)))[0].hex() == REGOLITH_ROOT


def test_receipts__op_stack_since_canyon__nonce_and_version_are_in_the_root() -> None:
    versioned = regolith(deposit_nonce=hex(4012991), deposit_receipt_version="0x1")
    assert "0x" + commitment(versioned)[0].hex() != REGOLITH_ROOT
    for change in ({"depositNonce": "0x112"}, {"depositReceiptVersion": None}):
        with pytest.raises(ValueError, match="receiptsRoot"):
            prove(CANYON, [CANYON_RECEIPTS[0] | change])


def forge_log(rows: list[ProvableReceiptRow]) -> None:
    rows[3].logs[0].data = "0x" + f"{10**24:064x}"


def forge_recipient(rows: list[ProvableReceiptRow]) -> None:
    rows[3].logs[0].topics[2] = "0x" + "aa" * 32


def forge_contract(rows: list[ProvableReceiptRow]) -> None:
    rows[3].logs[0].address = "0x" + "aa" * 20


def add_log(rows: list[ProvableReceiptRow]) -> None:
    rows[1].logs.append(rows[3].logs[0])


def drop_log(rows: list[ProvableReceiptRow]) -> None:
    rows[3].logs.pop()


def swap_logs(rows: list[ProvableReceiptRow]) -> None:
    rows[3].logs.reverse()


def move_log(rows: list[ProvableReceiptRow]) -> None:
    rows[2].logs.append(rows[3].logs.pop(0))


def drop_receipt(rows: list[ProvableReceiptRow]) -> None:
    rows.pop()


def swap_receipts(rows: list[ProvableReceiptRow]) -> None:
    rows[1], rows[2] = rows[2], rows[1]


def fail_instead(rows: list[ProvableReceiptRow]) -> None:
    rows[1].status = "0x0"


def other_type(rows: list[ProvableReceiptRow]) -> None:
    rows[1].type = "0x1"


@pytest.mark.parametrize(
    "forge",
    [
        forge_log, forge_recipient, forge_contract, add_log, drop_log, swap_logs, move_log,
        drop_receipt, swap_receipts, fail_instead, other_type,
    ],
)  # fmt: skip
def test_receipts__forged__another_root(forge: Callable[[list[ProvableReceiptRow]], None]) -> None:
    rows = regolith()
    forge(rows)
    assert "0x" + commitment(rows)[0].hex() != REGOLITH_ROOT


@pytest.mark.parametrize(
    "field", ["receiptsRoot", "parentHash", "stateRoot", "mixHash", "timestamp", "withdrawalsRoot",
              "requestsHash", "excessBlobGas", "baseFeePerGas", "extraData", "logsBloom"],
)  # fmt: skip
def test_header__any_field_forged__another_hash(field: str) -> None:
    old = PRAGUE[field]
    new = old[:-2] + ("01" if old[-2:] != "01" else "02") if len(old) > 4 else "0x11"
    with pytest.raises(ValueError, match="do not hash"):
        prove_header(block(PRAGUE | {field: new}))


def test_header__fork_field_left_out_or_invented__another_hash() -> None:
    right = header_hash(block(CANCUN))
    assert header_hash(block(CANCUN | {"requestsHash": ZERO_HASH})) != right
    assert header_hash(block(CANCUN | {"parentBeaconBlockRoot": None})) != right
    amsterdam = CANCUN | {"requestsHash": ZERO_HASH, "blockAccessListHash": ZERO_HASH}
    assert header_hash(block(amsterdam)) != header_hash(block(amsterdam | {"slotNumber": "0x0"}))


def test_transactions__one_body_forged__refused() -> None:
    for i, tx in enumerate(PRAGUE["transactions"]):
        forged = copy.deepcopy(PRAGUE)
        forged["transactions"][i]["value"] = hex(int(tx["value"], 16) + 1)
        with pytest.raises(ValueError, match="transactionsRoot"):
            prove_transactions(block(forged))


def test_transactions__only_hashes__refused() -> None:
    bare = PRAGUE | {"transactions": [tx["hash"] for tx in PRAGUE["transactions"]]}
    with pytest.raises(ValueError, match="bodies"):
        prove_transactions(block(bare))


def test_transactions__unknown_type__refused_by_name() -> None:
    odd = copy.deepcopy(CANCUN)
    odd["transactions"][0]["type"] = "0x6a"
    with pytest.raises(ValueError, match="0x6a"):
        prove_transactions(block(odd))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"transactionHash": "0x" + "11" * 32}, "another transaction"),
        ({"transactionIndex": "0x1"}, "another transaction"),
        ({"blockHash": "0x" + "11" * 32}, "another block"),
        ({"blockNumber": "0x8"}, "another block"),
        ({"gasUsed": "0x5207"}, "cumulative"),
    ],
)  # fmt: skip
def test_receipts__place_that_the_root_does_not_hold__checked_too(
    change: dict[str, str], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        prove(CANCUN, [CANCUN_RECEIPTS[0] | change])


def test_receipts__one_too_few_or_many__refused() -> None:
    for rows in ([], CANCUN_RECEIPTS * 2):
        with pytest.raises(ValueError, match="for 1 transactions"):
            prove(CANCUN, rows)


def test_bloom__of_the_header__must_be_the_logs_own() -> None:
    """Such a header can only be made by someone who also chooses its hash."""
    forged = CANCUN | {"logsBloom": "0x" + "ff" * 256}
    forged["hash"] = "0x" + header_hash(block(forged)).hex()
    with pytest.raises(ValueError, match="logsBloom"):
        prove(forged, [CANCUN_RECEIPTS[0] | {"blockHash": forged["hash"]}])


def test_bloom__in_the_receipt__is_not_taken_from_it() -> None:
    assert commitment(regolith())[1].hex() != ZERO_BLOOM[2:]
    assert prove(CANCUN, [CANCUN_RECEIPTS[0] | {"logsBloom": "0x" + "ff" * 256}]) == 1
