"""Providers: honest nodes with bad days, and one that may lie. The transport of the daemon."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from eth_utils.crypto import keccak

from chain.model import TRANSFER_TOPIC
from chain.rpc.transport import TransportError
from tests.simulation import town
from tests.simulation.chain.blocks import Block
from tests.simulation.chain.lies import SETTLEMENT_READS, Asked, lied_to_settlement
from tests.simulation.chain.node import Node, NodeError, hexed
from tests.simulation.faults import Faults
from tests.simulation.machine.loop import PROCESS

Answer = tuple[int, Mapping[str, str], bytes]
TEN_MINUTES = 600.0
PAUSE = 3.0
LONG_LOOK = 6.0
"""Seconds: requests that follow each other within the first are of one look; from when it is long,
which has to be less than a lease lasts."""


@dataclass
class Provider:
    """One URL."""

    url: str
    node: Node
    liar: bool = False
    """Tells settlement what is not so."""
    forges: bool = False
    """Shows deposits that are not there."""
    stands_at: Block | None = None
    """Where it stopped, for good."""
    old_tip: Block | None = None
    old_until: float = 0.0
    forged: dict[str, dict[str, Any]] = field(default_factory=dict)


class SimTransport:
    """A :class:`chain.rpc.transport.Transport` to simulated providers.

    :param before: called with method and parameters before they are carried out; may kill.
    :param after: called when they were.
    :param stir: wakes whose timers are over: called now and then while a long look goes on.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        faults: Faults,
        now: Callable[[], float],
        *,
        victims: Callable[[str], list[tuple[bytes, bytes]]],
        before: Callable[[str, list[Any], Provider], Any],
        after: Callable[[str, list[Any], Provider], Any],
        stir: Callable[[], None],
    ) -> None:
        self._providers, self._faults, self._now = providers, faults, now
        self._victims, self._before, self._after = victims, before, after
        self._stir, self._busy_since, self._asked_at, self._stirred_at = stir, 0.0, 0.0, 0.0
        self.requests = 0

    def _asked(self) -> None:
        """Timers are coarse in a quiet world; a look that lasts must not lose its lease by that."""
        now = self._now()
        if now - self._asked_at > PAUSE:
            self._busy_since = now
        self._asked_at = now
        if now - self._busy_since > LONG_LOOK and now - self._stirred_at > PAUSE:
            self._stirred_at = now
            self._stir()

    async def post(self, url: str, body: bytes, timeout: float) -> Answer:  # noqa: ASYNC109
        process = PROCESS.get()
        if process is not None and process.dead:
            await process.die()
        self.requests += 1
        self._asked()
        provider = self._providers[url]
        asked = json.loads(body)
        many = asked if isinstance(asked, list) else [asked]
        about = f"{url}|{_digest(many)}"
        await self._travel(about, url, provider, timeout)
        provider.node.chain.advance(self._now())
        early = self._instead(about)
        if early is not None:
            return early
        replies = [await self._reply(item, provider, about, n) for n, item in enumerate(many)]
        text = json.dumps(replies if isinstance(asked, list) else replies[0]).encode()
        if self._faults.strikes("rpc_cut", about):
            text = text[: max(1, len(text) // 2)]
        if process is not None and process.dead:
            await process.die()
        return 200, {}, text

    async def _travel(self, about: str, url: str, provider: Provider, timeout: float) -> None:  # noqa: ASYNC109
        faults, chain = self._faults, provider.node.chain.name
        if faults.holds("rpc_all_down", chain, TEN_MINUTES) or faults.holds(
            "rpc_down", url, TEN_MINUTES
        ):
            raise TransportError("ClientConnectorError")
        if faults.strikes("rpc_refused", about):
            raise TransportError("ServerDisconnectedError")
        if faults.strikes("rpc_timeout", about):
            await asyncio.sleep(timeout)
            raise TimeoutError
        slow = faults.strikes("rpc_slow", about)
        low, high = (0.5, min(4.0, timeout * 0.9)) if slow else (0.005, 0.08)
        await asyncio.sleep(faults.dice.seconds(f"latency|{about}", low, high))

    def _instead(self, about: str) -> Answer | None:
        faults = self._faults
        if faults.strikes("rpc_html", about):
            return 200, {}, b"<html><body>Maintenance</body></html>"
        if faults.strikes("rpc_limited", about):
            return 429, {}, b'{"error":"too many requests"}'
        if faults.strikes("rpc_limited_until", about):
            return 429, {"retry-after": "7"}, b""
        if faults.strikes("rpc_error", about):
            return 502, {}, b"Bad Gateway"
        return None

    async def _reply(
        self, item: dict[str, Any], provider: Provider, about: str, place: int
    ) -> dict[str, Any]:
        method, params = item["method"], item["params"]
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": item["id"]}
        await self._before(method, params, provider)
        try:
            reply["result"] = self._result(method, params, provider, about, place)
        except NodeError as error:
            reply["error"] = {"code": error.code, "message": error.message}
            if error.data is not None:
                reply["error"]["data"] = error.data
        await self._after(method, params, provider)
        return reply

    def _tip(self, provider: Provider, about: str) -> Block:
        chain = provider.node.chain
        if provider.stands_at is not None:
            return provider.stands_at
        if provider.old_tip is not None:
            if self._now() < provider.old_until and not self._faults.calm:
                return provider.old_tip
            provider.old_tip = None
        if self._faults.strikes("rpc_lag", about):
            behind = self._faults.dice.between(f"behind|{about}", 1, 4)
            return chain.canonical[max(0, chain.head.number - behind)]
        return chain.head

    def _result(
        self, method: str, params: list[Any], provider: Provider, about: str, place: int
    ) -> Any:
        faults, tip = self._faults, self._tip(provider, about)
        if method == "eth_sendRawTransaction":
            return self._send(params, provider, tip, about)
        if method == "eth_getTransactionReceipt" and params[0] in provider.forged:
            return self._forged_receipt(provider, params[0], tip)
        result = provider.node.answer(method, params, tip)
        if method == "eth_getBlockReceipts" and result and provider.forged:
            return [self._with_forged(provider, row) for row in result]
        if method == "eth_getLogs":
            return self._lied_logs(params[0], result, provider, tip, about)
        if provider.liar and method in SETTLEMENT_READS:
            asked = Asked(method, params, tip, f"{about}|{place}")
            return lied_to_settlement(faults, provider.node, asked, result)
        # Of a batch only the first item is lied about: one bad item spoils the whole already.
        asks_block = method in ("eth_getBlockByNumber", "eth_getBlockByHash")
        if asks_block and result is not None and place == 0:
            if faults.strikes("rpc_null", about):
                return None
            if faults.strikes("rpc_wrong_block", about) and tip.number > 3:
                return {**result, "number": hex(max(0, int(result["number"], 16) - 1))}
        return result

    def _send(self, params: list[Any], provider: Provider, tip: Block, about: str) -> Any:
        faults = self._faults
        if faults.strikes("send_refused", about):
            raise NodeError(-32000, "internal error")
        result = provider.node.answer("eth_sendRawTransaction", params, tip)
        if faults.strikes("send_lost", about):
            provider.node.chain.mempool.pop(bytes.fromhex(result[2:]), None)
        if faults.strikes("send_unknown", about):
            raise NodeError(-32000, "context deadline exceeded")
        return result

    # --- lies --------------------------------------------------------------------------

    def _lied_logs(
        self,
        asked: dict[str, Any],
        rows: list[dict[str, Any]],
        provider: Provider,
        tip: Block,
        about: str,
    ) -> list[dict[str, Any]]:
        faults = self._faults
        if rows and faults.strikes("rpc_no_logs", about):
            return []
        if len(rows) > 1 and faults.strikes("rpc_some_logs", about):
            left_out = faults.dice.between(f"left out|{about}", 0, len(rows) - 1)
            return [row for n, row in enumerate(rows) if n != left_out]
        if rows and faults.strikes("rpc_foreign_log", about):
            return [{**rows[0], "blockHash": hexed(bytes(keccak(text=about)))}, *rows[1:]]
        if provider.forges and faults.strikes("rpc_forged", about):
            row = self._forge(asked, provider, tip, about, len(rows))
            if row is not None:
                return sorted(
                    [*rows, row],
                    key=lambda r: (int(r["blockNumber"], 16), int(r["logIndex"], 16)),
                )
        return rows

    def _forge(
        self, asked: dict[str, Any], provider: Provider, tip: Block, about: str, place: int
    ) -> dict[str, Any] | None:
        """A well-formed transfer to one of our addresses, in a block that exists."""
        chain, dice = provider.node.chain, self._faults.dice
        victims = self._victims(chain.name)
        if not victims:
            return None
        token, account = dice.pick(f"victim|{about}", victims)
        topics = asked.get("topics") or []
        padded = hexed(account.rjust(32, b"\0"))
        if len(topics) > 2 and topics[2] is not None and padded not in topics[2]:
            return None
        if "blockHash" in asked:
            block = chain.by_hash[bytes.fromhex(asked["blockHash"][2:])]
        else:
            number = min(int(asked["toBlock"], 16), tip.number)
            found = chain.at(number, tip)
            if found is None or number < int(asked["fromBlock"], 16):
                return None
            block = found
        tx_hash = hexed(bytes(keccak(text=f"forged|{about}|{block.number}")))
        index, log_index = len(block.txs) + 7, len(block.logs()) + 7
        if chain.proofs and block.txs and block.txs[-1].nonce is None and not _is_gift(block):
            # At the end of a true receipt, where it fits, but for the root.
            tx_hash = hexed(block.txs[-1].hash)
            index, log_index = len(block.txs) - 1, len(block.logs())
            before = provider.forged.get(tx_hash)
            if before is not None:
                return before if before["topics"][2] == padded else None
        row = {
            "address": hexed(token),
            "topics": [hexed(TRANSFER_TOPIC), hexed(bytes(12) + b"\xfa" * 20), padded],
            "data": hexed((777_000_000).to_bytes(32)),
            "blockNumber": hex(block.number),
            "blockHash": hexed(block.hash),
            "transactionHash": tx_hash,
            "transactionIndex": hex(index),
            "logIndex": hex(log_index),
            "removed": False,
        }
        provider.forged[tx_hash] = row
        return row

    @staticmethod
    def _with_forged(provider: Provider, receipt: dict[str, Any]) -> dict[str, Any]:
        """A true receipt, with what this provider has added to it."""
        row = provider.forged.get(receipt["transactionHash"])
        if row is None or row["blockHash"] != receipt["blockHash"]:
            return receipt
        return {**receipt, "logs": [*receipt["logs"], row]}

    def _forged_receipt(self, provider: Provider, tx_hash: str, tip: Block) -> Any:
        true = provider.node.answer("eth_getTransactionReceipt", [tx_hash], tip)
        if true is not None:
            return self._with_forged(provider, true)
        row = provider.forged[tx_hash]
        if int(row["blockNumber"], 16) > tip.number:
            return None
        return {
            "transactionHash": tx_hash,
            "transactionIndex": row["transactionIndex"],
            "blockHash": row["blockHash"],
            "blockNumber": row["blockNumber"],
            "from": "0x" + "fa" * 20,
            "to": row["address"],
            "contractAddress": None,
            "status": "0x1",
            "gasUsed": "0xc350",
            "effectiveGasPrice": "0x3b9aca00",
            "logs": [row],
        }


def _is_gift(block: Block) -> bool:
    """Whether its last transaction pays the treasury: providers that differ about that for good
    leave it unbooked, as they should, until one of them is taken out."""
    treasury = bytes(town.helpers().treasury).rjust(32, b"\0")
    return any(treasury in log.topics for log in block.results[len(block.txs) - 1].logs)


def _digest(items: list[dict[str, Any]]) -> str:
    """What is asked, without the ids of the asking."""
    text = json.dumps([[item["method"], item["params"]] for item in items])
    return blake2b(text.encode(), digest_size=8).hexdigest()
