"""The shops and their invoices: what every act needs, made through the API alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from bursar.demo.api import Api, Json
from bursar.demo.board import Board, Links
from bursar.demo.config_text import CHAIN
from bursar.demo.polling import until, until_async
from bursar.demo.receiver import Receiver
from bursar.demo.story import SCENES, SHOPS, Scene
from bursar.demo.world import FIRST_CUSTOMER, World
from config.clock import Clock, Entropy
from config.units import Address, checksum, parse_address

READY_SECONDS: Final = 45.0


@dataclass(frozen=True)
class Shop:
    """A merchant: its key for the API and the address that it is paid out to."""

    id: str
    key: str = field(repr=False)
    address: Address


@dataclass
class Stage:
    """Where the acts are played."""

    world: World
    api: Api
    board: Board
    clock: Clock
    entropy: Entropy
    shops: list[Shop] = field(default_factory=list)
    beat_seconds: float = 0.0
    """How long a sight stays before the next; nobody needs it where nobody looks."""

    def customer(self, scene: Scene) -> int:
        """Account of a scene's customer."""
        return FIRST_CUSTOMER + SCENES.index(scene)

    def invoice(self, scene: Scene) -> Json:
        """A scene's invoice as last seen."""
        found = self.board.invoice_of(scene.key)
        assert found is not None, "opened before any act"
        return dict(found)

    def deposit_address(self, scene: Scene) -> Address:
        """Where its customer pays."""
        return parse_address(self.invoice(scene)["address"])

    async def beat(self) -> None:
        """Leave what can be seen now for a moment."""
        await self.clock.sleep(self.beat_seconds)

    async def wait_for(self, scene: Scene, what: str, holds: Callable[[Json], bool]) -> None:
        """Until the API shows it.

        :raises DemoError: it took too long; says how the invoice stands.
        """

        def seen() -> str:
            invoice = self.invoice(scene)
            payments = [(p["status"], p["reason"]) for p in invoice["payments"]]
            return f"{invoice['status']} {invoice['exceptions']}, payments {payments}"

        await until(
            self.clock,
            f"invoice “{scene.title}” {what}",
            lambda: holds(self.invoice(scene)),
            seen=seen,
        )


def payment_statuses(invoice: Json) -> list[str]:
    """How each of its payments stands."""
    return [payment["status"] for payment in invoice["payments"]]


async def wait_until_ready(stage: Stage) -> None:
    """Until the daemon is ready.

    :raises DemoError: it is not within a bound; says what ``/readyz`` said last.
    """
    said = "nothing"

    async def probe() -> bool:
        nonlocal said
        good, said = await stage.api.ready()
        return good

    await until_async(
        stage.clock, "the daemon to be ready", probe, seconds=READY_SECONDS, seen=lambda: said
    )


async def open_shops(stage: Stage, receiver: Receiver) -> None:
    """Two merchants, each with a payout address and a webhook endpoint."""
    for index, name in enumerate(SHOPS):
        made = await stage.api.post("/v1/admin/merchants", stage.world.admin_key, {"name": name})
        shop = Shop(made["id"], made["api_key"], Address(stage.entropy.token_bytes(20)))
        hook = await stage.api.post("/v1/webhook-endpoints", shop.key, {"url": receiver.url(index)})
        receiver.trust(index, hook["secret"])
        await stage.api.post(
            "/v1/payout-destinations",
            shop.key,
            {"chain": CHAIN, "address": checksum(shop.address)},
        )
        stage.shops.append(shop)


async def open_invoices(stage: Stage, log: str) -> None:
    """One invoice for each scene; the first one's checkout page is what the header shows."""
    made = await asyncio.gather(*(_open(stage, scene) for scene in SCENES))
    for scene, invoice in zip(SCENES, made, strict=True):
        stage.board.scenes[invoice["id"]] = scene
        stage.board.note_invoice(invoice)
    stage.board.links = Links(
        api=stage.world.url, checkout=made[0]["checkout_url"], rpc=stage.world.rpc_url, log=log
    )


async def _open(stage: Stage, scene: Scene) -> Json:
    body: dict[str, Any] = {
        "amount": scene.amount,
        "currency": "USD",
        "reference": scene.key,
        "expires_in": scene.expires_in,
    }
    return await stage.api.post("/v1/invoices", stage.shops[scene.shop].key, body)
