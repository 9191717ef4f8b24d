"""Chain clients that remember what they sent, die at a send, or show less than there is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from chain.client import ChainClient
from chain.model import Log, Receipt
from chain.send import SendOutcome, SendResult
from config.units import Address, Hash32, from_hex
from tests.chain.settlement.crashing import Crash


async def swallowed(raw: bytes) -> SendResult:
    """An answer of :attr:`SpyingClient.answer`: the bytes reach nobody, and nothing says so."""
    return SendResult(SendOutcome.unknown, "504 Gateway Timeout")


class SpyingClient:
    """A client that remembers what was sent, and may die before or after a send, or lie."""

    def __init__(self, client: ChainClient) -> None:
        self._client = client
        self.sent: dict[tuple[Address, int], set[bytes]] = {}
        self.sends = 0
        self.die_before = 0
        self.die_after = 0
        self.most_receipts = 0
        self.answer: Callable[[bytes], Awaitable[SendResult]] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def heeding(self, heed: Callable[[Log], object]) -> SpyingClient:
        self._client = self._client.heeding(heed)
        return self

    async def receipts(self, tx_hashes: Sequence[Hash32]) -> list[Receipt | None]:
        self.most_receipts = max(self.most_receipts, len(tx_hashes))
        return await self._client.receipts(tx_hashes)

    async def send_raw(self, raw: bytes, *, everywhere: bool = False) -> SendResult:
        self.sends += 1
        if self.sends == self.die_before:
            raise Crash
        sender = Address(from_hex(Account.recover_transaction(raw)))
        nonce = int(TypedTransaction.from_bytes(HexBytes(raw)).as_dict()["nonce"])
        self.sent.setdefault((sender, nonce), set()).add(raw)
        result = await (self.answer or self._client.send_raw)(raw)
        if self.sends == self.die_after:
            raise Crash
        return result


class Blind(SpyingClient):
    """Its own provider shows no receipts of the last resort; another one may."""

    def __init__(self, client: Any, *, second: Any) -> None:
        super().__init__(client)
        self.blind = False
        self._second = second

    async def receipts(self, tx_hashes: Sequence[Hash32]) -> list[Receipt | None]:
        if self.blind:
            return [None] * len(tx_hashes)
        found: list[Receipt | None] = await self._client.receipts(tx_hashes)
        return found

    def second(self) -> Any:
        return self._second


class Forgetful(SpyingClient):
    """The only provider there is shows no logs for a while."""

    empty = False

    async def logs(self, *asked: Any) -> list[Log]:
        return [] if self.empty else await self._client.logs(*asked)


class OtherReceipts:
    """A client whose receipts tell of one unit more than was planned."""

    def __init__(self, client: ChainClient, token: Address, treasury: Address) -> None:
        self._client, self._token, self._from = client, token, treasury.rjust(32, b"\0")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def heeding(self, _heed: object) -> OtherReceipts:
        return self

    async def receipts(self, hashes: Sequence[Hash32]) -> list[Receipt | None]:
        return [r and self._changed(r) for r in await self._client.receipts(list(hashes))]

    def _changed(self, receipt: Receipt) -> Receipt:
        logs = [
            replace(log, data=(int.from_bytes(log.data) + 1).to_bytes(32))
            if log.address == self._token and log.topics[1] == self._from
            else log
            for log in receipt.logs
        ]
        return replace(receipt, logs=tuple(logs))
