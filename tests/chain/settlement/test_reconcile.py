"""Ledger against chain: what is ours, what is not, and where a difference comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from chain.artifacts import load_artifact
from chain.client import ChainClient
from chain.model import TxRequest
from chain.multicall import MULTICALL3
from chain.rpc.wire import Call
from config.units import Address, checksum, to_hex
from settlement.reconcile import reconcile
from tests.chain.settlement.scenes import gift, treasury_filled
from tests.chain.settlement.world import World, recipient


async def test_reconcile__money_sent_straight_to_the_treasury__named_by_its_transaction(
    world: World,
) -> None:
    await gift(world, 77)
    await world.watch(mine=1)
    found = await reconcile(world.client, world.ledger, world.contracts)
    assert found is not None
    assert not found.agrees
    assert found.difference("USDC") == 77
    assert len(found.causes) == 1
    assert found.causes[0].startswith("treasury USDC: 0.000077 came from 0x")


async def test_reconcile__payment_seen_but_not_confirmed__counts(world: World) -> None:
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", 5)
    await world.watch()
    await world.agrees()
    await world.agrees(0)


async def test_reconcile__money_left_without_a_booking__difference(world: World) -> None:
    merchant = await world.merchant()
    deposit = await world.paid_invoice(merchant, "USDC", 1_000)
    await world.watch(mine=1)
    await world.run(world.tokens["USDC"], "mint(address,uint256)", deposit, 0)
    await world.rpc.call("anvil_impersonateAccount", "0x" + deposit.hex())
    await world.fund(deposit, 10**18)
    from chain.erc20 import encode_transfer
    from config.units import Amount

    data = encode_transfer(Address(b"\x77" * 20), Amount(400))
    sent = {
        "from": "0x" + deposit.hex(),
        "to": "0x" + world.tokens["USDC"].hex(),
        "data": "0x" + data.hex(),
    }
    await world.rpc.call("eth_sendTransaction", sent)
    await world.watch(mine=2)
    found = await reconcile(world.client, world.ledger, world.contracts)
    assert found is not None
    assert found.difference("USDC") == -400
    (cause,) = found.causes
    stranger = checksum(Address(b"\x77" * 20))
    assert cause.startswith(f"deposits USDC: 0.0004 went out to {stranger} in 0x")


async def test_reconcile__booked_sweeps_and_payouts__are_not_blamed(world: World) -> None:
    await treasury_filled(world, deposit=5_000000, paid=5_000000)
    await gift(world, 77)
    await world.watch(mine=1)
    found = await reconcile(world.client, world.ledger, world.contracts)
    assert found is not None
    assert [c[:24] for c in found.causes] == ["treasury USDC: 0.000077 "]


class Asked:
    """A client that counts the balances that it is asked for, and the calls they take."""

    def __init__(self, client: ChainClient, lie: int = 0) -> None:
        self._client = client
        self._lie = lie
        self.one_by_one = 0
        self.together = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def pinned(self) -> Asked:
        return self

    async def token_balances(self, token: Address, owners: Sequence[Address], *at: Any) -> Any:
        self.one_by_one += len(owners)
        return await self._client.token_balances(token, owners, *at)

    async def batch(self, calls: Sequence[Call[Any]]) -> Any:
        self.one_by_one += len(calls)
        return await self._client.batch(calls)

    async def call(self, tx: TxRequest, *at: Any) -> bytes:
        self.together += 1
        answer = await self._client.call(tx, *at)
        return answer[: -self._lie] + b"\x01" * self._lie if self._lie else answer


async def paid_out(world: World, count: int) -> list[Address]:
    """Deposit addresses that were swept, their merchant paid."""
    merchant = await world.merchant()
    deposits = [await world.paid_invoice(merchant, "USDC", 1_000000) for _ in range(count)]
    await world.watch(mine=4)
    payout = await world.promise(merchant, "USDC", count * 1_000000, recipient(1))
    await world.settle(world.service(), world.all_are("paid", payout))
    await world.watch(mine=4)
    return deposits


@pytest.mark.parametrize("multicall", [True, False], ids=["multicall3", "batches"])
async def test_reconcile__addresses_that_were_swept__are_not_asked_about_every_minute(
    world: World, multicall: bool
) -> None:
    if multicall:
        code = load_artifact("Multicall").runtime
        await world.rpc.call("anvil_setCode", to_hex(MULTICALL3), to_hex(code))
    await paid_out(world, 6)
    await world.paid_invoice("mer_1", "USDC", 3)
    await world.watch(mine=1)
    treasuries = len(world.ledger.catalogue.payable_tokens("anvil"))
    for emptied, addresses in ((0, 1), (3, 3), (None, 7)):
        asked = Asked(world.client)
        found = await reconcile(asked, world.ledger, world.contracts, emptied=emptied)  # type: ignore[arg-type]
        assert found is not None
        assert found.agrees
        assert asked.one_by_one == (0 if multicall else treasuries + addresses)


async def test_reconcile__money_at_a_swept_address__found_among_the_newest_and_by_the_command(
    world: World,
) -> None:
    deposits = await paid_out(world, 2)
    await world.run(world.tokens["USDC"], "mint(address,uint256)", deposits[0], 9)
    world.blind = True  # as if its log had been left out
    await world.watch(mine=1)
    for emptied, difference in ((0, 0), (2, 9), (None, 9)):
        found = await reconcile(world.client, world.ledger, world.contracts, emptied=emptied)
        assert found is not None
        assert found.difference("USDC") == difference


async def test_reconcile__multicall_says_something_else__each_is_asked_by_itself(
    world: World,
) -> None:
    code = load_artifact("Multicall").runtime
    await world.rpc.call("anvil_setCode", to_hex(MULTICALL3), to_hex(code))
    await world.paid_invoice(await world.merchant(), "USDC", 3)
    await world.watch(mine=1)
    asked = Asked(world.client, lie=1)
    found = await reconcile(asked, world.ledger, world.contracts)  # type: ignore[arg-type]
    assert found is not None
    assert found.agrees
    assert asked.one_by_one == len(world.ledger.catalogue.payable_tokens("anvil")) + 1


class Doubled:
    """A client whose provider tells twice the balance; another one may tell the truth."""

    def __init__(self, client: ChainClient, honest: ChainClient | None) -> None:
        self._client = client
        self._honest = honest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def pinned(self) -> Doubled:
        return self

    def second(self) -> ChainClient | None:
        return self._honest

    async def token_balances(self, token: Address, owners: Sequence[Address], *at: Any) -> Any:
        return [2 * n for n in await self._client.token_balances(token, owners, *at)]


async def test_f05_reconcile__one_of_two_providers_tells_another_balance__not_a_difference(
    world: World,
) -> None:
    await world.paid_invoice(await world.merchant(), "USDC", 3)
    await world.watch(mine=1)
    for honest, difference in ((world.client, 0), (None, 3)):
        liar = Doubled(world.client, honest)
        found = await reconcile(liar, world.ledger, world.contracts)  # type: ignore[arg-type]
        assert found is not None
        assert found.difference("USDC") == difference
