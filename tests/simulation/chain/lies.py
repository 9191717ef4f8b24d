"""What one provider tells settlement that is not so, in answers that are well formed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chain.abi import selector
from tests.simulation.chain.blocks import Block
from tests.simulation.chain.node import Node
from tests.simulation.faults import Faults

YES, NO = "0x" + f"{1:064x}", "0x" + f"{0:064x}"
FOREIGN_CODE = "0x6001600055"
MOST_AHEAD = 3


@dataclass(frozen=True)
class Asked:
    """One question; ``about`` names it, and how it came."""

    method: str
    params: list[Any]
    tip: Block
    about: str


def lied_to_settlement(faults: Faults, node: Node, asked: Asked, result: Any) -> Any:
    """The true ``result`` or another one."""
    return SETTLEMENT_READS[asked.method](faults, node, asked, result)


def _receipt(faults: Faults, _node: Node, asked: Asked, result: Any) -> Any:
    """Not there, or not whole."""
    if result is None or faults.strikes("receipt_null", asked.about):
        return None
    if result["logs"] and faults.strikes("receipt_bare", asked.about):
        left_out = faults.dice.between(f"left out|{asked.about}", 0, len(result["logs"]))
        logs = [log for n, log in enumerate(result["logs"]) if n != left_out]
        return {**result, "logs": logs if left_out < len(result["logs"]) else []}
    return result


def _nonce(faults: Faults, node: Node, asked: Asked, result: Any) -> Any:
    """Of some blocks ago, or one that is still to come."""
    if faults.strikes("nonce_ahead", asked.about):
        more = faults.dice.between(f"ahead|{asked.about}", 1, MOST_AHEAD)
        return hex(int(result, 16) + more)
    if asked.params[1] != "latest" or not faults.strikes("nonce_stale", asked.about):
        return result
    behind = faults.dice.between(f"stale|{asked.about}", 1, 30)
    old = node.chain.at(max(0, asked.tip.number - behind), asked.tip)
    assert old is not None
    return node.answer(asked.method, asked.params, old)


def _balance(faults: Faults, _node: Node, asked: Asked, result: Any) -> Any:
    """Nothing, or far more."""
    if not faults.strikes("balance_lied", asked.about):
        return result
    return faults.dice.pick(f"wei|{asked.about}", ["0x0", hex(int(result, 16) * 1000 + 10**18)])


def _code(faults: Faults, _node: Node, asked: Asked, result: Any) -> Any:
    """None, or other code."""
    if not faults.strikes("code_lied", asked.about):
        return result
    return faults.dice.pick(f"code|{asked.about}", ["0x", FOREIGN_CODE])


def _call(faults: Faults, _node: Node, asked: Asked, result: Any) -> Any:
    """Flags the other way round, an epoch next to the true one, twice the balance or none."""
    kind = bytes.fromhex(asked.params[0]["data"][2:10])
    if kind not in CALLS or not faults.strikes("call_lied", asked.about):
        return result
    return f"0x{CALLS[kind](faults, asked.about, int(result, 16)):064x}"


def _other_flag(_faults: Faults, _about: str, value: int) -> int:
    return int(not value)


def _other_epoch(faults: Faults, about: str, value: int) -> int:
    return value + (faults.dice.pick(f"epoch|{about}", [-1, 1]) if value else 1)


def _other_amount(faults: Faults, about: str, value: int) -> int:
    return faults.dice.pick(f"amount|{about}", [0, 2 * value + 1])


CALLS: Mapping[bytes, Callable[[Faults, str, int], int]] = {
    selector("executed(uint64,uint256)"): _other_flag,
    selector("paused()"): _other_flag,
    selector("isBlacklisted(address)"): _other_flag,
    selector("epoch()"): _other_epoch,
    selector("balanceOf(address)"): _other_amount,
}
SETTLEMENT_READS: Mapping[str, Callable[[Faults, Node, Asked, Any], Any]] = {
    "eth_getTransactionReceipt": _receipt,
    "eth_getTransactionCount": _nonce,
    "eth_getBalance": _balance,
    "eth_getCode": _code,
    "eth_call": _call,
}
