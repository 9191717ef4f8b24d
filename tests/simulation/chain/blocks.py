"""Blocks, the tree they form, mempool, fee market, reorgs. Blocks come when somebody looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from eth_utils.crypto import keccak
from sha3 import keccak_256

from chain.bloom import mask
from tests.simulation.chain import proving
from tests.simulation.chain.evm import Contract, RawLog, Slots
from tests.simulation.chain.transactions import Result, Tx, apply

BLOCK_GAS = 60_000_000
GWEI = 10**9
KEPT_STATES = 2_000
"""Blocks whose state a node can still be asked for."""
cached_mask = lru_cache(maxsize=100_000)(mask)


@dataclass(slots=True, eq=False)
class Block:
    """One block. ``slots`` is shared with the parent where nothing happened; pruned later."""

    number: int
    hash: bytes
    parent: Block | None
    timestamp: int
    base_fee: int
    slots: Slots | None
    txs: list[Tx] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    bloom: int = 0
    roots: tuple[bytes, bytes, bytes] = (b"", b"", b"")
    """Of state, transactions and receipts, where the chain's headers commit to them."""

    def logs(self) -> list[tuple[int, int, RawLog]]:
        """(index in the block, index of the transaction, log)."""
        found: list[tuple[int, int, RawLog]] = []
        for place, result in enumerate(self.results):
            for log in result.logs:
                found.append((len(found), place, log))
        return found


