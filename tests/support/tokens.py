"""Test tokens on a local chain, and payers who send them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from chain.anvil import DevRpc
from chain.artifacts import load_artifact
from config.units import Address, checksum, to_hex


@dataclass(frozen=True)
class TestToken:
    """A deployed token and what one whole unit is."""

    __test__ = False

    symbol: str
    address: Address
    decimals: int

    def units(self, whole: str) -> int:
        """``"12.5"`` to base units, exactly."""
        before, _, after = whole.partition(".")
        return int(before + after.ljust(self.decimals, "0"))


async def send(
    rpc: DevRpc, sender: str, to: bytes | None, data: bytes, *, wait: bool = True
) -> str:
    """An unlocked account sends a transaction; its hash."""
    tx = {"from": sender, "data": to_hex(data), "gas": hex(6_000_000)}
    if to is not None:
        tx["to"] = to_hex(to)
    tx_hash = str(await rpc.call("eth_sendTransaction", tx))
    if wait:
        receipt = await mined(rpc, tx_hash)
        assert receipt["status"] == "0x1", receipt
    return tx_hash


async def mined(rpc: DevRpc, tx_hash: str, seconds: float = 20) -> dict[str, str]:
    """The receipt, once there is one."""
    for _ in range(int(seconds / 0.05)):
        receipt = await rpc.call("eth_getTransactionReceipt", tx_hash)
        if receipt is not None:
            return dict(receipt)
        await asyncio.sleep(0.05)
    raise AssertionError(f"{tx_hash} was not mined within {seconds} s")


async def deploy(rpc: DevRpc, sender: str, contract: str, *arguments: object) -> Address:
    """Create a contract of the committed artifacts."""
    data = load_artifact(contract).creation(*arguments)
    receipt = await mined(rpc, await send(rpc, sender, None, data))
    return Address(bytes.fromhex(receipt["contractAddress"][2:]))


def call_data(signature: str, *arguments: object) -> bytes:
    """Selector and arguments of ``name(type,…)``."""
    types = signature[signature.index("(") + 1 : -1].split(",")
    return bytes(keccak(text=signature)[:4] + encode(types, arguments))


def transfer_data(to: bytes, amount: int) -> bytes:
    """Call data of an ERC-20 transfer."""
    return call_data("transfer(address,uint256)", checksum(to), amount)


async def balance_of(rpc: DevRpc, token: Address, owner: bytes) -> int:
    """Balance at the head."""
    data = call_data("balanceOf(address)", checksum(owner))
    call = {"to": to_hex(token), "data": to_hex(data)}
    return int(await rpc.call("eth_call", call, "latest"), 16)


async def deploy_tokens(rpc: DevRpc, payers: Sequence[str]) -> dict[str, TestToken]:
    """USDC-like, USDT-like (no return value), DAI-like (18), and a look-alike; payers are rich."""
    owner = payers[0]
    made = {
        "USDC": TestToken("USDC", await deploy(rpc, owner, "UsdcLike", "USD Coin", "USDC"), 6),
        "USDT": TestToken("USDT", await deploy(rpc, owner, "UsdtLike"), 6),
        "DAI": TestToken("DAI", await deploy(rpc, owner, "DaiLike"), 18),
        "FAKE": TestToken("FAKE", await deploy(rpc, owner, "UsdcLike", "USD Coin", "USDC"), 6),
    }
    for token in made.values():
        for payer in payers:
            amount = 1_000_000_000 * 10**token.decimals
            await send(rpc, owner, token.address, call_data("mint(address,uint256)", payer, amount))
    return made
