"""Signers that fail, are slow: nothing half-signed leaves, no nonce is lost, paid once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from config.errors import LeaseLostError, WalletError
from ledger.lanes import all_lanes
from tests.chain.settlement.clients import SpyingClient
from tests.chain.settlement.scenes import AMOUNT, funded
from tests.chain.settlement.world import World, recipient

Act = Callable[[], Awaitable[None]]


class Moody:
    """A signer that does something else first, as often as it is told to."""

    def __init__(self, signer: Any, act: Act) -> None:
        self._signer = signer
        self._act = act

    def __getattr__(self, name: str) -> Any:
        return getattr(self._signer, name)

    async def sign_digest(self, digest: bytes) -> Any:
        await self._act()
        return await self._signer.sign_digest(digest)

    async def sign_transaction(self, fields: Any) -> Any:
        await self._act()
        return await self._signer.sign_transaction(fields)

    async def sign_authorization(self, *arguments: Any) -> Any:
        await self._act()
        return await self._signer.sign_authorization(*arguments)


class MoodyWallets:
    """Every key of the house behind :class:`Moody`."""

    def __init__(self, keys: Any, act: Act) -> None:
        self._keys = keys
        self._act = act

    def treasury_signer(self) -> Any:
        return Moody(self._keys.treasury_signer(), self._act)

    def sponsor(self, lane: Any) -> Any:
        return Moody(self._keys.sponsor(lane), self._act)

    def deposit_signer(self, index: int) -> Any:
        return Moody(self._keys.deposit_signer(index), self._act)


async def test_f30_signer_fails_at_each_signature__nothing_lost__paid_once(world: World) -> None:
    payout = await funded(world)
    asked = failed = 0

    async def every_third_time() -> None:
        nonlocal asked, failed
        asked += 1
        if asked % 3 == 1:
            failed += 1
            raise WalletError("the key service says ThrottlingException")

    spy = SpyingClient(world.client)
    service = world.service(client=spy, wallets=MoodyWallets(world.keys, every_third_time))
    for _ in range(40):
        try:
            await service.tick()
        except WalletError:
            async with world.ledger.reading() as tx:
                used = sum(lane.next_nonce for lane in await all_lanes(tx, "anvil"))
            assert used == len(await world.attempt_statuses()), (
                "a nonce is taken with its bytes or not"
            )
        await world.watch(mine=1)
        await world.agrees()
        if await world.status(payout) == "paid":
            break
    assert failed >= 3, "the authorization, the sweep's transaction, the batch's"
    assert await world.held("USDC", recipient(1)) == AMOUNT
    assert all(len(versions) == 1 for versions in spy.sent.values())


async def test_f30_signer_slower_than_the_lease__what_it_signed_is_not_kept(world: World) -> None:
    payout = await funded(world)
    slow = True

    async def sleeps() -> None:
        if slow:
            world.clock.advance(11)

    spy = SpyingClient(world.client)
    service = world.service(client=spy, wallets=MoodyWallets(world.keys, sleeps))
    refused = 0
    for _ in range(8):
        try:
            await service.tick()
        except LeaseLostError:
            refused += 1
        await world.watch(mine=1)
    assert refused > 0
    assert spy.sends == 0
    assert await world.attempt_statuses() == []
    slow = False
    await world.settle(service, world.all_are("paid", payout))
    assert await world.held("USDC", recipient(1)) == AMOUNT


@pytest.mark.parametrize("part", ["sweeps", "payouts"])
async def test_f30_one_lanes_signer_down__no_half_signed_thing_in_the_books(
    world: World, part: str
) -> None:
    payout = await funded(world)

    async def down() -> None:
        raise WalletError("the key service does not answer")

    class Wallets(MoodyWallets):
        def sponsor(self, lane: Any) -> Any:
            signer = self._keys.sponsor(lane)
            return Moody(signer, self._act) if lane == part else signer

        def treasury_signer(self) -> Any:
            return self._keys.treasury_signer()

        def deposit_signer(self, index: int) -> Any:
            return self._keys.deposit_signer(index)

    service = world.service(wallets=Wallets(world.keys, down))
    for _ in range(12):
        try:
            await service.tick()
        except WalletError as error:
            assert "key service" in str(error)
        await world.watch(mine=1)
    assert await world.attempt_statuses() == ([] if part == "sweeps" else ["final"])
    world.clock.advance(11)
    await world.settle(world.service(), world.all_are("paid", payout))
