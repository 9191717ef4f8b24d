"""JSON-RPC over the synthetic chain: each result as pieces of text, nothing encoded anew."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from benchmarks.replay.chain import CHAIN_ID, Chain, HitTransaction

Piece = bytes | memoryview
Pieces = list[Piece]

_NULL: Final[Pieces] = [b"null"]
_CANNED: Final = {
    "eth_chainId": f'"{CHAIN_ID:#x}"',
    "net_version": f'"{CHAIN_ID}"',
    "eth_gasPrice": '"0x3b9aca00"',
    "eth_getCode": '"0x60006000"',
    "eth_getBalance": '"0xde0b6b3a7640000"',
    "eth_getTransactionCount": '"0x0"',
    # decimals() of every token is 6.
    "eth_call": f'"0x{6:064x}"',
}


class RefusedError(Exception):
    """What this server does not know how to answer."""


def answer(chain: Chain, head: int, method: str, params: list[Any]) -> Pieces:
    """The ``result`` of one call, as text.

    :param head: newest block that the chain admits to.
    :raises RefusedError: an unknown method or filter.
    """
    if method in _CANNED:
        return [_CANNED[method].encode()]
    if method == "eth_blockNumber":
        return [f'"{head:#x}"'.encode()]
    if method == "eth_getBlockByNumber":
        number = _number(params[0], head)
        return [chain.headers[number]] if number <= head else _NULL
    if method == "eth_getBlockByHash":
        found = chain.numbers.get(params[0])
        return _NULL if found is None or found > head else [chain.headers[found]]
    if method == "eth_getLogs":
        return _logs(chain, head, params[0])
    if method == "eth_getTransactionReceipt":
        place = chain.hits.get(params[0])
        return _NULL if place is None or place.block > head else _receipt(chain, params[0], place)
    if method == "eth_getBlockReceipts":
        return _block_receipts(chain, head, params[0])
    raise RefusedError(f"the method {method} does not exist/is not available")


def _number(which: str, head: int) -> int:
    if which.startswith("0x"):
        return int(which, 16)
    return {"latest": head, "pending": head, "earliest": 0}.get(which, max(0, head - 64))


def _logs(chain: Chain, head: int, wanted: dict[str, Any]) -> Pieces:
    if wanted.get("address"):
        raise RefusedError("a filter by contract is not served")
    if "blockHash" in wanted:
        number = chain.numbers.get(wanted["blockHash"])
        if number is None or number > head:
            raise RefusedError("unknown block")
        first = last = number
    else:
        first = _number(wanted.get("fromBlock", "latest"), head)
        last = min(_number(wanted.get("toBlock", "latest"), head), head)
    topics = wanted.get("topics") or []
    if len(topics) > 2 and topics[2] is not None:
        return _to_recipients(chain, first, last, topics[2])
    return [b"[", chain.logs_between(first, last), b"]"] if first <= last else [b"[]"]


def _to_recipients(chain: Chain, first: int, last: int, topics: str | list[str]) -> Pieces:
    """Only hits are indexed: nobody asks for strangers."""
    values = [topics] if isinstance(topics, str) else topics
    places = [
        (number, start, end)
        for value in values
        for number, start, end in chain.to_watched.get(value, [])
        if first <= number <= last
    ]
    logs = [bytes(chain.logs[start:end]) for _, start, end in sorted(places)]
    return [b"[", b",".join(logs), b"]"]


def _receipt(chain: Chain, tx_hash: str, place: HitTransaction) -> Pieces:
    own_hash = msgspec.json.decode(chain.headers[place.block])["hash"]
    return [
        f'{{"transactionHash":"{tx_hash}","blockHash":"{own_hash}",'
        f'"blockNumber":"{place.block:#x}","transactionIndex":"{place.tx_index:#x}",'
        f'"status":"0x1","gasUsed":"0xc350","effectiveGasPrice":"0x3b9aca00",'
        f'"cumulativeGasUsed":"0xc350","type":"0x2","contractAddress":null,'
        f'"from":"0x{"11" * 20}","to":"0x{"22" * 20}","logsBloom":"0x{"00" * 256}",'
        f'"logs":['.encode(),
        bytes(chain.logs[place.start : place.end]),
        b"]}",
    ]


def _block_receipts(chain: Chain, head: int, which: str) -> Pieces:
    number = chain.numbers.get(which, -1) if len(which) == 66 else _number(which, head)
    if not 0 <= number <= head:
        return _NULL
    logs = msgspec.json.decode(b"[" + bytes(chain.logs_between(number, number)) + b"]")
    by_tx: dict[str, list[Any]] = {}
    for log in logs:
        by_tx.setdefault(log["transactionHash"], []).append(log)
    receipts = []
    for tx_hash, own in by_tx.items():
        empty = HitTransaction(number, int(own[0]["transactionIndex"], 16), 0, 0)
        receipt = msgspec.json.decode(b"".join(_receipt(chain, tx_hash, empty)))
        receipts.append(receipt | {"logs": own})
    return [msgspec.json.encode(receipts)]
