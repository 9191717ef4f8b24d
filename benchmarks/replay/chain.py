"""A synthetic chain as JSON text, the same for the same spec. Pure.

Blocks are linked by parent hash, carry true blooms of their logs and distinct
hashes; hashes are not those of the encoded headers (nothing that is measured
recomputes them). Every log is a USDC-like Transfer as geth spells it, two per
transaction. Hits pay deposit addresses of :data:`XPUB`.
"""

from __future__ import annotations

import random
from array import array
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from sha3 import keccak_256

from chain.model import TRANSFER_TOPIC
from config.units import Address
from wallets.derivation import DepositDeriver

XPUB: Final = (
    "xpub6DyUKdwoLWmUJ4Tn9Bbsdtx7B5Ws18mEN19e5HT52ikE53FiUheSQXrZ"
    "UNPovqfyKmw4579A1Mm3GXXKM39N64uooBfJ4tNAzFsEbodRTx4"
)
"""m/44'/60'/0'/0 of a public test mnemonic."""
CHAIN_ID: Final = 31337
FIRST_TIME: Final = 1_760_000_000
BLOCK_SECONDS: Final = 2
HIT_UNITS: Final = 10_000_000
"""10 USDC: pays a prepared invoice exactly."""
USDC: Final = Address(bytes.fromhex("833589fcd6edb6e08f4c7c32d4f71b54bda02913"))
_OTHERS: Final = 12
"""Other token contracts that emit transfers."""
_SENDERS: Final = 4_096
_TOPIC: Final = "0x" + TRANSFER_TOPIC.hex()
_PAD: Final = "0x" + "0" * 24
_LOGS_PER_TX: Final = 2


@dataclass(frozen=True, slots=True)
class ChainSpec:
    """What to make.

    :param blocks: above the genesis block.
    :param logs_per_hit: one log in so many is to a watched address; 1: all.
    :param watched: how many deposit addresses there are; hits are spread over them.
    """

    blocks: int
    logs_per_block: int = 200
    logs_per_hit: int = 10_000
    watched: int = 1_000
    seed: int = 1

    @property
    def hits(self) -> int:
        return self.blocks * self.logs_per_block // self.logs_per_hit


@dataclass(frozen=True, slots=True)
class HitTransaction:
    """Where a transaction with a hit lies; its logs are ``logs[start:end]``."""

    block: int
    tx_index: int
    start: int
    end: int


@dataclass(slots=True)
class Chain:
    """Everything as bytes that only need to be put together."""

    logs: bytearray = field(default_factory=bytearray)
    """All logs of all blocks, each followed by a comma."""
    log_starts: array[int] = field(default_factory=lambda: array("q"))
    """Block → offset of its first log; one more for the end."""
    headers: list[bytes] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    """Block hash → number."""
    hits: dict[str, HitTransaction] = field(default_factory=dict)
    """Transaction hash → place."""
    to_watched: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)
    """Topic 2 of a hit → (block, start, end) of its logs."""

    @property
    def top(self) -> int:
        return len(self.headers) - 1

    def logs_between(self, first: int, last: int) -> memoryview:
        """The logs of these blocks as the inside of a JSON array."""
        start, end = self.log_starts[first], self.log_starts[last + 1]
        return memoryview(self.logs)[start : max(start, end - 1)]


def block_hash(seed: int, number: int) -> str:
    """Stands in for the hash of the header."""
    return "0x" + blake2b(b"%d:%d" % (seed, number), digest_size=32).hexdigest()


