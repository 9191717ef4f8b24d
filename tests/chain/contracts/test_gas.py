"""Gas of batches and sweeps, against the floor computed from the token's own frames.

floor = 21,000 + calldata + the gas that the token itself used (traced) + 100 for each call
"""

from __future__ import annotations

from typing import Any

import pytest

from chain.helper_contracts import encode_sweep
from config.units import checksum, to_hex
from tests.chain.contracts.test_collector import deposits
from tests.chain.contracts.world import World, packed, recipient
from tests.support.dev_chain import address_of

COUNT = 100


def calldata_gas(data: bytes) -> int:
    zeros = data.count(0)
    return 4 * zeros + 16 * (len(data) - zeros)


async def token_frames(world: World, tx_hash: bytes, token: bytes) -> list[int]:
    """Gas used inside each call of the token, from the transaction's call trace."""
    options = {"tracer": "callTracer"}
    root = await world.chain.rpc.call("debug_traceTransaction", to_hex(tx_hash), options)
    found: list[int] = []

    def walk(frame: dict[str, Any]) -> None:
        if frame.get("to", "").lower() == to_hex(token):
            found.append(int(frame["gasUsed"], 16))
        else:
            for inner in frame.get("calls", ()):
                walk(inner)

    walk(root)
    return found


@pytest.mark.parametrize("contract", ["UsdcLike", "UsdtLike"])
@pytest.mark.parametrize("holds", [True, False])
async def test_pay_batch__hundred_recipients__within_four_percent_of_the_floor(
    world: World, contract: str, holds: bool, record_property: Any
) -> None:
    arguments = ("USD Coin", "USDC") if contract == "UsdcLike" else ()
    token = await world.token(contract, *arguments)
    # The bitmap's word is in use: the first batch of every 256 pays 17,100 more.
    await world.pay(token, [(recipient(10_000), 1)], batch_id=0)
    items = [(recipient(n), 1_234_567 + n) for n in range(COUNT)]
    if holds:
        for to, _ in items:
            await world.mint(token, to, 1)
    data = world.signed_batch(token, items, batch_id=1)
    executed, _, receipt = await world.pay(token, items, batch_id=1)
    assert executed.failed_count == 0
    frames = await token_frames(world, receipt.tx_hash, token)
    assert len(frames) == COUNT
    floor = 21_000 + calldata_gas(data) + sum(frames) + 100 * COUNT
    ratio = receipt.gas_used / floor
    report = f"{contract} holds={holds}: {receipt.gas_used / COUNT:.0f} floor {floor / COUNT:.0f} ratio {ratio:.4f}"
    record_property("gas", report)
    print(report)
    assert ratio <= 1.04


async def test_sweep__repeat__far_below_two_transactions(world: World) -> None:
    token = await world.usdc()
    await world.mint(token, world.helpers.treasury, 1)
    accounts = deposits(COUNT)
    for account in accounts:
        await world.mint(token, address_of(account), 20)
    data = encode_sweep(token, packed([(address_of(account), 10) for account in accounts]))
    half = COUNT // 2
    for start in (0, half):
        await world.chain.must(
            world.sweeper,
            checksum_target(world),
            authorizations=[world.authorize(account) for account in accounts[start : start + half]],
        )
    receipt = await world.chain.must(world.sweeper, world.helpers.collector, data)
    again = await world.chain.must(world.sweeper, world.helpers.collector, data)
    transfer = (await world.run(token, "transfer(address,uint256)", recipient(1), 0)).gas_used
    print(
        f"repeat sweep: {receipt.gas_used / COUNT:.0f}, emptying: {again.gas_used / COUNT:.0f}; transfer {transfer}"
    )
    assert receipt.gas_used / COUNT < 14_000
    assert again.gas_used < receipt.gas_used


def checksum_target(world: World) -> Any:
    """A transaction to oneself that only carries authorizations."""
    assert checksum(address_of(world.sweeper))
    return address_of(world.sweeper)
