"""The simulator's Python model of tokens and helper contracts, held against the real bytecode.

The same random transactions go to Anvil, which runs the compiled contracts, and to
the model: status, logs (address, topics, data, order), balances, nonces and
delegations must be the same after every one of them.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from chain.abi import encode_call
from chain.anvil import DevRpc, DevRpcError
from chain.deposit_factory import encode_create, encode_creating_sweep
from chain.helper_contracts import encode_simulate, encode_sweep
from config.units import Address, checksum, from_hex, to_hex
from tests.chain.contracts.world import CHAIN_ID, World, build_world, packed
from tests.simulation.chain.code import (
    Collector,
    DepositFactory,
    Disperser,
    Forwarder,
    Poisoner,
    Token,
    Treasury,
    UsdcLike,
    UsdtLike,
)
from tests.simulation.chain.evm import Contract, Machine, Slots
from tests.simulation.chain.transactions import apply, decode_raw
from tests.support.dev_chain import DevChain, address_of, dev_account
from wallets.create2 import CloneDeriver

TRANSACTIONS = 2_000
PER_BLOCK = 20
CLONES = (0, 1, 2, 3, 5, 2**31 - 1)
"""Indexes of deposit addresses that a factory creates."""
PEOPLE = [dev_account(n) for n in range(10, 16)]
"""Deposit accounts: they sign authorizations and never send."""


Shown = list[tuple[bytes, tuple[bytes, ...], bytes]]


class Pair:
    """Anvil and the model, side by side."""

    def __init__(self, world: World, rpc: DevRpc, code: dict[bytes, Contract]) -> None:
        self.world, self.rpc, self.code = world, rpc, code
        self.slots: Slots = {}
        self.nonces: dict[bytes, int] = {}

    async def sign(
        self, account: Any, to: Address, data: bytes, authorizations: list[Any]
    ) -> bytes:
        sender = address_of(account)
        if sender not in self.nonces:
            self.nonces[sender] = await self.world.chain.nonce(sender)
        tx = {
            "chainId": CHAIN_ID,
            "nonce": self.nonces[sender],
            "to": checksum(to),
            "data": to_hex(data),
            "value": 0,
            "gas": 4_000_000,
            "maxFeePerGas": 20 * 10**9,
            "maxPriorityFeePerGas": 10**9,
        }
        if authorizations:
            tx["authorizationList"] = authorizations
        self.nonces[sender] += 1
        return bytes(account.sign_transaction(tx).raw_transaction)

    async def block(self, raws: list[bytes]) -> None:
        """One block of these on both; everything that shows must be equal."""
        for raw in raws:
            await self.rpc.call("eth_sendRawTransaction", to_hex(raw))
        await self.rpc.call("evm_mine")
        mined = await self.rpc.call("eth_getBlockByNumber", "latest", False)
        assert len(mined["transactions"]) == len(raws)
        known = {to_hex(decode_raw(raw, CHAIN_ID).hash): raw for raw in raws}
        for tx_hash in mined["transactions"]:
            tx = decode_raw(known[tx_hash], CHAIN_ID)
            receipt = await self.rpc.call("eth_getTransactionReceipt", tx_hash)
            result = apply(tx, self.slots, self.code, chain_id=CHAIN_ID, timestamp=0, base_fee=1)
            what = tx.data[:4].hex()
            assert int(receipt["status"], 16) == result.status, what
            logs: Shown = [(log.address, log.topics, log.data) for log in result.logs]
            assert shown(receipt) == logs, what

    async def ask(self, to: Address, data: bytes) -> None:
        """One call to both: answers and revert data must be equal."""
        call = {"to": checksum(to), "data": to_hex(data), "gas": hex(30_000_000)}
        try:
            given, fine = from_hex(await self.rpc.call("eth_call", call, "latest")), True
        except DevRpcError as error:
            given, fine = from_hex(str(error.data or "0x")), False
        vm = Machine(dict(self.slots), self.code, CHAIN_ID, 0, 30_000_000)
        assert (fine, given) == vm.call(bytes(20), to, 0, data), data[:4].hex()


def shown(receipt: dict[str, Any]) -> Shown:
    return [
        (
            from_hex(log["address"]),
            tuple(from_hex(topic) for topic in log["topics"]),
            from_hex(log["data"]),
        )
        for log in receipt["logs"]
    ]


class Story:
    """Random transactions over few accounts, so that what one did is what the next one meets."""

    def __init__(self, pair: Pair, tokens: dict[str, Address], seed: int) -> None:
        self.pair, self.tokens = pair, tokens
        self.random = random.Random(seed)
        self.batch_id = 0
        self.disperser = self.poisoner = Address(bytes(20))

    def amount(self) -> int:
        return self.random.choice([0, 1, 7, 1_000, 10**6, 10**12, 2**95])

    def account(self) -> Address:
        people = [address_of(person) for person in PEOPLE]
        clones = [self.clone(index) for index in CLONES]
        return self.random.choice([*people, *clones, Address(b"\x11" * 20), Address(b"\x22" * 20)])

    def clone(self, index: int) -> Address:
        helpers = self.pair.world.helpers
        return CloneDeriver(helpers.factory, helpers.forwarder).address(index)

    def indexes(self) -> list[int]:
        return [self.random.choice(CLONES) for _ in range(self.random.randint(1, 4))]

    def entries(self) -> list[tuple[Address, int]]:
        return [(self.account(), self.amount() or 1) for _ in range(self.random.randint(1, 6))]

    async def transaction(self) -> bytes:
        """One, signed."""
        world, pick = self.pair.world, self.random.choice
        token = pick(list(self.tokens.values()))
        kind = pick(["mint", "mint", "transfer", "pay", "pay", "sweep", "sweep", "list", "pause",
                     "disperse", "poison", "malformed", "epoch", "nonsense", "create",
                     "create and sweep", "withdraw"])  # fmt: skip
        by, to, data, authorizations = world.stranger, token, b"", []
        match kind:
            case "mint":
                to_whom = pick([self.account(), world.helpers.treasury, self.disperser])
                data = encode_call("mint(address,uint256)", to_whom, self.amount())
            case "transfer":
                data = encode_call("transfer(address,uint256)", self.account(), self.amount())
            case "pay":
                to, data = world.helpers.treasury, self.batch(token)
            case "sweep":
                by, to = pick([world.sweeper] * 5 + [world.stranger]), world.helpers.collector
                data = encode_sweep(token, packed(self.entries()))
                authorizations = self.authorizations()
            case "create":
                to, high = world.helpers.factory, pick([[], [], [], [2**32 - 1]])
                data = encode_create([*self.indexes(), *high])
            case "create and sweep":
                by, to = pick([world.sweeper] * 5 + [world.stranger]), world.helpers.collector
                entries = packed(self.entries())
                data = encode_creating_sweep(token, world.helpers.factory, self.indexes(), entries)
            case "list":
                name = pick(["blacklist", "unBlacklist", "addBlackList", "removeBlackList"])
                data = encode_call(f"{name}(address)", self.account())
            case "pause":
                data = encode_call("setPaused(bool)", self.random.random() < 0.3)
            case "disperse":
                to = self.disperser
                parts = self.entries()
                data = encode_call(
                    "disperse(address,address[],uint256[])",
                    token, [a for a, _ in parts], [n for _, n in parts],
                )  # fmt: skip
            case "poison":
                to = self.poisoner
                data = encode_call(
                    "poison(address,address,address[])", token, self.account(), [self.account()]
                )
            case "malformed":
                to = self.poisoner
                data = encode_call(
                    "malformed(uint256,address,address,uint256)",
                    self.random.randint(0, 6), self.account(), self.account(), self.amount(),
                )  # fmt: skip
            case "epoch":
                by, to = pick([world.owner, world.stranger]), world.helpers.treasury
                epoch = self.pair.slots.get((to, "epoch"), 0)
                data = encode_call("raiseEpoch(uint64)", epoch + pick([1, 1, 2]))
            case "withdraw":
                by, to = pick([world.owner] * 3 + [world.stranger]), world.helpers.treasury
                whom = pick([self.account()] * 5 + [Address(bytes(20))])
                data = encode_call("withdraw(address,address,uint256)", token, whom, self.amount())
            case "nonsense":
                to = pick([token, world.helpers.treasury, world.helpers.collector])
                data = self.random.randbytes(self.random.randint(1, 70))
        return await self.pair.sign(by, to, data, authorizations)

    def batch(self, token: Address) -> bytes:
        world, pick = self.pair.world, self.random.choice
        epoch = self.pair.slots.get((world.helpers.treasury, "epoch"), 0)
        self.batch_id += pick([0, 1, 1, 1])
        return world.signed_batch(
            token, self.entries(), batch_id=self.batch_id, epoch=max(0, epoch - pick([0, 0, 0, 1])),
            signer=pick([world.signer] * 5 + [world.stranger]),
        )  # fmt: skip

    def authorizations(self) -> list[Any]:
        world = self.pair.world
        return [
            person.sign_authorization(
                {
                    "chainId": self.random.choice([CHAIN_ID, CHAIN_ID, 0, 1]),
                    "address": checksum(world.helpers.forwarder),
                    "nonce": self.random.choice([0, 0, 1]),
                }
            )
            for person in self.random.sample(PEOPLE, self.random.randint(0, 2))
        ]


@pytest.mark.timeout(600)
async def test_model__random_transactions__as_on_the_real_machine(
    chain: DevChain, dev_rpc: DevRpc
) -> None:
    world = await build_world(chain, factory=True)
    helpers = world.helpers
    tokens = {
        "USDC": await chain.create(world.payer, "UsdcLike", "USD Coin", "USDC"),
        "USDT": await chain.create(world.payer, "UsdtLike"),
        "DAI": await chain.create(world.payer, "DaiLike"),
    }
    owner, sweeper = address_of(world.owner), address_of(world.sweeper)
    code: dict[bytes, Contract] = {
        tokens["USDC"]: UsdcLike("USD Coin", "USDC", 6),
        tokens["USDT"]: UsdtLike("Tether USD", "USDT", 6),
        tokens["DAI"]: Token("Dai Stablecoin", "DAI", 18),
        helpers.treasury: Treasury(owner, address_of(world.signer)),
        helpers.collector: Collector(owner, sweeper, helpers.treasury),
        helpers.forwarder: Forwarder(helpers.collector),
        helpers.factory: DepositFactory(helpers.factory, helpers.forwarder),
    }
    pair = Pair(world, dev_rpc, code)
    story = Story(pair, tokens, 7)
    story.disperser = await chain.create(world.payer, "Disperser")
    story.poisoner = await chain.create(world.payer, "Poisoner")
    code[story.disperser], code[story.poisoner] = Disperser(), Poisoner()
    await dev_rpc.call("evm_setAutomine", False)
    for _ in range(TRANSACTIONS // PER_BLOCK):
        await pair.block([await story.transaction() for _ in range(PER_BLOCK)])
        token = story.random.choice(list(tokens.values()))
        for contract in (helpers.treasury, helpers.collector):
            await pair.ask(contract, encode_simulate(token, packed(story.entries())))
        await pair.ask(token, encode_call("balanceOf(address)", story.account()))
        await pair.ask(
            helpers.factory, encode_call("addressOf(uint256)", story.random.choice(CLONES))
        )
    await _accounts_agree(pair, tokens, [story.clone(index) for index in CLONES])


async def _accounts_agree(pair: Pair, tokens: dict[str, Address], clones: list[Address]) -> None:
    """At the end: balances, nonces, delegations, and what was created."""
    chain, helpers = pair.world.chain, pair.world.helpers
    people = [*(address_of(person) for person in PEOPLE), *clones]
    for holder in [*people, helpers.treasury]:
        for token in tokens.values():
            held = await pair.world.held(token, holder)
            assert held == pair.slots.get((token, "balance", holder), 0)
    vm = Machine(pair.slots, pair.code, CHAIN_ID, 0)
    assert any(vm.shown_code(person) for person in people), "nobody delegated: nothing was tested"
    assert any(vm.shown_code(clone) for clone in clones), "nothing was created"
    for contract in (helpers.factory, helpers.forwarder):
        assert await chain.code(contract) == vm.shown_code(contract)
    for person in people:
        assert await chain.nonce(person) == pair.slots.get(("nonce", person), 0)
        assert await chain.code(person) == vm.shown_code(person)
