"""People whom nobody asked: they give, they are first, they use a key that is not theirs."""

from __future__ import annotations

import asyncio
from functools import partial

from eth_utils.crypto import keccak

from chain.erc20 import encode_transfer
from config.units import Address, Amount
from tests.simulation import town
from tests.simulation.chain import proving
from tests.simulation.chain.batches import meaning_of
from tests.simulation.chain.transactions import Tx
from tests.simulation.life.people import send
from tests.simulation.life.weather import strikes
from tests.simulation.world import World
from wallets.keyring import Lane

MINUTE = 60.0
STRANGER = town.account("stranger")
LANES: tuple[Lane, ...] = ("sweeps", "payouts")
PRICE = 10**13
"""Wei per gas: more than anybody else offers."""


async def strangers(world: World) -> None:
    """Busy until the quiet period begins."""
    world.on_broadcast.append(partial(_be_first, world))
    while not world.faults.calm:
        await asyncio.sleep(MINUTE)
        for name in world.chains:
            if strikes(world, "gift", name):
                _give(world, name)
            if strikes(world, "foreign_nonce", name):
                _use_key(world, name)


def _give(world: World, chain: str) -> None:
    """A few units straight to the treasury, in one transaction or in two."""
    symbol = world.dice.pick(f"gives|{chain}", town.REGISTERED)
    for _ in range(world.dice.between(f"gifts|{chain}", 1, 2)):
        amount = world.dice.between(f"gift|{chain}", 1, 5_000_000)
        data = encode_transfer(Address(world.treasury), Amount(amount))
        send(world, chain, town.token_address(symbol), data, [])
        world.say(f"{chain}: a stranger gives {amount} {symbol} to the treasury")


def _be_first(world: World, chain: str, tx: Tx) -> None:
    """A signed batch is anybody's to submit: his copy of it is mined, ours reverts."""
    if meaning_of(tx).startswith("batch") and world.faults.strikes("front_run", chain):
        send(world, chain, tx.to, tx.data, [], sender=STRANGER)
        world.say(f"{chain}: a stranger submits {meaning_of(tx)}")


def _use_key(world: World, chain: str) -> None:
    """A transaction of his own, with a sponsor's key, on the nonce that its lane is about to use,
    or has in flight: then it takes the place of ours."""
    ring, _ = town.keyring()
    simulated = world.chains[chain]
    simulated.advance(world.now())
    lane = world.dice.pick(f"key|{chain}", LANES)
    sender = ring.sponsor(lane).address
    opened = world.books.execute(
        "SELECT 1 FROM lanes WHERE chain = ? AND lane = ?", (chain, lane)
    ).fetchone()
    if opened is None:
        return  # it begins where the chain is
    nonce = simulated.nonce_of(sender, simulated.head)
    world.counts["foreign transactions"] += 1
    mark = bytes(keccak(text=f"foreign|{world.seed}|{world.counts['foreign transactions']}"))
    tx = Tx(mark, sender, town.WHALE, b"", 1, nonce, 21_000, PRICE, PRICE // 10)
    if simulated.proofs:
        tx = proving.named(tx)
    for other in list(simulated.mempool.values()):
        if (other.sender, other.nonce) == (sender, nonce):
            del simulated.mempool[other.hash]
    simulated.mempool[tx.hash] = tx
    world.foreign[chain, sender, nonce] = tx.hash
    world.stir()
    world.say(f"{chain}: somebody uses nonce {nonce} of {sender.hex()[:8]}")
