"""The treasury itself on an issuer's list: deposits stay where they are, and it ends by itself."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from chain.anvil import Anvil, DevRpc
from chain.client import ChainClient
from ledger.holds import Hold, open_holds
from ledger.schema import sweep_items
from tests.chain.settlement.test_create2 import deploy_factory, settlement
from tests.chain.settlement.world import World, build_world, recipient

AMOUNT = 5_000001
DAI = 5 * 10**18
ONE_DATABASE = pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
PUT_ON = {"USDC": "blacklist(address)", "USDT": "addBlackList(address)"}
TAKE_OFF = {"USDC": "unBlacklist(address)", "USDT": "removeBlackList(address)"}


async def _swept(world: World) -> set[str]:
    """Tokens of which anything was ever sealed to be swept."""
    async with world.ledger.reading() as tx:
        return set((await tx.conn.execute(sa.select(sweep_items.c.token))).scalars())


async def _holds(world: World) -> list[Hold]:
    async with world.ledger.reading() as tx:
        return sorted(await open_holds(tx), key=lambda hold: hold.object_id)


@ONE_DATABASE
@pytest.mark.parametrize("way", ["delegations", "top-ups", "creations"])
async def test_f21_treasury_listed__nothing_swept_into_it__one_hold_a_token__then_all_go(
    anvil: Anvil, dev_rpc: DevRpc, client: ChainClient, migrated_url: str, way: str
) -> None:
    """Tether's token would take what is sent there, and its issuer what lies there."""
    world = await build_world(
        dev_rpc, anvil.rpc_url, client, migrated_url, supports_7702=way != "top-ups"
    )
    if way == "creations":
        await deploy_factory(world)
    service = settlement(world) if way == "creations" else world.service()
    await service.tick()
    merchant = await world.merchant()
    for symbol in (*PUT_ON, *PUT_ON):
        await world.paid_invoice(merchant, symbol, AMOUNT)
    await world.paid_invoice(merchant, "DAI", DAI)
    await world.watch(mine=4)
    for symbol, put_on in PUT_ON.items():
        await world.run(world.tokens[symbol], put_on, world.contracts.treasury)
    payouts = [await world.promise(merchant, s, 2 * AMOUNT, recipient(1)) for s in PUT_ON]
    other = await world.promise(merchant, "DAI", DAI, recipient(1))
    await world.settle(service, world.all_are("paid", other))
    assert await _swept(world) == {"DAI"}
    held = await _holds(world)
    assert [hold.object_id for hold in held] == [
        "anvil/USDC/treasury/listed", "anvil/USDT/treasury/listed",
    ]  # fmt: skip
    assert all("blacklisted" in hold.reason for hold in held)
    for symbol, take_off in TAKE_OFF.items():
        await world.run(world.tokens[symbol], take_off, world.contracts.treasury)
    await world.settle(service, world.all_are("paid", *payouts))
    assert await _holds(world) == []
    await world.agrees()
    await world.ledger.dispose()
