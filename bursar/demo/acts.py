"""The acts: what customers, the chain and the operator do. Each is told on the board."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from bursar.demo.polling import until, until_async
from bursar.demo.stage import Stage, payment_statuses
from bursar.demo.story import COINS, LOOK_ALIKE_UNITS, SCENES, SHOPS, Scene
from bursar.demo.world import BLOCK_SECONDS
from chain.abi import encode_call

REORG_DEPTH: Final = 2
"""Below the finality of three confirmations: deeper would halt the chain, rightly."""


async def play(stage: Stage) -> None:
    """Every scene, then the settlement; returns when all that had to happen has happened."""
    stage.board.tell("customers pay: exactly, in parts, too much, too little, with a fake coin")
    await _first_payments(stage)
    for scene in _acting("reorg"):
        await _reorg(stage, scene)
    await asyncio.gather(*(_too_late(stage, scene) for scene in _acting("late")))
    stage.board.tell("waiting until every payment is deep enough to be final")
    await asyncio.gather(*(_ending(stage, scene) for scene in SCENES))
    await _settle(stage)


def _acting(act: str) -> list[Scene]:
    return [scene for scene in SCENES if scene.act == act]


async def _first_payments(stage: Stage) -> None:
    """Everything that needs no special moment, into the same few blocks."""
    sent = [
        await stage.world.street.transfer(
            stage.customer(scene),
            stage.world.tokens[scene.coin],
            stage.deposit_address(scene),
            units,
        )
        for scene in _acting("plain")
        for units in scene.units[:1]
    ]
    sent += [await _fake(stage, scene) for scene in _acting("look-alike")]
    sent.append(await _poison(stage, _acting("poison")))
    sent.append(await _many_at_once(stage, _acting("bulk")))
    await asyncio.gather(*(stage.world.street.mined(tx_hash) for tx_hash in sent))
    await asyncio.gather(*(_second_part(stage, scene) for scene in _acting("plain")))


async def _second_part(stage: Stage, scene: Scene) -> None:
    for units in scene.units[1:]:
        await stage.wait_for(
            scene, "to be partially paid", lambda i: i["status"] == "partially_paid"
        )
        tx_hash = await stage.world.street.transfer(
            stage.customer(scene),
            stage.world.tokens[scene.coin],
            stage.deposit_address(scene),
            units,
        )
        await stage.world.street.mined(tx_hash)


async def _fake(stage: Stage, scene: Scene) -> str:
    """A contract that calls itself USDC too; only chain and address say which token it is."""
    return await stage.world.street.transfer(
        stage.customer(scene),
        stage.world.look_alike,
        stage.deposit_address(scene),
        LOOK_ALIKE_UNITS,
    )


async def _poison(stage: Stage, scenes: Sequence[Scene]) -> str:
    """A zero-value transferFrom of the real token, which needs nobody's leave."""
    scene = scenes[0]
    data = encode_call(
        "poison(address,address,address[])",
        stage.world.tokens[scene.coin],
        stage.world.street.address(stage.customer(SCENES[0])),
        [stage.deposit_address(one) for one in scenes],
    )
    return await stage.world.street.send(stage.customer(scene), stage.world.poisoner, data)


async def _many_at_once(stage: Stage, scenes: Sequence[Scene]) -> str:
    """Several invoices paid by one transaction, as exchanges do."""
    data = encode_call(
        "disperse(address,address[],uint256[])",
        stage.world.tokens[scenes[0].coin],
        [stage.deposit_address(scene) for scene in scenes],
        [scene.units[0] for scene in scenes],
    )
    return await stage.world.street.send(stage.customer(scenes[0]), stage.world.disperser, data)


async def _too_late(stage: Stage, scene: Scene) -> None:
    """Lateness is decided by block time: pay once a block is past the deadline."""
    stage.board.tell(
        f"one customer lets the deadline pass ({scene.expires_in}) and pays all the same"
    )
    street = stage.world.street
    deadline = datetime.fromisoformat(stage.invoice(scene)["expires_at"]).astimezone(UTC)

    async def past() -> bool:
        block = await street.block(await street.head())
        return block is not None and int(block["timestamp"], 16) > deadline.timestamp()

    await until_async(stage.clock, "the invoice's deadline to pass", past)
    tx_hash = await street.transfer(
        stage.customer(scene),
        stage.world.tokens[scene.coin],
        stage.deposit_address(scene),
        scene.units[0],
    )
    await street.mined(tx_hash)


async def _reorg(stage: Stage, scene: Scene) -> None:
    """A payment is seen, its block leaves the chain, and it is mined again.

    Mining is stopped meanwhile: on a slow machine blocks would otherwise bury the
    payment below finality before the daemon was seen to notice it.
    """
    street, board = stage.world.street, stage.board
    board.tell(f"a payment of {scene.pays[0]} {scene.coin} arrives …")
    await street.block_every(0)
    tx_hash = await street.transfer(
        stage.customer(scene),
        stage.world.tokens[scene.coin],
        stage.deposit_address(scene),
        scene.units[0],
    )
    await street.mine()
    await stage.wait_for(scene, "to be seen paid", lambda i: i["status"] == "processing")
    raw = await street.raw(tx_hash)
    for _ in range(REORG_DEPTH - 1):
        await street.mine()
    await until_async(stage.clock, "the payment's second block", lambda: _caught_up(stage))
    board.tell(
        f"… a reorg: the last {REORG_DEPTH} blocks leave the chain, and the payment with them"
    )
    await street.reorg(REORG_DEPTH, without=tx_hash)
    await street.mine()
    await stage.wait_for(scene, "to lose it", lambda i: "orphaned" in payment_statuses(i))
    await stage.beat()
    board.tell("the payment is mined again; it must be credited once")
    await street.rpc.call("eth_sendRawTransaction", raw)
    await street.mine()
    await street.block_every(BLOCK_SECONDS)
    await street.mined(tx_hash)


async def _caught_up(stage: Stage) -> bool:
    """Whether the blocks panel has shown the head, so that the reorg is seen to strike it."""
    head = await stage.world.street.head()
    return any(block.number == head for block in stage.board.blocks)


async def _ending(stage: Stage, scene: Scene) -> None:
    """Until the invoice is what it must become and its payments are final."""
    wanted = sorted(["confirmed"] * len(scene.pays) + (["ignored"] if scene.ignored else []))
    await stage.wait_for(
        scene,
        f"to be {scene.status}",
        lambda i: i["status"] == scene.status and sorted(payment_statuses(i)) == wanted,
    )


async def _settle(stage: Stage) -> None:
    """Both shops at once: deposits into the treasury, then one batch for each token."""
    stage.board.tell(f"settling {' and '.join(SHOPS)}: sweep the deposits, pay in batches")
    await stage.api.post("/v1/admin/payouts/run", stage.world.admin_key, {})
    promised = len(SHOPS) * len(COINS)

    def paid() -> bool:
        payouts = [payout for _, payout in stage.board.payouts.values()]
        return len(payouts) >= promised and all(p["status"] == "paid" for p in payouts)

    await until(
        stage.clock,
        f"{promised} payouts to be paid",
        paid,
        seen=lambda: [
            (p["token"], p["status"], p["reason"]) for _, p in stage.board.payouts.values()
        ],
    )
    await asyncio.gather(
        *(
            stage.wait_for(s, "to be settled", lambda i: i["settlement"]["status"] == "paid")
            for s in SCENES
            if s.pays
        )
    )
