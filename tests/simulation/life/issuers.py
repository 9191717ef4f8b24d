"""Token issuers: they pause, and list addresses, some for a while and some for ever.

Whom Circle's list names, its token neither pays nor takes from. Tether pays him all the same, and
what he has is frozen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from chain.abi import encode_call
from chain.model import TRANSFER_TOPIC
from tests.simulation import town
from tests.simulation.chain.blocks import Block
from tests.simulation.chain.transactions import Tx
from tests.simulation.life.people import send
from tests.simulation.life.weather import strikes
from tests.simulation.memory import FOREVER, Bill, ListKey, Sentence
from tests.simulation.world import World

MINUTE = 60.0
LISTS = {
    "USDC": ("blacklist(address)", "unBlacklist(address)"),
    "USDT": ("addBlackList(address)", "removeBlackList(address)"),
}
"""How an address is put on the list of a token, and taken off it."""
LISTED = ("customer_blacklisted", "deposit_blacklisted", "treasury_blacklisted")
QUIET_SECONDS = 1500.0
"""Into the quiet period: others are paid beside what is listed, and then it is over."""
MOMENTS = ("before", "before", "promised", "promised", "in flight")
ONE_IN_FOR_EVER = 3


async def issuer(world: World) -> None:
    """Those who pause and list for the day, and take it back when it ends."""
    for merchant in list(world.merchants):
        if world.faults.strikes("blacklisted", merchant.url):
            for chain, address in merchant.destinations.items():
                _set(world, chain, "USDC", "blacklist(address)", address)
                world.say(f"{chain}: destination of shop {merchant.number} is blacklisted")
    world.on_payout.append(partial(_blacklist_now, world))
    paused: set[str] = set()
    world.on_broadcast.append(partial(_pause_now, world, paused))
    while not world.faults.calm:
        await asyncio.sleep(300.0)
        for chain in world.chains:
            wanted = world.faults.holds("token_paused", chain, 1800.0)
            if wanted != (chain in paused):
                _set(world, chain, "USDC", "setPaused(bool)", wanted)
                paused ^= {chain}
    for chain in world.chains:
        _set(world, chain, "USDC", "setPaused(bool)", False)
        for merchant in world.merchants:
            for address in merchant.paid_at(chain):
                _set(world, chain, "USDC", "unBlacklist(address)", address)


def _blacklist_now(world: World, chain: str) -> None:
    """After a batch was checked and sent, and before it runs; taken back in the quiet period."""
    if world.faults.strikes("blacklisted_in_flight", chain):
        merchant = world.dice.pick("blacklist whom", world.merchants)
        _set(world, chain, "USDC", "blacklist(address)", merchant.destinations[chain])
        world.say(f"{chain}: destination of shop {merchant.number} is blacklisted in flight")


def _pause_now(world: World, paused: set[str], chain: str, tx: Tx) -> None:
    """For some minutes: what was simulated well fails."""
    if chain not in paused and world.faults.strikes("token_paused_in_flight", chain):
        _set(world, chain, "USDC", "setPaused(bool)", True)
        paused.add(chain)
        world.say(f"{chain}: USDC is paused before nonce {tx.nonce} runs")


def _set(world: World, chain: str, symbol: str, signature: str, value: object) -> None:
    send(world, chain, town.token_address(symbol), encode_call(signature, value), [])


async def clerk(world: World) -> None:
    """Keeps the lists as they are meant, whatever a reorg forgets; to the very end."""
    if not any(world.faults.level[name] for name in LISTED):
        return
    world.on_broadcast.append(partial(_in_flight, world))
    while True:
        await asyncio.sleep(MINUTE)
        if not world.faults.calm:
            for chain in world.chains:
                if strikes(world, "treasury_blacklisted", chain):
                    _list_treasury(world, chain)
        for key in list(world.sentences):
            _carry_out(world, key)


def _carry_out(world: World, key: ListKey) -> None:
    sentence, now = world.sentences[key], world.now()
    chain, symbol, account = key
    world.chains[chain].advance(now)
    on, wanted = world.is_listed(key), sentence.since <= now < sentence.until
    sentence.seen = min(sentence.seen, now) if on else FOREVER
    if on != wanted:
        _set(world, chain, symbol, LISTS[symbol][not wanted], account)
        told = "on" if wanted else "off"
        world.say(f"{chain}: {account.hex()[:8]} is put {told} the list of {symbol}")
        world.counts[f"put {told} a list"] += 1


def end_of_day(world: World) -> None:
    """When the quiet period begins: who is not listed for ever is off the list in good time."""
    latest = world.now() + QUIET_SECONDS
    for key, sentence in list(world.sentences.items()):
        if sentence.since > world.now():
            del world.sentences[key]
        elif sentence.until != FOREVER:
            own = key[2] == world.treasury
            sentence.until = world.now() if own else min(sentence.until, latest)


def _list_treasury(world: World, chain: str) -> None:
    symbol, now = world.dice.pick(f"treasury|{chain}", sorted(LISTS)), world.now()
    until = now + world.dice.seconds(f"treasury listed|{chain}", 120, 1200)
    key = (chain, symbol, world.treasury)
    if key not in world.sentences or world.sentences[key].until <= now:
        world.sentences[key] = Sentence(now, until)


def list_customer(world: World, bill: Bill, chain: str, symbol: str, account: bytes) -> str:
    """Whether and when the customer of a refund is listed; empty: he is not, or was already.

    :returns: ``before`` it is asked for, once it is ``promised``, or ``in flight``.
    """
    key = (chain, symbol, account)
    if symbol not in LISTS or key in world.sentences:
        return ""
    if not world.faults.strikes("customer_blacklisted", bill.invoice_id):
        return ""
    dice, now = world.dice, world.now()
    when = dice.pick("customer is listed", MOMENTS)
    later = dice.seconds("customer is listed after", 0, 900) if when == "promised" else 0.0
    since = FOREVER if when == "in flight" else now + later
    for_ever = not dice.between("for ever", 0, ONE_IN_FOR_EVER - 1)
    length = FOREVER if for_ever else dice.seconds("customer listed for", 600, 5400)
    world.sentences[key] = Sentence(since, now + length)
    world.say(f"{chain}: {account.hex()[:8]}, a customer, is to be listed: {when}, {length:.0f} s")
    if when == "before":
        _carry_out(world, key)
    return when


def deposit_lists(world: World) -> Callable[[str, Block], None]:
    """Addresses to which somebody has paid are listed some time after, or while they are swept."""

    def look(chain: str, block: Block) -> None:
        for _, _, log in block.logs():
            paid = log.topics[0] == TRANSFER_TOPIC and len(log.topics) == 3
            account = log.topics[2][12:] if paid else b""
            symbol = tokens.get(log.address)
            if symbol and account in world.by_address and account != world.treasury:
                _list_deposit(world, (chain, symbol, account))

    tokens = {town.token_address(symbol): symbol for symbol in LISTS}
    listed = world.faults.level["deposit_blacklisted"] > 0
    return look if listed else lambda _chain, _block: None


def _list_deposit(world: World, key: ListKey) -> None:
    chain, _, account = key
    if key in world.sentences or not world.faults.strikes("deposit_blacklisted", account.hex()):
        return
    dice, now = world.dice, world.now()
    swept = dice.chance("listed while swept", 0.4)
    since = FOREVER if swept else now + dice.seconds("deposit is listed after", 0, 600)
    until = now + dice.seconds("deposit listed for", 900, 9000)
    world.sentences[key] = Sentence(since, until)
    world.say(f"{chain}: {account.hex()[:8]}, a deposit address, is to be listed")


def _in_flight(world: World, chain: str, tx: Tx) -> None:
    """Before a transaction of ours runs that pays or sweeps the address, or sends gas to it."""
    if world.faults.calm:
        return
    for key, sentence in list(world.sentences.items()):
        place, _, account = key
        ours = account in (tx.sender, tx.to) or account in tx.data
        if place == chain and sentence.since == FOREVER and ours:
            sentence.since = world.now()
            sentence.until = max(sentence.until, world.now() + 10 * MINUTE)
            _carry_out(world, key)
            world.counts["listed in flight"] += 1
