"""Two live chains, one set of addresses, and a URL that begins to lead to the other one.

A failover, a DNS record or a load balancer may do that while the daemon runs. Both chains here
have the same tokens and the same deposit addresses, and the customer's money is on the other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from bursar.actions.doctor_chain import _provider
from bursar.metrics.families import Families
from bursar.metrics.process import RpcMetrics
from chain.anvil import Anvil, AnvilOptions, DevRpc
from chain.client import ChainClient
from chain.rpc.health import ProviderState
from chain.rpc.labels import label_of
from config.catalogue import Catalogue
from config.clock import SystemEntropy
from ledger.invoices import Tolerance
from ledger.payment_rows import PaymentPolicy
from ledger.store import Ledger
from tests.chain.rpc.conftest import MakeClient
from tests.chain.watcher.scenes import ServedBy, persist
from tests.chain.watcher.test_outages import tick
from tests.chain.watcher.world import Invoice, World, chain_settings, deploy_tokens
from tests.support.dev_chain import DevChain
from tests.support.fault_proxy import Fault, FaultProxy, Kind
from watcher.observer import SilentObserver
from watcher.service import ChainWatcher
from watcher.status import Outcome

OTHER_ID = 31338


class OtherChain:
    """A node of its own, the same contracts on it, and far ahead in height."""

    def __init__(self, node: Anvil, chain: DevChain) -> None:
        self.url = node.rpc_url
        self.chain = chain

    async def pay(self, world: World, invoice: Invoice, units: int = 10_000_000) -> None:
        """As ``world.pay``, on this chain, and deep enough."""
        ours, world.chain = world.chain, self.chain
        try:
            await world.pay(invoice.address, units)
            await world.mine(40)
        finally:
            world.chain = ours


@pytest.fixture
async def other(world: World) -> AsyncIterator[OtherChain]:
    options = AnvilOptions(chain_id=OTHER_ID)
    async with Anvil(options) as node, DevRpc(node.rpc_url) as rpc:
        chain = DevChain(rpc)
        assert await deploy_tokens(chain) == world.tokens
        yield OtherChain(node, chain)


def up(families: Families, proxy: FaultProxy) -> float | None:
    labels = {"chain": "anvil", "provider": label_of(proxy.url)}
    return families.registry.get_sample_value("bursar_rpc_up", labels)


def said(logs: list[Any], event: str) -> list[dict[str, Any]]:
    return [line for line in logs if line["event"] == event]


async def doctor_says(world: World, client: ChainClient, proxy: FaultProxy) -> tuple[bool, str]:
    """The doctor's first line about this provider."""
    house: Any = SimpleNamespace(pools={"anvil": client._pool}, clock=world.clock)
    found = await _provider(house, world.settings, label_of(proxy.url), client)
    return found[0].good, found[0].text


@pytest.mark.parametrize(
    ("alone", "lately"),
    [(True, True), (True, False), (False, True)],
    ids=["alone", "alone_minutes_later", "of_two"],
)
async def test_f09_url_leads_to_another_live_chain__named_not_believed_and_back(
    alone: bool,
    lately: bool,
    world: World,
    other: OtherChain,
    liar: FaultProxy,
    honest: FaultProxy,
    make_client: MakeClient,
) -> None:
    """``lately``: its chain id was right seconds ago, and is believed for a minute."""
    families = Families()
    urls = [liar.url] if alone else [liar.url, honest.url]
    client = make_client(urls, clock=world.clock, observer=RpcMetrics(families))
    world.restart(client)
    invoice, paid = await world.invoices(2)
    await world.follow()
    await other.pay(world, invoice)
    before, _ = await world.cursor()
    if not lately:
        world.clock.advance(120)
    liar.add(Fault(Kind.elsewhere, value=other.url))
    with capture_logs() as logs:
        ticks = [await tick(world, 2) for _ in range(40)]
        assert await world.payments() == []
        assert client.provider_states()[label_of(liar.url)] is ProviderState.wrong_chain
        assert up(families, liar) == 0
        (line,) = said(logs, "provider_wrong_chain")
        assert (line["provider"], line["serves"]) == (label_of(liar.url), OTHER_ID)
        good, text = await doctor_says(world, client, liar)
        assert (good, f"chain id {OTHER_ID}" in text) == (False, True)
        assert up(families, liar) == 0, "that it answered the doctor's question is no sign of life"
        if alone:
            assert not any(ticks)
            assert not world.watcher.status().ready
            assert label_of(liar.url) in (world.watcher.status().problem or "")
            assert (await world.cursor())[0] == before
        await world.pay(paid.address, 10_000_000)
        await world.mine(3)
        liar.clear()

        async def whole_again() -> bool:
            back = client.provider_states()[label_of(liar.url)] is ProviderState.alive
            return back and up(families, liar) == 1 and await world.status(paid) == "paid"

        await persist(world, whole_again, limit=150)
        assert len(said(logs, "provider_right_chain_again")) == 1
    assert world.observer.violations == 0
    assert world.observer.reorgs == []
    assert await world.status(invoice) == "new"
    assert len(await world.payments()) == 1
    await world.agrees()


