"""The customers' side of the chain: their wallets, the tokens, blocks and reorgs.

Speaks to the development node directly, never through the daemon's client: what
is read here for the last table is independent of what the daemon read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from bursar.demo.errors import DemoError
from bursar.demo.polling import until_async
from chain.abi import decode_uint, encode_call
from chain.anvil import DevRpc
from chain.artifacts import load_artifact
from chain.erc20 import encode_balance_of, encode_transfer
from chain.model import TRANSFER_TOPIC
from config.clock import Clock
from config.units import Address, Amount, checksum, from_hex, parse_address, to_hex

Receipt = dict[str, Any]
CREATION_GAS: Final = 4_000_000
CALL_GAS: Final = 500_000


class Street:
    """One development node and its unlocked accounts.

    :param accounts: account 0 sets things up, each customer has one of the others.
    """

    def __init__(self, rpc: DevRpc, clock: Clock, accounts: Sequence[str]) -> None:
        self.rpc = rpc
        self.accounts = accounts
        self._clock = clock

    # --- writing -----------------------------------------------------------------------

    async def send(self, account: int, to: Address | None, data: bytes, *, value: int = 0) -> str:
        """Send from an account; the transaction's hash."""
        transaction = {
            "from": self.accounts[account],
            "data": to_hex(data),
            "value": hex(value),
            "gas": hex(CREATION_GAS if to is None else CALL_GAS),
        }
        if to is not None:
            transaction["to"] = checksum(to)
        return str(await self.rpc.call("eth_sendTransaction", transaction))

    async def mined(self, tx_hash: str) -> Receipt:
        """The receipt, once there is one.

        :raises DemoError: it reverted, or was not mined in time.
        """

        async def probe() -> Receipt | None:
            found: Receipt | None = await self.rpc.call("eth_getTransactionReceipt", tx_hash)
            return found

        receipt = await until_async(self._clock, f"transaction {tx_hash} to be mined", probe)
        if receipt["status"] != "0x1":
            raise DemoError("a customer's transaction reverted", where=tx_hash)
        return receipt

    async def create(self, contract: str, *arguments: object) -> str:
        """Deploy a committed test contract; the transaction's hash."""
        return await self.send(0, None, load_artifact(contract).creation(*arguments))

    async def created(self, tx_hash: str) -> Address:
        """Where that contract is, once it is mined."""
        return parse_address(checksum(from_hex((await self.mined(tx_hash))["contractAddress"])))

    async def mint(self, token: Address, to: Address, units: int) -> str:
        """Test tokens for anyone; the transaction's hash."""
        return await self.send(0, token, encode_call("mint(address,uint256)", to, units))

    async def transfer(self, account: int, token: Address, to: Address, units: int) -> str:
        """A customer pays; the transaction's hash."""
        return await self.send(account, token, encode_transfer(to, Amount(units)))

    def address(self, account: int) -> Address:
        """Address of an account."""
        return Address(from_hex(self.accounts[account]))

    # --- blocks ------------------------------------------------------------------------

    async def block_every(self, seconds: int) -> None:
        """Mine at this pace from now on; 0 stops mining."""
        await self.rpc.call("evm_setIntervalMining", seconds)

    async def mine(self) -> None:
        """One block, now."""
        await self.rpc.call("evm_mine")

    async def head(self) -> int:
        """Height of the newest block."""
        return int(await self.rpc.call("eth_blockNumber"), 16)

    async def block(self, number: int) -> dict[str, Any] | None:
        """A block with its transactions' hashes."""
        found: dict[str, Any] | None = await self.rpc.call(
            "eth_getBlockByNumber", hex(number), False
        )
        return found

    async def raw(self, tx_hash: str) -> str:
        """The signed bytes of a transaction."""
        return str(await self.rpc.call("eth_getRawTransactionByHash", tx_hash))

    async def reorg(self, depth: int, *, without: str) -> None:
        """Replace the newest blocks; all their transactions are mined again except one.

        Anvil drops what it is not told to include: the bystanders are handed back.
        """
        head = await self.head()
        again = []
        for position in range(depth):
            block = await self.block(head - depth + 1 + position)
            assert block is not None, "nothing is mined meanwhile"
            kept = [tx for tx in block["transactions"] if tx != without]
            again += [[await self.raw(tx), position] for tx in kept]
        await self.rpc.call("anvil_reorg", depth, again)

    # --- reading -----------------------------------------------------------------------

    async def balance(self, token: Address, owner: Address) -> int:
        """Base units of a token."""
        call = {"to": checksum(token), "data": to_hex(encode_balance_of(owner))}
        return decode_uint(from_hex(await self.rpc.call("eth_call", call, "latest")))

    async def received(self, token: Address, owners: Iterable[Address]) -> int:
        """Sum of all transfers of a token to these addresses since the first block."""
        query = {
            "fromBlock": "0x0",
            "toBlock": "latest",
            "address": checksum(token),
            "topics": [
                to_hex(TRANSFER_TOPIC),
                None,
                [to_hex(owner.rjust(32, b"\0")) for owner in owners],
            ],
        }
        logs = await self.rpc.call("eth_getLogs", query)
        return sum(int(log["data"], 16) for log in logs)

    async def senders_transactions(self, token: Address, owners: Iterable[Address]) -> set[str]:
        """Transactions that moved a token out of these addresses."""
        query = {
            "fromBlock": "0x0",
            "toBlock": "latest",
            "address": checksum(token),
            "topics": [
                to_hex(TRANSFER_TOPIC),
                [to_hex(owner.rjust(32, b"\0")) for owner in owners],
            ],
        }
        return {log["transactionHash"] for log in await self.rpc.call("eth_getLogs", query)}

    async def gas_used(self, tx_hashes: Iterable[str]) -> int:
        """Gas of these transactions together."""
        receipts = [
            await self.rpc.call("eth_getTransactionReceipt", tx_hash) for tx_hash in tx_hashes
        ]
        return sum(int(receipt["gasUsed"], 16) for receipt in receipts)

    async def plain_transfer_gas(self, token: Address, holder: Address, to: Address) -> int:
        """What a transfer of its own to a recipient who holds none yet would cost now."""
        call = {
            "from": checksum(holder),
            "to": checksum(token),
            "data": to_hex(encode_transfer(to, Amount(1))),
        }
        return int(await self.rpc.call("eth_estimateGas", call), 16)