def hit_index(spec: ChainSpec, hit: int) -> int:
    """Derivation index of the address that hit number ``hit`` pays."""
    stride = max(1, spec.watched // max(1, spec.hits))
    return hit * stride % spec.watched


def build(spec: ChainSpec) -> Chain:
    """Takes about 5 µs a log."""
    maker = _Maker(spec)
    for number in range(spec.blocks + 1):
        maker.add(number)
    maker.chain.log_starts.append(len(maker.chain.logs))
    return maker.chain


class _Maker:
    def __init__(self, spec: ChainSpec) -> None:
        self.chain = Chain()
        self._spec = spec
        self._random = random.Random(spec.seed)
        self._deriver = DepositDeriver(XPUB)
        senders = [self._random.randbytes(20) for _ in range(_SENDERS)]
        self._senders = [(sender.hex(), _mask(sender.rjust(32, b"\0"))) for sender in senders]
        others = [self._random.randbytes(20) for _ in range(_OTHERS)]
        self._tokens = [("0x" + token.hex(), _mask(token)) for token in (USDC, *others)]
        self._topic_mask = _mask(TRANSFER_TOPIC)
        self._made = 0

    def add(self, number: int) -> None:
        """One block with its logs."""
        chain, count = self.chain, self._spec.logs_per_block if number else 0
        own_hash = block_hash(self._spec.seed, number)
        chain.numbers[own_hash] = number
        chain.log_starts.append(len(chain.logs))
        txs = [
            "0x" + self._random.randbytes(32).hex()
            for _ in range((count + _LOGS_PER_TX - 1) // _LOGS_PER_TX)
        ]
        bloom = self._topic_mask if count else 0
        tx_start = len(chain.logs)
        place = (
            f'"blockNumber":"{number:#x}","blockHash":"{own_hash}",'
            f'"blockTimestamp":"{FIRST_TIME + number * BLOCK_SECONDS:#x}"'
        )
        for index in range(count):
            if index % _LOGS_PER_TX == 0:
                tx_start = len(chain.logs)
            start = len(chain.logs)
            tx = txs[index // _LOGS_PER_TX]
            hit, recipient, bits = self._log(index, tx, place)
            bloom |= bits
            end = len(chain.logs) - 1
            if hit:
                chain.to_watched.setdefault(recipient, []).append((number, start, end))
            if hit or tx in chain.hits:
                chain.hits[tx] = HitTransaction(number, index // _LOGS_PER_TX, tx_start, end)
        chain.headers.append(_header(self._spec.seed, number, own_hash, bloom, txs))

    def _log(self, index: int, tx: str, place: str) -> tuple[bool, str, int]:
        """Append a log; whether it is a hit, its topic 2 and its bloom bits."""
        every = self._spec.logs_per_hit
        number = self._made
        self._made += 1
        hit = number % every == every // 2
        if hit:
            recipient: bytes = self._deriver.address(hit_index(self._spec, number // every))
            token, token_bits = self._tokens[0]
            amount = HIT_UNITS
        else:
            recipient = self._random.randbytes(20)
            token, token_bits = self._tokens[number % len(self._tokens)]
            amount = self._random.getrandbits(40) + 1
        sender, sender_bits = self._senders[self._random.getrandbits(12)]
        topic = _PAD + recipient.hex()
        self.chain.logs += (
            f'{{"address":"{token}","topics":["{_TOPIC}","{_PAD}{sender}","{topic}"],'
            f'"data":"0x{amount:064x}",{place},"transactionHash":"{tx}",'
            f'"transactionIndex":"{index // _LOGS_PER_TX:#x}","logIndex":"{index:#x}",'
            f'"removed":false}},'
        ).encode()
        return hit, topic, token_bits | sender_bits | _mask(recipient.rjust(32, b"\0"))


def _mask(item: bytes) -> int:
    """Three bits of 2048 (Yellow Paper, §4.4.3)."""
    digest = keccak_256(item).digest()
    return (
        1 << (int.from_bytes(digest[0:2]) & 2047)
        | 1 << (int.from_bytes(digest[2:4]) & 2047)
        | 1 << (int.from_bytes(digest[4:6]) & 2047)
    )


def _header(seed: int, number: int, own_hash: str, bloom: int, txs: list[str]) -> bytes:
    parent = block_hash(seed, number - 1) if number else "0x" + "0" * 64
    root = "0x" + "5c" * 32
    listed = ",".join(f'"{tx}"' for tx in txs)
    return (
        f'{{"number":"{number:#x}","hash":"{own_hash}","parentHash":"{parent}",'
        f'"timestamp":"{FIRST_TIME + number * BLOCK_SECONDS:#x}","logsBloom":"0x{bloom:0512x}",'
        f'"gasLimit":"0x1c9c380","gasUsed":"0xe4e1c0","baseFeePerGas":"0x3b9aca00",'
        f'"miner":"0x{"00" * 20}","difficulty":"0x0","extraData":"0x","nonce":"0x0000000000000000",'
        f'"mixHash":"{root}","stateRoot":"{root}","receiptsRoot":"{root}",'
        f'"transactionsRoot":"{root}","sha3Uncles":"{root}","size":"0x5208","uncles":[],'
        f'"transactions":[{listed}]}}'
    ).encode()