async def test_f09_url_leads_to_either_of_two_chains__each_request_anew__none_of_the_other(
    world: World, other: OtherChain, liar: FaultProxy, served_by: ServedBy
) -> None:
    """Round robin over two records, one of them wrong: headers and logs of different chains."""
    served_by(liar.url)
    await world.follow()
    invoices = await world.invoices(6)
    await other.pay(world, invoices[0])
    fault = liar.add(Fault(Kind.elsewhere, value=other.url, share=0.3))
    for invoice in invoices[1:]:
        await world.pay(invoice.address, 10_000_000)
        for _ in range(6):
            await tick(world, 1)
    await world.mine(3)

    async def all_paid() -> bool:
        return all([await world.status(invoice) == "paid" for invoice in invoices[1:]])

    await persist(world, all_paid)
    assert fault.struck > 10
    assert world.observer.violations == 0
    assert (await world.status(invoices[0]), len(await world.payments())) == ("new", 5)
    await world.agrees()


async def test_f09_final_block_told_by_another_chain__nothing_confirmed_for_it(
    world: World, other: OtherChain, liar: FaultProxy, served_by: ServedBy
) -> None:
    """Head and logs are right; ``finalized`` came from a chain that is far higher."""
    world.settings = chain_settings(liar.url, world.tokens, finality="finalized")
    served_by(liar.url)
    await world.follow()
    invoice = await world.paid_invoice()
    await other.pay(world, await world.invoice())
    async with DevRpc(other.url) as rpc:
        await rpc.call("anvil_mine", hex(200))
    fault = liar.add(Fault(Kind.elsewhere, value=other.url, naming='"finalized"'))
    for _ in range(6):
        await tick(world, 1)
    assert fault.struck > 0
    assert await world.statuses() == ["detected"]
    liar.clear()
    await world.mine(70)
    await world.follow()
    assert await world.status(invoice) == "paid"


async def test_f24_paid_on_another_chain__both_watched__credited_there_and_named(
    world: World, other: OtherChain, make_client: MakeClient
) -> None:
    """One address on all chains: a real deposit on one that the invoice did not offer."""
    elsewhere = chain_settings(other.url, world.tokens, name="other", chain_id=OTHER_ID)
    world.ledger = Ledger(
        world.ledger.engine,
        clock=world.clock,
        entropy=SystemEntropy(),
        catalogue=Catalogue([world.settings, elsewhere]),
        public_url="http://pay.example",
    )
    world.restart()
    second = ChainWatcher(
        elsewhere,
        client=make_client([other.url], chain_id=OTHER_ID, name="other"),
        ledger=world.ledger,
        policy=PaymentPolicy(),
        tolerance=Tolerance(),
        clock=world.clock,
        observer=SilentObserver(),
    )
    invoice = await world.invoice()
    await world.follow()
    while (await second.tick()).outcome is not Outcome.IDLE:
        pass
    await other.pay(world, invoice)
    for _ in range(20):
        await second.tick()
    (payment,) = await world.payments()
    found = (payment["chain"], payment["status"], payment["reason"], payment["held"])
    assert found == ("other", "confirmed", "wrong_chain", True)
    view = await world.view(invoice)
    assert (view["status"], view["exceptions"]) == ("new", ["wrong_chain", "held"])
    await world.pay(invoice.address, 10_000_000)
    await world.settle()
    view = await world.view(invoice)
    assert (view["status"], view["exceptions"]) == ("paid", ["wrong_chain", "held"])
