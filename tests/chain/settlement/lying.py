"""Settlement behind several providers of which one lies, and is the first one asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp

from chain.abi import selector
from chain.anvil import Anvil
from chain.client import ChainClient
from chain.rpc.pool import RpcPool
from chain.rpc.transport import AiohttpTransport
from config.units import to_hex
from tests.chain.settlement.world import CHAIN_ID, World
from tests.support.fault_proxy import Fault, FaultProxy, Kind

EXECUTED, EPOCH, PAUSED = (
    to_hex(selector(s)) for s in ("executed(uint64,uint256)", "epoch()", "paused()")
)
"""What an ``eth_call`` names: of the treasury's, and of a token's."""


class Several(ChainClient):
    """A chain over several providers; what the first one, ``liar``, does wrong can be changed."""

    liar: FaultProxy


def pool_of(world: World, session: aiohttp.ClientSession, urls: Sequence[str]) -> RpcPool:
    """These providers, the first one asked first, by the world's clock."""
    return RpcPool(
        "anvil", CHAIN_ID, urls,
        transport=AiohttpTransport(session), clock=world.clock, entropy=world.ledger.entropy,
    )  # fmt: skip


@asynccontextmanager
async def providers(
    world: World, anvil: Anvil, *faults: Fault, count: int = 3
) -> AsyncIterator[Several]:
    """So many providers; the first one has the faults."""
    async with (
        FaultProxy(anvil.rpc_url) as liar, FaultProxy(anvil.rpc_url) as other,
        aiohttp.ClientSession() as session,
    ):  # fmt: skip
        for fault in faults:
            liar.add(fault)
        client = Several(pool_of(world, session, [liar.url, other.url, anvil.rpc_url][:count]))
        client.liar = liar
        yield client


@asynccontextmanager
async def beside_a_liar(
    world: World, anvil: Anvil, *faults: Fault, first: bool = False
) -> AsyncIterator[Several]:
    """An honest provider and one that has the faults, asked second unless ``first``."""
    async with FaultProxy(anvil.rpc_url) as liar, aiohttp.ClientSession() as session:
        for fault in faults:
            liar.add(fault)
        urls = [liar.url, anvil.rpc_url] if first else [anvil.rpc_url, liar.url]
        client = Several(pool_of(world, session, urls))
        client.liar = liar
        yield client


def about(call: str, answer: int) -> Fault:
    """Another answer to every ``eth_call`` whose data names ``call``."""
    return Fault(Kind.answers, {"eth_call"}, value=f"0x{answer:064x}", naming=call)
