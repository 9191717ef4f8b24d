"""One chain, as the rest of Bursar sees it: values in, values out, every reply checked.

Guarantees: a block has the height or hash asked for, logs lie in the range and
match the filter, receipts are of the transaction asked for; a reply that fails
this counts against its provider and another is asked.

Not guaranteed: completeness. An empty list of logs is believed here; blooms,
second providers and later reads are the watcher's (see :mod:`chain.bloom`,
:meth:`ChainClient.second`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, Literal, TypeVar

from chain import calls
from chain.codec import block_param, tx_param
from chain.fees import LEAST_TIP, from_gas_price
from chain.model import (
    TRANSFER_TOPIC,
    BlockHeader,
    BlockRef,
    FeeQuote,
    Log,
    Receipt,
    TxRequest,
)
from chain.proofs.fetch import proven
from chain.proofs.receipts import ProvenBlock
from chain.ranges import LogSpans
from chain.rpc.errors import CallReverted, MethodNotSupported, NodeBehind, RpcError
from chain.rpc.health import ProviderState
from chain.rpc.pool import ANY, Route, RpcPool
from chain.rpc.wire import Call
from chain.send import SendResult
from config.units import Address, ChainName, Hash32, to_hex

R = TypeVar("R")

TOPIC_VALUES: Final = 1000
"""Values per topic position that geth takes; more are asked in several requests."""


class ChainClient:
    """A chain over its :class:`RpcPool`, or over the providers that ``route`` allows."""

    def __init__(
        self,
        pool: RpcPool,
        *,
        route: Route = ANY,
        least_tip: int = LEAST_TIP,
        heed: calls.Heed | None = None,
    ) -> None:
        self.name = ChainName(pool.chain)
        self.chain_id = pool.chain_id
        self._pool = pool
        self._route = route
        self._least_tip = least_tip
        self._heed = heed

    # --- who answers -------------------------------------------------------------------

    @property
    def provider(self) -> str | None:
        """Label of the provider this view is pinned to; ``None`` when it is not."""
        return self._route.only

    @property
    def asked_first(self) -> str | None:
        """Label of the provider that a request meets first; ``None`` if none is left."""
        return self._route.only or self._pool.best(self._route)

    @property
    def log_spans(self) -> LogSpans:
        """How many blocks of logs each provider has shown to take at once."""
        return self._pool.log_spans

    @property
    def providers(self) -> tuple[str, ...]:
        """Labels of all configured providers."""
        return self._pool.providers

    @property
    def provider_count(self) -> int:
        return len(self._pool.providers)

    def provider_states(self) -> dict[str, ProviderState]:
        """State of each provider now."""
        return self._pool.states()

    def pinned(self) -> ChainClient:
        """A view that asks one provider only: the best one now. For one scan pass."""
        best = self._pool.best(self._route)
        return self if best is None else self._view(Route(only=best))

    def excluding(self, provider: str) -> ChainClient:
        """A view that asks anybody but ``provider``."""
        return self._view(Route(excluding=self._route.excluding | {provider}))

    def second(self) -> ChainClient | None:
        """A view pinned to another provider than this one's; ``None`` if there is none alive."""
        mine = self.asked_first
        return self._another({mine} if mine else set())

    def third(self, second: ChainClient) -> ChainClient | None:
        """A view pinned to one that is neither this one's nor ``second``'s; ``None``: nobody."""
        return self._another({found for found in (self.provider, second.provider) if found})

    def _another(self, known: Collection[str]) -> ChainClient | None:
        other = self._pool.best(Route(excluding=frozenset(known)))
        if other is None or self._pool.states()[other] is ProviderState.unreachable:
            return None
        return self._view(Route(only=other))

    def heeding(self, heed: calls.Heed) -> ChainClient:
        """A view to whose logs and receipts one with a log that ``heed`` refuses is a bad reply."""
        return type(self)(self._pool, route=self._route, least_tip=self._least_tip, heed=heed)

    def doubt(self, provider: str) -> None:
        """Tell the pool that what ``provider`` answered was refuted."""
        self._pool.doubt(provider)

    def _view(self, route: Route) -> ChainClient:
        return ChainClient(self._pool, route=route, least_tip=self._least_tip, heed=self._heed)

    async def prove_chain(self) -> None:
        """See whether the providers of this view serve the configured chain *now*.

        Each is asked once a minute by itself; this is for a moment at which much hangs on it.

        :raises WrongChain: one serves another; it is out for a minute.
        :raises RpcError: one does not answer.
        """
        await self._pool.prove_chain(self._route)

    async def remote_chain_id(self) -> int:
        """The chain id a provider reports, even when it is not the configured one.

        :raises RpcError: nobody answered.
        """
        answers = list((await self._pool.chain_ids()).values())
        ids = [answer for answer in answers if isinstance(answer, int)]
        if not ids:
            raise next(answer for answer in answers if isinstance(answer, RpcError))
        return next((found for found in ids if found != self.chain_id), self.chain_id)

    # --- blocks ------------------------------------------------------------------------

    async def block(
        self, which: int | Literal["latest", "safe", "finalized"]
    ) -> BlockHeader | None:
        """A header; ``None`` if the chain has no such block or tag (yet)."""
        try:
            header, provider = await self._pool.request_from(
                calls.block(which), self._route, hedge=which == "latest"
            )
        except NodeBehind:
            # How nodes say that a tag has no block yet, and some that a height has none.
            return None
        if which == "latest" and header is not None:
            self._pool.saw_head(provider, header.number)
        return header

    async def block_by_hash(self, block_hash: Hash32) -> BlockHeader | None:
        """A header, canonical or not; ``None`` if no provider has it."""
        try:
            return await self._head_read(calls.block_by_hash(block_hash))
        except NodeBehind:
            return None

    async def headers(self, first: int, last: int) -> list[BlockHeader]:
        """Headers ``first … last``, by height. Whether they link is the caller's to check.

        :raises NodeBehind: the chain ends before ``last``.
        """
        return await self._all([calls.required_block(n) for n in range(first, last + 1)])

    # --- logs --------------------------------------------------------------------------

    async def transfer_logs(
        self,
        first: int,
        last: int,
        *,
        tokens: Collection[Address] | None,
        recipients: Collection[Address] | None,
        keep: calls.Keep | None = None,
    ) -> list[Log]:
        """ERC-20 Transfer logs of blocks ``first … last`` in chain order.

        :param tokens: contracts, ``None`` for all.
        :param recipients: filter at the node on topic 2, ``None`` for all.
        :param keep: picks the rows worth building, on the JSON text; ``None`` for all.
        :raises TooLarge: ask for a smaller range.
        """
        found: list[Log] = []
        for topics in _transfer_topics(recipients):
            page: list[Log] = await self._request(
                calls.logs_in_range(first, last, tokens, topics, keep)
            )
            found += page
        found.sort(key=lambda log: (log.block_number, log.log_index))
        return found

    async def transfer_logs_of_block(
        self,
        block_hash: Hash32,
        *,
        tokens: Collection[Address] | None,
        recipients: Collection[Address] | None,
        keep: calls.Keep | None = None,
    ) -> list[Log]:
        """ERC-20 Transfer logs of exactly this block (EIP-234).

        :raises NodeBehind: the node does not have the block.
        """
        found: list[Log] = []
        for topics in _transfer_topics(recipients):
            page: list[Log] = await self._head_read(
                calls.logs_of_block(block_hash, tokens, topics, keep)
            )
            found += page
        found.sort(key=lambda log: log.log_index)
        return found

    async def logs(
        self,
        first: int,
        last: int,
        addresses: Collection[Address] | None,
        topics: calls.Topics,
    ) -> list[Log]:
        """Logs of any event in blocks ``first … last``, in chain order."""
        asked = calls.logs_in_range(first, last, addresses, topics)
        return await self._request(calls.heeding_logs(asked, self._heed))

    # --- transactions ------------------------------------------------------------------

    async def receipt(self, tx_hash: Hash32) -> Receipt | None:
        """``None`` while this provider sees the transaction in no block; proves nothing."""
        try:
            return await self._request(calls.receipt(tx_hash, self._heed))
        except NodeBehind:
            return None

    async def receipts(self, tx_hashes: Sequence[Hash32]) -> list[Receipt | None]:
        """One batch; order as asked."""
        return await self._all([calls.receipt(tx_hash, self._heed) for tx_hash in tx_hashes])

    async def transaction_block(self, tx_hash: Hash32) -> tuple[bool, int | None]:
        """(the node knows it, the block that holds it). Unknown here is not unknown everywhere."""
        try:
            return await self._request(calls.transaction_block(tx_hash))
        except NodeBehind:
            return False, None

    async def send_raw(self, raw: bytes, *, everywhere: bool = False) -> SendResult:
        """Broadcast signed bytes; every answer of a node is a verdict, never an exception.

        :param everywhere: through every provider, not until one has taken them.
        """
        return await self._pool.send_raw(raw, self._route, everywhere=everywhere)

    async def proven_receipts(
        self, which: int | Hash32, *, transactions: bool = True
    ) -> ProvenBlock:
        """A block's receipts, recomputed to the header's root and the header to its hash.

        By height, the provider chooses the hash: compare ``header.hash`` with a stored one.

        :param transactions: fetch the bodies too, to prove the transactions' hashes.
        :raises ProofFailed: naming the provider; each other one was asked first.
        :raises NodeBehind: no provider has the block.
        """
        return await proven(self._pool, self._route, which, transactions=transactions)

    # --- accounts ----------------------------------------------------------------------

    async def nonce(self, address: Address, block: BlockRef = "latest") -> int:
        """Transactions that ``address`` has sent, as of ``block``."""
        return await self._request(_nonce(address, block))

    async def nonces(self, addresses: Sequence[Address], block: BlockRef = "latest") -> list[int]:
        """One batch; order as asked."""
        return await self._all([_nonce(address, block) for address in addresses])

    async def balance(self, address: Address, block: BlockRef = "latest") -> int:
        """Native coin in wei."""
        params = (to_hex(address), block_param(block))
        return await self._request(calls.number_of("eth_getBalance", *params))

    async def balances(self, addresses: Sequence[Address], block: BlockRef = "latest") -> list[int]:
        """Native coin in wei; one batch, order as asked."""
        place = block_param(block)
        return await self._all(
            [calls.number_of("eth_getBalance", to_hex(a), place) for a in addresses]
        )

    async def code(self, address: Address, block: BlockRef = "latest") -> bytes:
        """Runtime code; empty for a plain account, ``0xef0100…`` for a delegated one (EIP-7702)."""
        return await self._request(_code(address, block))

    async def codes(self, addresses: Sequence[Address], block: BlockRef = "latest") -> list[bytes]:
        """One batch; order as asked."""
        return await self._all([_code(address, block) for address in addresses])

    async def token_balances(
        self, token: Address, owners: Sequence[Address], block: BlockRef = "latest"
    ) -> list[int]:
        """``balanceOf`` per owner in base units; one batch, order as asked."""
        return await self._all([calls.balance_of(token, owner, block) for owner in owners])

    # --- calls and fees ----------------------------------------------------------------

    async def call(self, tx: TxRequest, block: BlockRef = "latest") -> bytes:
        """Simulate at ``block`` and return the call's data.

        :raises CallReverted: with the revert data.
        """
        return await self._request(calls.call(tx, block))

    async def calls(
        self, txs: Sequence[TxRequest], block: BlockRef = "latest"
    ) -> list[bytes | CallReverted]:
        """Simulate each by itself in one batch; a revert is an item, other failures raise."""
        answers = await self._pool.batch([calls.call(tx, block) for tx in txs], self._route)
        found: list[bytes | CallReverted] = []
        for answer in answers:
            if isinstance(answer, RpcError) and not isinstance(answer, CallReverted):
                raise answer
            found.append(answer)
        return found

    async def estimate_gas(self, tx: TxRequest) -> int:
        """Gas that the node thinks is needed, without margin.

        :raises CallReverted: it would revert.
        """
        return await self._request(calls.number_of("eth_estimateGas", tx_param(tx)))

    async def fees(self) -> FeeQuote:
        """Base fee of the next block and a usual tip, wei per gas."""
        try:
            return await self._request(calls.fee_history(self._least_tip))
        except MethodNotSupported:
            price = await self._request(calls.number_of("eth_gasPrice"))
            return from_gas_price(price, least_tip=self._least_tip)

    async def request(self, call: Call[R]) -> R:
        """Any other call with its own checks (see :class:`~chain.rpc.wire.Call`)."""
        return await self._request(call)

    async def batch(self, questions: Sequence[Call[R]]) -> list[R | RpcError]:
        """Any calls of one shape in one batch; each item has its answer or its error."""
        return await self._pool.batch(questions, self._route) if questions else []

    async def _request(self, call: Call[R]) -> R:
        return await self._pool.request(call, self._route)

    async def _head_read(self, call: Call[R]) -> R:
        """A small read that the head waits for: hedged."""
        value, _ = await self._pool.request_from(call, self._route, hedge=True)
        return value

    async def _all(self, questions: Sequence[Call[R]]) -> list[R]:
        """Every answer of a batch, or the first error."""
        if not questions:
            return []
        found: list[R] = []
        for answer in await self._pool.batch(questions, self._route):
            if isinstance(answer, RpcError):
                raise answer
            found.append(answer)
        return found


def _nonce(address: Address, block: BlockRef) -> Call[int]:
    return calls.number_of("eth_getTransactionCount", to_hex(address), block_param(block))


def _code(address: Address, block: BlockRef) -> Call[bytes]:
    return calls.bytes_of("eth_getCode", to_hex(address), block_param(block))


def _transfer_topics(recipients: Collection[Address] | None) -> list[calls.Topics]:
    if recipients is None:
        return [(TRANSFER_TOPIC,)]
    padded = [recipient.rjust(32, b"\0") for recipient in recipients]
    return [
        (TRANSFER_TOPIC, None, padded[i : i + TOPIC_VALUES])
        for i in range(0, len(padded), TOPIC_VALUES)
    ]
