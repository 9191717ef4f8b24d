"""The chain changes its mind: what was credited is taken back, and credited again where it stays."""

from __future__ import annotations

import random

import pytest
import sqlalchemy as sa

from bursar.actions.switches import clear_chain
from config.errors import ConflictError
from config.settings import Secrets, Settings, parse_settings
from config.units import to_hex
from ledger.cursors import get_cursor
from ledger.schema import audit_log, blocks
from tests.chain.watcher.world import World
from watcher.doubts import IncompleteReply
from watcher.effects import House
from watcher.status import Outcome
from watcher.violation import clear_violation


async def test_f01_one_block_reorg__payment_gone__orphaned_and_unpaid(world: World) -> None:
    await world.follow()
    invoice = await world.paid_invoice()
    await world.follow()
    await world.reorg(1)
    await world.mine()
    await world.follow()
    assert (await world.status(invoice), await world.statuses()) == ("new", ["orphaned"])
    assert world.observer.reorgs == [1]
    await world.agrees()


async def test_f01_reinclusion__another_block__same_payment_goes_on(world: World) -> None:
    await world.follow()
    invoice = await world.invoice()
    raw = await world.raw_payment(invoice.address, 10_000_000)
    await world.send(raw)
    await world.mine()
    await world.follow()
    await world.reorg(2, [(raw, 1)])
    await world.mine()
    await world.follow()
    (payment,) = await world.payments()
    assert (payment["status"], payment["credits"]) == ("confirming", 2)
    await world.mine(2)
    await world.follow()
    assert (await world.status(invoice), await world.statuses()) == ("paid", ["confirmed"])
    await world.agrees()


async def test_f01_reinclusion__while_not_looking__one_rewind_and_one_payment(
    world: World,
) -> None:
    await world.follow()
    invoice = await world.invoice()
    raw = await world.raw_payment(invoice.address, 10_000_000)
    await world.send(raw)
    await world.follow()
    await world.reorg(1, [(raw, 0)])
    await world.mine(5)
    await world.follow()
    assert (await world.status(invoice), await world.statuses()) == ("paid", ["confirmed"])
    await world.agrees()


@pytest.mark.parametrize("seed", range(3))
async def test_f01_random_reorgs__below_finality__books_equal_chain_after_every_step(
    world: World, seed: int
) -> None:
    """Depth 2 of 3 confirmations; dropped payments are sometimes included again."""
    dice = random.Random(seed)
    await world.follow()
    invoices = await world.invoices(4)
    sent: list[str] = []
    for _ in range(12):
        action = dice.random()
        if action < 0.45:
            raw = await world.raw_payment(dice.choice(invoices).address, dice.randrange(1, 10**7))
            await world.send(raw)
            sent = [raw]
        elif action < 0.65:
            await world.mine(dice.randrange(1, 3))
            sent = []
        else:
            depth = dice.randrange(1, 3)
            again = [(raw, 0) for raw in sent] if dice.random() < 0.5 else []
            await world.reorg(depth, again)
            await world.mine()
            sent = []
        await world.follow()
        await world.agrees()
    await world.settle()
    await world.agrees()
    assert set(await world.statuses()) <= {"confirmed", "orphaned"}


async def test_f04_head_below_or_equal__nothing_happens(world: World) -> None:
    await world.follow()
    await world.mine(4)
    await world.follow()
    before = await world.cursor()
    results = await world.follow()
    assert {r.outcome for r in results} == {Outcome.IDLE}
    assert await world.cursor() == before
    assert world.observer.reorgs == []


async def test_orphaned_blocks__after_a_reorg__kept_as_evidence(world: World) -> None:
    await world.follow()
    await world.mine(2)
    await world.follow()
    await world.reorg(2)
    await world.mine()
    await world.follow()
    async with world.ledger.reading() as tx:
        query = sa.select(sa.func.count()).where(blocks.c.canonical.is_(False))
        assert await tx.conn.scalar(query) == 2


async def violate(world: World) -> None:
    """A reorg of 6 blocks where 3 make a block final."""
    await world.mine(6)
    await world.follow()
    await world.reorg(6)
    await world.mine()
    results = await world.follow()
    assert results[-1].outcome is Outcome.HALTED


