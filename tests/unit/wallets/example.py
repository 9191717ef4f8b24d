"""A transaction to sign."""

from __future__ import annotations

from typing import Any

TX: dict[str, Any] = {
    "type": 2,
    "chainId": 31337,
    "nonce": 7,
    "gas": 90_000,
    "maxFeePerGas": 10**9,
    "maxPriorityFeePerGas": 1,
    "to": b"\xab" * 20,
    "value": 5,
    "data": b"\x01\x02",
}
