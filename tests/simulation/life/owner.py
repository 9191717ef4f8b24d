"""The treasury's cold owner: takes tokens out, pays a shop by hand, puts back what is missing.

The daemon is not asked. To its books each is an outflow that nothing explains: they stop that
token's payouts, and an operator says what it was.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from functools import partial

from chain.abi import encode_call
from chain.erc20 import encode_transfer
from config.units import Address, Amount
from tests.simulation import town
from tests.simulation.life.bookkeeper import given_up
from tests.simulation.life.oblivion import resolve_suspense
from tests.simulation.life.operators import release_holds
from tests.simulation.life.people import send
from tests.simulation.life.weather import strikes
from tests.simulation.memory import Merchant
from tests.simulation.world import World

MINUTE = 60.0
LOOKS = 0.1
"""Of an operator who would find out what left, by minute."""


async def owner(world: World) -> None:
    """Busy until the quiet period begins."""
    world.on_payout.append(partial(_be_first, world))
    while not world.faults.calm:
        await asyncio.sleep(MINUTE)
        for name in world.chains:
            if strikes(world, "owner_withdraws", name):
                _withdraw(world, name)
        if world.withdrawals and world.dice.chance("looks what left", LOOKS):
            await resolve_suspense(world)
            await release_holds(world, only="batch")


def _be_first(world: World, chain: str) -> None:
    """Everything of one token, after a batch was checked and sent, and before it runs."""
    if world.faults.strikes("owner_first", chain):
        symbol = world.dice.pick(f"takes|{chain}", town.REGISTERED)
        _send(world, chain, symbol, world.balance(chain, symbol, world.treasury), None)


def _withdraw(world: World, chain: str) -> None:
    """Some of what is there; whether it still is when this is mined is another matter."""
    dice = world.dice
    symbol = dice.pick(f"withdraws|{chain}", town.REGISTERED)
    amount = dice.between(f"withdrawal|{chain}", 0, world.balance(chain, symbol, world.treasury))
    shop = dice.pick(f"whom|{chain}", world.merchants)
    _send(world, chain, symbol, amount, shop if dice.chance(f"by hand|{chain}", 0.5) else None)


def _send(world: World, chain: str, symbol: str, amount: int, shop: Merchant | None) -> None:
    """To a shop, or to himself."""
    if not amount:
        return
    to = town.BANK if shop is None else shop.destinations[chain]
    token = town.token_address(symbol)
    data = encode_call("withdraw(address,address,uint256)", token, to, amount)
    tx_hash = send(world, chain, world.treasury, data, [], sender=town.OWNER)
    whom = None if shop is None else shop.number
    world.withdrawals[chain, tx_hash] = (whom, symbol, amount)
    world.say(f"{chain}: the owner sends {amount} {symbol} to {to.hex()[:8]}")


def make_good(world: World) -> bool:
    """He puts into the treasury what it lacks for good: what he took himself, and what was paid
    to a shop out of deposits that never were, or by hand, and is owed since or was given up.

    :returns: whether something is on its way now, which the books do not know yet.
    """
    if not (world.taken or world.withdrawals):
        return False
    given = False
    missing: dict[tuple[str, str], int] = defaultdict(int)
    for row in world.books.execute("SELECT * FROM accounts WHERE kind = 'receivable'"):
        owed = int(row["debits_posted"]) - int(row["credits_posted"])
        missing[row["chain"], row["token"]] += owed
    for (_, chain, symbol), amount in given_up(world).items():
        missing[chain, symbol] += amount
    for chain in world.chains:
        for symbol in town.REGISTERED:
            missing[chain, symbol] += world.balance(chain, symbol, town.BANK)
    for (chain, symbol), amount in missing.items():
        more = amount - world.made_good[chain, symbol]
        if more > 0:
            world.made_good[chain, symbol] += more
            world.say(f"the owner makes good {more} {symbol} on {chain}")
            data = encode_transfer(Address(world.treasury), Amount(more))
            send(world, chain, town.token_address(symbol), data, [])
            given = True
    return given
