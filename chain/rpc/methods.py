"""How long each class of method may take."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class MethodClass(StrEnum):
    light = "light"
    call = "call"
    logs = "logs"
    send = "send"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds for a whole HTTP exchange, by class; ``batch`` is the least a batch gets."""

    light: float = 8.0
    call: float = 15.0
    logs: float = 30.0
    send: float = 20.0
    batch: float = 25.0

    def of(self, kind: MethodClass, items: int = 1) -> float:
        single = {
            MethodClass.light: self.light,
            MethodClass.call: self.call,
            MethodClass.logs: self.logs,
            MethodClass.send: self.send,
        }[kind]
        return single if items == 1 else max(single, self.batch)


def method_class(method: str) -> MethodClass:
    """The class of any JSON-RPC method name."""
    if method in ("eth_getLogs", "eth_getBlockReceipts"):
        return MethodClass.logs
    if method in ("eth_call", "eth_estimateGas", "eth_createAccessList"):
        return MethodClass.call
    if method == "eth_sendRawTransaction":
        return MethodClass.send
    return MethodClass.light
