"""What an honest node answers, method by method, on the branch that it follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import rlp
from eth_utils.crypto import keccak

from tests.simulation.chain import proving
from tests.simulation.chain.blocks import Block, SimChain
from tests.simulation.chain.code import signer_of
from tests.simulation.chain.evm import Machine
from tests.simulation.chain.transactions import (
    Authorization,
    InvalidTxError,
    Tx,
    authorize,
    decode_raw,
    intrinsic_gas,
)

MAX_TIP_HISTORY = 10


class NodeError(Exception):
    """A JSON-RPC error."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


class Node:
    """Answers for one chain; whoever calls says at which tip it stands."""

    def __init__(self, chain: SimChain, finality: Callable[[str, Block], int | None]) -> None:
        """:param finality: height of a tag for a tip; ``None`` while there is none."""
        self.chain = chain
        self._finality = finality
        self.longest_range = 10_000
        self.gives_block_receipts = True
        self._methods: dict[str, Callable[[list[Any], Block], Any]] = {
            "eth_chainId": lambda _p, _t: hex(chain.chain_id),
            "eth_blockNumber": lambda _p, tip: hex(tip.number),
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getLogs": self._logs,
            "eth_getTransactionReceipt": lambda p, tip: self.receipt(_bytes(p[0]), tip),
            "eth_getBlockReceipts": self._block_receipts,
            "eth_getTransactionByHash": self._transaction,
            "eth_sendRawTransaction": self._send,
            "eth_getTransactionCount": self._count,
            "eth_getBalance": self._balance,
            "eth_getCode": self._code,
            "eth_call": self._call,
            "eth_estimateGas": self._estimate,
            "eth_feeHistory": self._fee_history,
            "eth_gasPrice": lambda _p, tip: hex(tip.base_fee + 10**9),
        }

    def answer(self, method: str, params: list[Any], tip: Block) -> Any:
        """:raises NodeError: as a node would."""
        known = self._methods.get(method)
        lacks = method == "eth_getBlockReceipts" and not self.gives_block_receipts
        if known is None or lacks:
            raise NodeError(-32601, f"the method {method} does not exist/is not available")
        return known(params, tip)

    # --- blocks ------------------------------------------------------------------------

    def _resolve(self, param: Any, tip: Block) -> Block | None:
        if isinstance(param, dict):
            block = self.chain.by_hash.get(_bytes(param["blockHash"]))
            if block is None or block.number > tip.number:
                raise NodeError(-32000, "header for hash not found")
            return block
        if param in ("latest", "pending"):
            return tip
        if param == "earliest":
            return self.chain.at(0, tip)
        if param in ("safe", "finalized"):
            number = self._finality(param, tip)
            return None if number is None else self.chain.at(number, tip)
        return self.chain.at(int(param, 16), tip)

    def _block_by_number(self, params: list[Any], tip: Block) -> Any:
        block = self._resolve(params[0], tip)
        return None if block is None else self._shown(block, bodies=bool(params[1]))

    def _block_by_hash(self, params: list[Any], tip: Block) -> Any:
        block = self.chain.by_hash.get(_bytes(params[0]))
        if block is None or block.number > tip.number:
            return None
        return self._shown(block, bodies=bool(params[1]))

    def _shown(self, block: Block, *, bodies: bool) -> dict[str, Any]:
        if not (self.chain.proofs and block.parent):
            return header(block)
        txs = [proving.body_row(tx) if bodies else hexed(tx.hash) for tx in block.txs]
        return header(block) | proving.header_fields(block) | {"transactions": txs}

    def _state(self, param: Any, tip: Block) -> Block:
        block = self._resolve(param, tip)
        if block is None:
            raise NodeError(-32000, "header not found")
        if block.slots is None:
            raise NodeError(-32000, "missing trie node: state is not available (pruned)")
        return block

    # --- logs and transactions -----------------------------------------------------------

    def _logs(self, params: list[Any], tip: Block) -> Any:
        asked = params[0]
        blocks: list[Block]
        if "blockHash" in asked:
            block = self.chain.by_hash.get(_bytes(asked["blockHash"]))
            if block is None or block.number > tip.number:
                raise NodeError(-32000, "unknown block")
            blocks = [block]
        else:
            first, last = int(asked["fromBlock"], 16), int(asked["toBlock"], 16)
            if last - first + 1 > self.longest_range:
                words = f"block range is too wide (max {self.longest_range})"
                raise NodeError(-32602, words)
            blocks = [
                found
                for n in range(first, min(last, tip.number) + 1)
                if (found := self.chain.at(n, tip)) is not None
            ]
        return [row for block in blocks if block.results for row in log_rows(block, asked)]

    def receipt(self, tx_hash: bytes, tip: Block) -> Any:
        block = self.chain.place_of(tx_hash, tip)
        if block is None:
            return None
        place = next(i for i, tx in enumerate(block.txs) if tx.hash == tx_hash)
        return self._receipt_at(block, place)

    def _block_receipts(self, params: list[Any], tip: Block) -> Any:
        block = self.chain.by_hash.get(_bytes(params[0]))
        if block is None or block.number > tip.number:
            return None
        return [self._receipt_at(block, place) for place in range(len(block.txs))]

    @staticmethod
    def _receipt_at(block: Block, place: int) -> dict[str, Any]:
        tx, result = block.txs[place], block.results[place]
        return {
            "transactionHash": hexed(tx.hash),
            "type": hex(tx.raw[0]) if tx.raw else "0x0",
            "cumulativeGasUsed": hex(sum(r.gas_used for r in block.results[: place + 1])),
            "transactionIndex": hex(place),
            "blockHash": hexed(block.hash),
            "blockNumber": hex(block.number),
            "from": hexed(tx.sender),
            "to": hexed(tx.to),
            "contractAddress": None,
            "status": hex(result.status),
            "gasUsed": hex(result.gas_used),
            "effectiveGasPrice": hex(result.price),
            "logs": [row for row in log_rows(block, {}) if row["transactionIndex"] == hex(place)],
        }

    def _transaction(self, params: list[Any], tip: Block) -> Any:
        tx_hash = _bytes(params[0])
        block = self.chain.place_of(tx_hash, tip)
        if block is None:
            known = tx_hash in self.chain.mempool
            return {"hash": hexed(tx_hash), "blockNumber": None} if known else None
        return {"hash": hexed(tx_hash), "blockNumber": hex(block.number)}

    def _send(self, params: list[Any], tip: Block) -> Any:
        try:
            tx = decode_raw(_bytes(params[0]), self.chain.chain_id)
        except InvalidTxError as error:
            raise NodeError(-32000, str(error)) from None
        if tx.authorizations and not self.chain.delegations:
            raise NodeError(-32000, "transaction type not supported")
        refusal = self.chain.offer(tx)
        if refusal is not None:
            raise NodeError(-32000, refusal)
        return hexed(tx.hash)

    # --- accounts ----------------------------------------------------------------------

    def _count(self, params: list[Any], tip: Block) -> Any:
        state = self._state(params[1], tip)
        assert state.slots is not None
        return hex(state.slots.get(("nonce", _bytes(params[0])), 0))

    def _balance(self, params: list[Any], tip: Block) -> Any:
        state = self._state(params[1], tip)
        assert state.slots is not None
        return hex(state.slots.get(("wei", _bytes(params[0])), 0))

    def _code(self, params: list[Any], tip: Block) -> Any:
        return hexed(self._machine(self._state(params[1], tip)).shown_code(_bytes(params[0])))

    def _machine(self, block: Block, gas: int = 30_000_000) -> Machine:
        assert block.slots is not None
        return Machine(block.slots, self.chain.code, self.chain.chain_id, block.timestamp, gas)

    # --- calls -------------------------------------------------------------------------

    def _run(self, params: list[Any], tip: Block) -> tuple[Machine, bool, bytes]:
        asked = params[0]
        block = self._state(params[1] if len(params) > 1 else "latest", tip)
        tx = Tx(
            b"", _bytes(asked.get("from", "0x" + "00" * 20)), _bytes(asked["to"]),
            _bytes(asked["data"]), int(asked.get("value", "0x0"), 16),
            authorizations=tuple(map(_authorization, asked.get("authorizationList", ()))),
        )  # fmt: skip
        vm = self._machine(block, int(asked["gas"], 16) if "gas" in asked else 50_000_000)
        vm.gas = intrinsic_gas(tx if self.chain.delegations else replace(tx, authorizations=()))
        if self.chain.delegations:  # else: a field that the node does not know
            authorize(vm, tx.authorizations)
        done, output = vm.call(tx.sender, tx.to, tx.value, tx.data)
        vm.back_to((0, 0))
        return vm, done, output

    def _call(self, params: list[Any], tip: Block) -> Any:
        _, done, output = self._run(params, tip)
        if not done:
            raise NodeError(3, "execution reverted", hexed(output))
        return hexed(output)

    def _estimate(self, params: list[Any], tip: Block) -> Any:
        vm, done, output = self._run(params, tip)
        if not done:
            raise NodeError(3, "execution reverted", hexed(output))
        return hex(vm.gas)

    def _fee_history(self, params: list[Any], tip: Block) -> Any:
        blocks = [
            block
            for n in range(max(0, tip.number - MAX_TIP_HISTORY + 1), tip.number + 1)
            if (block := self.chain.at(n, tip)) is not None
        ]
        return {
            "oldestBlock": hex(blocks[0].number),
            "baseFeePerGas": [hex(b.base_fee) for b in blocks] + [hex(tip.base_fee)],
            "gasUsedRatio": [0.5 for _ in blocks],
            "reward": [[hex(10**9)] for _ in blocks],
        }


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def _authorization(item: dict[str, str]) -> Authorization:
    def minimal(text: str) -> bytes:
        number = int(text, 16)
        return number.to_bytes((number.bit_length() + 7) // 8)

    chain_id, delegate, nonce = (
        minimal(item["chainId"]), _bytes(item["address"]), minimal(item["nonce"])
    )  # fmt: skip
    digest = keccak(b"\x05" + rlp.encode([chain_id, delegate, nonce]))
    signature = int(item["r"], 16).to_bytes(32) + int(item["s"], 16).to_bytes(32)
    parity = int(item["yParity"], 16)
    return Authorization(
        int.from_bytes(chain_id), delegate, int.from_bytes(nonce),
        signer_of(digest, signature + bytes([parity])),
    )  # fmt: skip


def header(block: Block) -> dict[str, Any]:
    return {
        "number": hex(block.number),
        "hash": hexed(block.hash),
        "parentHash": hexed(block.parent.hash if block.parent else bytes(32)),
        "timestamp": hex(block.timestamp),
        "logsBloom": "0x" + f"{block.bloom:0512x}",
        "gasLimit": hex(60_000_000),
        "baseFeePerGas": hex(block.base_fee),
    }


def log_rows(block: Block, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """The logs of a block that pass a filter, as a node spells them."""
    addresses = asked.get("address")
    if isinstance(addresses, str):
        addresses = [addresses]
    wanted = None if addresses is None else {text.lower() for text in addresses}
    topics = asked.get("topics") or []
    rows = []
    for index, place, log in block.logs():
        if wanted is not None and hexed(log.address) not in wanted:
            continue
        if not _passes(log.topics, topics):
            continue
        rows.append(
            {
                "address": hexed(log.address),
                "topics": [hexed(topic) for topic in log.topics],
                "data": hexed(log.data),
                "blockNumber": hex(block.number),
                "blockHash": hexed(block.hash),
                "transactionHash": hexed(block.txs[place].hash),
                "transactionIndex": hex(place),
                "logIndex": hex(index),
                "removed": False,
            }
        )
    return rows


def _passes(topics: tuple[bytes, ...], asked: list[Any]) -> bool:
    for place, want in enumerate(asked):
        if want is None:
            continue
        if place >= len(topics):
            return False
        choices = [want] if isinstance(want, str) else want
        if hexed(topics[place]) not in choices:
            return False
    return True
