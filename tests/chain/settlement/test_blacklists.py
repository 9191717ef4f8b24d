"""Who is on an issuer's list: asked in one call where Multicall3 is, else one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from chain.artifacts import load_artifact
from chain.client import ChainClient
from chain.model import TxRequest
from chain.multicall import MULTICALL3
from config.units import to_hex
from settlement.simulation import blacklisted
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