async def test_f02_deeper_than_finality__halts_and_deletes_nothing(world: World) -> None:
    await world.follow()
    await world.paid_invoice()
    await violate(world)
    assert (await world.watcher.tick()).outcome is Outcome.HALTED
    status = world.watcher.status()
    assert status.halted is not None and "final" in status.halted
    assert not status.ready
    assert world.observer.violations == 1
    assert await world.statuses() == ["confirmed"]
    later = await world.invoice()
    await world.pay(later.address, 10_000_000)
    await world.settle()
    assert await world.status(later) == "new"


async def test_f02_operator_names_the_fork__everything_above_taken_back(world: World) -> None:
    await world.follow()
    shared = await world.head()
    invoice = await world.paid_invoice()
    await world.mine(6)
    await world.follow()
    assert await world.status(invoice) == "paid"
    await world.reorg(7)
    await world.mine()
    assert (await world.follow())[-1].outcome is Outcome.HALTED
    house = House(world.settings, world.watcher._house.policy, world.watcher._house.tolerance)
    assert await clear_violation(world.ledger, world.client, house, shared) == 1
    await world.follow()
    assert (await world.status(invoice), await world.statuses()) == ("new", ["reversed"])
    assert "payment.reversed" in await world.event_types()
    assert world.watcher.status().ready
    await world.agrees()


async def test_f02_command__fork_named__taken_back_and_noted(world: World) -> None:
    await world.follow()
    shared = await world.head()
    invoice = await world.paid_invoice()
    await world.mine(6)
    await world.follow()
    await world.reorg(7)
    await world.mine()
    assert (await world.follow())[-1].outcome is Outcome.HALTED
    settings = settings_of(world)
    with pytest.raises(ConflictError, match="no longer the one that was read"):
        await clear_chain(settings, Secrets(), chain="anvil", to_block=await world.head())
    # Two blocks too high, where no block of the range was kept: nothing is left standing there.
    named = shared + 2
    await clear_chain(settings, Secrets(), chain="anvil", to_block=named)
    await world.follow()
    assert (await world.status(invoice), await world.statuses()) == ("new", ["reversed"])
    async with world.ledger.reading() as tx:
        noted = (await tx.conn.execute(sa.select(audit_log))).one()
    assert (noted.action, noted.object_id) == ("clear", "anvil")
    assert (noted.detail["to_block"], noted.detail["taken_back"]) == (named, 1)


def settings_of(world: World) -> Settings:
    chain = world.settings.model_dump(include={"name", "chain_id", "rpc_urls"})
    tokens = [
        {**token.model_dump(), "address": to_hex(token.address)} for token in world.settings.tokens
    ]
    url = world.ledger.engine.url.render_as_string(hide_password=False)
    wanted = {**chain, "rpc_urls": [world.url], "finality": {"confirmations": 3}, "tokens": tokens}
    return parse_settings({"database": {"url": url}, "chains": [wanted]})


async def test_f02_chain_repaired__cleared_without_a_block__goes_on(world: World) -> None:
    await world.follow()
    await world.paid_invoice()
    snapshot = await world.rpc.call("evm_snapshot")
    await world.mine(6)
    await world.follow()
    await world.rpc.call("evm_revert", snapshot)
    # The other history: blocks with other times have other hashes.
    await world.rpc.call("evm_increaseTime", 3600)
    await world.mine(8)
    assert (await world.follow())[-1].outcome is Outcome.HALTED
    house = House(world.settings, world.watcher._house.policy, world.watcher._house.tolerance)
    await clear_violation(world.ledger, world.client, house, None)
    # Not repaired in truth: it halts again at once, and has undone nothing.
    assert (await world.follow())[-1].outcome is Outcome.HALTED
    assert await world.statuses() == ["confirmed"]


async def test_f02_restart__still_halted(world: World) -> None:
    await world.follow()
    await violate(world)
    world.restart()
    assert (await world.watcher.tick()).outcome is Outcome.HALTED
    async with world.ledger.reading() as tx:
        cursor = await get_cursor(tx, "anvil")
    assert cursor is not None and cursor.halted_reason is not None


def test_incomplete_reply__is_one_line() -> None:
    assert str(IncompleteReply("no logs", where="anvil")) == "anvil: no logs"
