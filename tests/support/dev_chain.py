"""A development node as the contracts' tests need it: transactions in, receipts out.

Implements what ``chain.deployment`` asks of a chain, over bare JSON-RPC, so that
the contracts are tested without the client that production code uses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from chain.anvil import DEV_MNEMONIC, DevRpc, DevRpcError
from chain.artifacts import load_artifact
from chain.model import FeeQuote, Log, Receipt, TxRequest
from config.units import Address, BlockNumber, Hash32, checksum, from_hex, to_hex

Account.enable_unaudited_hdwallet_features()


@cache
def dev_account(index: int) -> LocalAccount:
    """One of the accounts that Anvil funds; derived once, which takes 15 ms."""
    return Account.from_mnemonic(DEV_MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")


def address_of(account: LocalAccount) -> Address:
    return Address(from_hex(account.address))


class RevertedError(AssertionError):
    """A call or a transaction reverted; ``data`` is what it answered."""

    def __init__(self, data: bytes, message: str) -> None:
        self.data = data
        super().__init__(f"{message}: 0x{data.hex()}")


@dataclass(frozen=True)
class LocalSigner:
    """A key in memory behind the protocol that deployments use."""

    account: LocalAccount

    @property
    def address(self) -> Address:
        return address_of(self.account)

    async def sign_transaction(self, tx: dict[str, Any]) -> bytes:
        return bytes(self.account.sign_transaction(tx).raw_transaction)


class DevChain:
    """Reads and writes one development node."""

    def __init__(self, rpc: DevRpc) -> None:
        self.rpc = rpc

    async def code(self, address: Address) -> bytes:
        return from_hex(await self.rpc.call("eth_getCode", checksum(address), "latest"))

    async def balance(self, address: Address) -> int:
        return int(await self.rpc.call("eth_getBalance", checksum(address), "latest"), 16)

    async def nonce(self, address: Address) -> int:
        return int(await self.rpc.call("eth_getTransactionCount", checksum(address), "latest"), 16)

    async def estimate_gas(self, tx: TxRequest) -> int:
        call = {"data": to_hex(tx.data), "value": hex(tx.value)}
        if tx.sender is not None:
            call["from"] = checksum(tx.sender)
        if tx.to is not None:
            call["to"] = checksum(tx.to)
        return int(await self.rpc.call("eth_estimateGas", call), 16)

    async def send_raw(self, raw: bytes) -> str:
        try:
            return str(await self.rpc.call("eth_sendRawTransaction", to_hex(raw)))
        except DevRpcError as error:
            return str(error)

    async def fees(self) -> FeeQuote:
        block = await self.rpc.call("eth_getBlockByNumber", "latest", False)
        return FeeQuote(base_fee=int(block["baseFeePerGas"], 16), tip=10**9)

    async def receipt(self, tx_hash: Hash32) -> Receipt | None:
        row = await self.rpc.call("eth_getTransactionReceipt", to_hex(tx_hash))
        return None if row is None else _receipt(row)

    async def call(self, to: Address, data: bytes, *, sender: Address | None = None) -> bytes:
        """``eth_call`` at the head. Raises :class:`RevertedError`."""
        request = {"to": checksum(to), "data": to_hex(data), "gas": hex(30_000_000)}
        if sender is not None:
            request["from"] = checksum(sender)
        try:
            return from_hex(await self.rpc.call("eth_call", request, "latest"))
        except DevRpcError as error:
            raise RevertedError(from_hex(str(error.data or "0x")), str(error)) from error

    async def transact(
        self,
        sender: LocalAccount,
        to: Address | None,
        data: bytes = b"",
        *,
        value: int = 0,
        gas: int = 16_000_000,
        authorizations: Sequence[Any] = (),
    ) -> Receipt:
        """Sign, send, wait; the receipt whatever its status."""
        tx: dict[str, Any] = {
            "chainId": int(await self.rpc.call("eth_chainId"), 16),
            "nonce": await self.nonce(address_of(sender)),
            "data": to_hex(data),
            "value": value,
            "gas": gas,
            "maxFeePerGas": 20 * 10**9,
            "maxPriorityFeePerGas": 10**9,
        }
        if to is not None:
            tx["to"] = checksum(to)
        if authorizations:
            tx["authorizationList"] = list(authorizations)
        raw = bytes(sender.sign_transaction(tx).raw_transaction)
        tx_hash = Hash32(from_hex(await self.rpc.call("eth_sendRawTransaction", to_hex(raw))))
        for _ in range(2_000):
            receipt = await self.receipt(tx_hash)
            if receipt is not None:
                return receipt
            await asyncio.sleep(0.002)
        raise AssertionError("not mined")

    async def must(
        self, sender: LocalAccount, to: Address | None, data: bytes = b"", **more: Any
    ) -> Receipt:
        """As :meth:`transact`; a reverted transaction raises :class:`RevertedError` with its data."""
        receipt = await self.transact(sender, to, data, **more)
        if receipt.status != 1:
            raise RevertedError(b"", f"transaction reverted after {receipt.gas_used} gas")
        return receipt

    async def create(self, sender: LocalAccount, contract: str, *arguments: object) -> Address:
        """Deploy a committed artifact, e.g. a test token."""
        receipt = await self.must(sender, None, load_artifact(contract).creation(*arguments))
        assert receipt.contract_address is not None
        return receipt.contract_address


def _receipt(row: dict[str, Any]) -> Receipt:
    created = row.get("contractAddress")
    return Receipt(
        tx_hash=Hash32(from_hex(row["transactionHash"])),
        block_hash=Hash32(from_hex(row["blockHash"])),
        block_number=BlockNumber(int(row["blockNumber"], 16)),
        tx_index=int(row["transactionIndex"], 16),
        status=int(row["status"], 16),
        gas_used=int(row["gasUsed"], 16),
        effective_gas_price=int(row["effectiveGasPrice"], 16),
        l1_fee=0,
        sender=Address(from_hex(row["from"])),
        to=None if row.get("to") is None else Address(from_hex(row["to"])),
        contract_address=None if created is None else Address(from_hex(created)),
        logs=tuple(_log(entry) for entry in row["logs"]),
    )


def _log(row: dict[str, Any]) -> Log:
    return Log(
        address=Address(from_hex(row["address"])),
        topics=tuple(from_hex(word) for word in row["topics"]),
        data=from_hex(row["data"]),
        block_number=BlockNumber(int(row["blockNumber"], 16)),
        block_hash=Hash32(from_hex(row["blockHash"])),
        tx_hash=Hash32(from_hex(row["transactionHash"])),
        tx_index=int(row["transactionIndex"], 16),
        log_index=int(row["logIndex"], 16),
    )
