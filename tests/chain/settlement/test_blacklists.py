"""Who is on an issuer's list: asked for in few calls, set aside alone, paid once off it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chain.artifacts import load_artifact
from chain.client import ChainClient
from chain.model import TxRequest
from chain.multicall import MULTICALL3
from chain.send import SendResult
from config.units import to_hex
from ledger.batches import open_batches
from ledger.books import totals_of
from ledger.destinations import REVOKED, NewDestination, create_destination, revoke_destination
from ledger.postings import AccountKind, AccountRef
from ledger.schema import payouts
from settlement.payouts import BLACKLISTED
from settlement.simulation import blacklisted
from tests.chain.settlement.clients import SpyingClient
from tests.chain.settlement.scenes import AMOUNT, ONE_DATABASE, funded
from tests.chain.settlement.world import World, recipient

LISTS = {"USDC": "blacklist(address)", "USDT": "addBlackList(address)"}


class Billed:
    """A client that counts calls as a provider bills them."""

    def __init__(self, client: ChainClient) -> None:
        self._client = client
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def call(self, tx: TxRequest, *about: Any) -> bytes:
        self.count += 1
        return await self._client.call(tx, *about)

    async def calls(self, txs: Sequence[TxRequest], *about: Any) -> Any:
        self.count += len(txs)
        return await self._client.calls(txs, *about)


@pytest.mark.parametrize("symbol", ["USDC", "USDT", "DAI"])
async def test_blacklisted__with_and_without_multicall__the_same_two_for_few_calls(
    world: World, symbol: str
) -> None:
    accounts = [recipient(number) for number in range(501)]
    token = world.tokens[symbol]
    wanted: set[int] = set()
    if symbol in LISTS:
        wanted = {7, 500}
        for place in wanted:
            await world.run(token, LISTS[symbol], accounts[place])
    ctx = world.service().context
    spelled = 2
    for code, most in ((b"", 502), (load_artifact("Multicall").runtime, 2)):
        await world.rpc.call("anvil_setCode", to_hex(MULTICALL3), to_hex(code))
        billed = Billed(ctx.client)
        assert await blacklisted(replace(ctx, client=billed), token, accounts) == wanted  # type: ignore[arg-type]
        assert billed.count == spelled + (most if wanted else 0)


async def test_f21_blacklisted_recipient__set_aside_before_sealing__others_paid(
    world: World,
) -> None:
    bad, listed = recipient(666), recipient(667)
    await world.blacklist(bad)
    await world.blacklist(listed, "USDT")
    good = await funded(world)
    refused = await funded(world, to=bad)
    tether = await funded(world, "USDT", listed)

    service = world.service()
    await world.settle(service, world.all_are("paid", good))
    await world.settle(service, world.all_are("on_hold", refused, tether))

    assert "blacklisted" in (await world.payout(refused))["reason"]
    assert (await world.payout(tether))["reason"] == BLACKLISTED
    assert await world.held("USDT", listed) == 0, "Tether pays whom it has listed"
    await world.unblacklist(bad)
    hold = next(h for h in await world.holds() if h.object_id == refused)
    await world.release(hold)
    await world.settle(service, world.all_are("paid", refused))
    assert await world.held("USDC", bad) == AMOUNT


async def test_f21_recipient_blacklisted_after_sealing__fails_alone__on_hold_after_finality(
    world: World,
) -> None:
    bad = recipient(666)
    good = await funded(world)
    refused = await funded(world, to=bad)
    spy = SpyingClient(world.client)

    async def listed_at_the_last_moment(raw: bytes) -> SendResult:
        if await world.open_batches("payouts"):
            await world.blacklist(bad)
        return await world.client.send_raw(raw)

    spy.answer = listed_at_the_last_moment
    await world.settle(world.service(client=spy), world.all_are("paid", good))
    row = await world.payout(refused)
    assert (row["status"], row["batch_id"]) == ("on_hold", None)
    assert "blacklisted" in row["reason"]
    assert await world.held("USDC", world.contracts.treasury) == AMOUNT
    async with world.ledger.reading() as tx:
        treasury = AccountRef(AccountKind.TREASURY, "anvil", "USDC")
        assert (await totals_of(tx, [treasury]))[treasury].credits_pending == 0


@ONE_DATABASE
async def test_f21_blacklisted_after_sealing__its_address_revoked_meanwhile__canceled_not_sealed_again(
    world: World,
) -> None:
    """Released, it would be refused and held again for ever; or be paid where nobody wants it."""
    bad = recipient(666)
    refused = await funded(world, to=bad)
    async with world.ledger.transaction() as tx:
        row = (await tx.conn.execute(payouts.select().where(payouts.c.id == refused))).one()
        new = NewDestination("anvil", None, bad)
        made = await create_destination(
            tx, row.merchant_id, new, cooling_off=timedelta(0), refused=()
        )
    spy = SpyingClient(world.client)

    async def listed_and_revoked(raw: bytes) -> SendResult:
        async with world.ledger.transaction() as tx:
            sealed = await open_batches(tx, "anvil", "payouts")
            if sealed:
                await revoke_destination(tx, row.merchant_id, made["id"])
        if sealed:
            await world.blacklist(bad)
        return await world.client.send_raw(raw)

    spy.answer = listed_and_revoked
    service = world.service(client=spy)
    await world.settle(service, world.all_are("on_hold", refused))
    await world.unblacklist(bad)
    hold = next(h for h in await world.holds() if h.object_id == refused)
    await world.release(hold)
    await world.settle(service, world.all_are("canceled", refused))
    assert (await world.payout(refused))["reason"] == REVOKED
    assert await world.held("USDC", bad) == 0