class SimChain:
    """One chain.

    :param start: virtual second of the first block after genesis.
    :param market: base fee in wei by block number.
    :param takes: whether the miner of this block sees a transaction (number, hash).
    """

    def __init__(
        self,
        name: str,
        chain_id: int,
        *,
        epoch: int,
        block_time: int,
        code: Mapping[bytes, Contract],
        genesis: Slots,
        market: Callable[[int], int],
        takes: Callable[[int, bytes], bool],
        delegations: bool = True,
        proofs: bool = False,
    ) -> None:
        """What it knows, and what its headers say.

        :param delegations: whether it knows EIP-7702.
        :param proofs: whether a block's hash commits to its transactions and receipts.
        """
        self.name, self.chain_id, self.block_time = name, chain_id, block_time
        self.code = code
        self.delegations, self.proofs = delegations, proofs
        self._market, self._takes, self._epoch = market, takes, epoch
        first = Block(0, bytes(keccak(text=name)), None, epoch, GWEI, dict(genesis))
        self.canonical: list[Block] = [first]
        self.by_hash: dict[bytes, Block] = {first.hash: first}
        self.places: dict[bytes, list[Block]] = {}
        """Every block, canonical or not, that holds a transaction."""
        self.with_txs: list[Block] = []
        """Blocks, canonical or not, that are not empty, in the order of their making."""
        self.mempool: dict[bytes, Tx] = {}
        self.stopped = False
        self.kept: set[Block] = set()
        """Blocks at which somebody stands still, who keeps their state."""
        self.reorgs: list[int] = []
        self.on_block: Callable[[Block], None] = lambda _: None
        self._salt = 0

    @property
    def head(self) -> Block:
        return self.canonical[-1]

    def is_canonical(self, block: Block) -> bool:
        return block.number < len(self.canonical) and self.canonical[block.number] is block

    def place_of(self, tx_hash: bytes, tip: Block | None = None) -> Block | None:
        """The block that holds a transaction, on the branch of ``tip``."""
        for block in self.places.get(tx_hash, ()):
            if self.at(block.number, tip) is block:
                return block
        return None

    def succeeded(self, tx_hash: bytes) -> bool:
        """Whether a transaction is on the canonical branch, with status 1."""
        block = self.place_of(tx_hash)
        if block is None:
            return False
        place = next(n for n, tx in enumerate(block.txs) if tx.hash == tx_hash)
        return block.results[place].status == 1

    def at(self, number: int, tip: Block | None = None) -> Block | None:
        """The block of this height on the branch that ends in ``tip`` (the head by default)."""
        if tip is None or self.is_canonical(tip):
            top = len(self.canonical) - 1 if tip is None else tip.number
            return self.canonical[number] if 0 <= number <= top else None
        block: Block | None = tip
        while block is not None and block.number > number:
            block = block.parent
            if block is not None and self.is_canonical(block):
                return self.canonical[number] if 0 <= number <= block.number else None
        return block if block is not None and block.number == number else None

    # --- time --------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Mine what is due by ``now`` (virtual seconds)."""
        while not self.stopped and self.head.timestamp - self._epoch + self.block_time <= now:
            self.mine()

    def mine(self, txs: Iterable[Tx] | None = None) -> Block:
        """One block on the head; ``txs`` instead of what the mempool offers."""
        parent = self.head
        number, timestamp = parent.number + 1, parent.timestamp + self.block_time
        base_fee = self._market(number)
        assert parent.slots is not None
        block = Block(number, b"", parent, timestamp, base_fee, parent.slots)
        chosen = self._chosen(block) if txs is None else list(txs)
        if chosen:
            block.slots = dict(parent.slots)
            self.with_txs.append(block)
        for tx in chosen:
            self._include(block, tx)
        self._salt += 1
        text = number.to_bytes(8) + parent.hash + self._salt.to_bytes(8) + self.name.encode()
        if self.proofs:
            proving.seal(block, text)
        else:
            block.hash = keccak_256(text).digest()
        self.by_hash[block.hash] = block
        self.canonical.append(block)
        old = number - KEPT_STATES
        if old > 0 and self.canonical[old] not in self.kept:
            self.canonical[old].slots = None
        self.on_block(block)
        return block

    def _include(self, block: Block, tx: Tx) -> None:
        assert block.slots is not None
        result = apply(
            tx, block.slots, self.code,
            chain_id=self.chain_id, timestamp=block.timestamp, base_fee=block.base_fee,
        )  # fmt: skip
        block.txs.append(tx)
        block.results.append(result)
        self.places.setdefault(tx.hash, []).append(block)
        self.mempool.pop(tx.hash, None)
        for log in result.logs:
            for item in (log.address, *log.topics):
                block.bloom |= cached_mask(item)

    def _chosen(self, block: Block) -> list[Tx]:
        if not self.mempool:
            return []
        assert block.parent is not None
        assert block.parent.slots is not None
        moment = block.timestamp - self._epoch
        nonces: dict[bytes, int] = {}
        spent: Counter[bytes] = Counter()
        chosen, gas = [], 0
        for tx in sorted(self.mempool.values(), key=lambda t: t.nonce or 0):
            if tx.not_before > moment or tx.max_fee < block.base_fee:
                continue
            if gas + tx.gas > BLOCK_GAS or not self._takes(block.number, tx.hash):
                continue
            if tx.nonce is not None:
                due = nonces.get(tx.sender, block.parent.slots.get(("nonce", tx.sender), 0))
                if tx.nonce != due:
                    if tx.nonce < due:
                        self.mempool.pop(tx.hash, None)
                    continue
                wei = block.parent.slots.get(("wei", tx.sender), 0) - spent[tx.sender]
                if wei < _dearest(tx):
                    continue
                nonces[tx.sender] = due + 1
                spent[tx.sender] += _dearest(tx)
            chosen.append(tx)
            gas += tx.gas
        return chosen

    # --- mempool -----------------------------------------------------------------------

    def offer(self, tx: Tx) -> str | None:
        """Into the mempool, or a node's words of refusal."""
        if tx.hash in self.mempool or self.place_of(tx.hash) is not None:
            return "already known"
        slots = self.head.slots
        assert slots is not None
        if tx.nonce is not None:
            if tx.nonce < slots.get(("nonce", tx.sender), 0):
                return "nonce too low"
            waiting = sum(
                _dearest(other)
                for other in self.mempool.values()
                if other.sender == tx.sender and other.nonce != tx.nonce
            )
            if slots.get(("wei", tx.sender), 0) < waiting + _dearest(tx):
                return "insufficient funds for gas * price + value"
            for other in list(self.mempool.values()):
                if (other.sender, other.nonce) != (tx.sender, tx.nonce):
                    continue
                enough = all(
                    new * 100 >= old * 110
                    for new, old in ((tx.max_fee, other.max_fee), (tx.max_tip, other.max_tip))
                )
                if not enough:
                    return "replacement transaction underpriced"
                del self.mempool[other.hash]
        self.mempool[tx.hash] = tx
        return None

    def nonce_of(self, account: bytes, block: Block) -> int:
        return 0 if block.slots is None else block.slots.get(("nonce", account), 0)

    # --- reorganisations ---------------------------------------------------------------

    def reorg(
        self,
        depth: int,
        keep: Callable[[Tx], str],
        order: Callable[[list[Tx]], list[Tx]] = list,
    ) -> list[Block]:
        """Replace the last ``depth`` blocks by as many and one more; returns what was replaced.

        :param keep: per transaction taken out: ``same`` (in the first new block), ``pool``
            (back to the mempool) or ``drop``.
        :param order: of those in the first new block.
        """
        depth = min(depth, len(self.canonical) - 2)
        lost = self.canonical[-depth:]
        del self.canonical[-depth:]
        self.reorgs.append(depth)
        again: list[Tx] = []
        for block in lost:
            for tx in block.txs:
                fate = keep(tx)
                if fate == "same":
                    again.append(tx)
                elif fate == "pool":
                    self.mempool[tx.hash] = tx
        again = order(again)
        taken = set()
        for place in range(depth + 1):
            fitting = self._fitting(again) if place == 0 else None
            taken |= {tx.hash for tx in fitting or ()}
            self.mine(fitting)
        for tx in again:
            if tx.hash not in taken:
                self.mempool[tx.hash] = tx
        return lost

    def _fitting(self, txs: list[Tx]) -> list[Tx]:
        """Those whose nonces follow each other on the new branch."""
        slots = self.head.slots
        assert slots is not None
        nonces: dict[bytes, int] = {}
        chosen = []
        for tx in txs:
            if tx.nonce is not None:
                due = nonces.get(tx.sender, slots.get(("nonce", tx.sender), 0))
                if tx.nonce != due:
                    continue
                nonces[tx.sender] = due + 1
            chosen.append(tx)
        return chosen

    def switch_to(self, tip: Block, length: int) -> list[Block]:
        """Back to an abandoned branch, made longer by ``length`` blocks (f01)."""
        branch: list[Block] = []
        block: Block | None = tip
        while block is not None and not self.is_canonical(block):
            branch.append(block)
            block = block.parent
        assert block is not None
        lost = self.canonical[block.number + 1 :]
        del self.canonical[block.number + 1 :]
        self.reorgs.append(len(lost))
        for old in reversed(branch):
            self.canonical.append(old)
            for tx in old.txs:
                self.mempool.pop(tx.hash, None)
        for lost_block in lost:
            for tx in lost_block.txs:
                if self.place_of(tx.hash) is None:
                    self.mempool[tx.hash] = tx
        while length > 0 or (lost and self.head.number <= lost[-1].number):
            self.mine()
            length -= 1
        return lost


def _dearest(tx: Tx) -> int:
    """What its sender must have for a node to take it, wei."""
    return tx.gas * tx.max_fee + tx.value
