"""Providers that omit, invent, lag and break: nothing lost, nothing twice, nothing believed."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp
import pytest

from chain.anvil import Anvil, DevRpc
from chain.client import ChainClient
from chain.rpc.errors import BadReply, RpcError
from chain.rpc.pool import RpcPool
from chain.rpc.transport import AiohttpTransport, Transport
from config.clock import SystemClock, SystemEntropy
from config.errors import ConfigError
from tests.chain.rpc.conftest import MakeClient
from tests.chain.watcher.scenes import ServedBy, ask_to_reread, follows, pay_many, persist
from tests.chain.watcher.world import PAYER, World, deploy_tokens
from tests.support.dev_chain import DevChain, address_of
from tests.support.fault_proxy import Fault, FaultProxy, Kind
from watcher import patience
from watcher.service import EXPECTED
from watcher.status import Outcome


async def test_f05_empty_logs__one_provider_for_a_while__refused_and_found(
    world: World, liar: FaultProxy, make_client: MakeClient
) -> None:
    world.restart(make_client([liar.url]))
    await world.follow()
    liar.add(Fault(Kind.empty_logs, times=3))
    done = await pay_many(world, 1)
    await persist(world, done)
    assert len(await world.payments()) == 1
    await world.agrees()


async def test_f05_sweep__our_address_as_sender__no_false_alarm(world: World) -> None:
    """Bloom: Transfer topic and deposit address; logs to the address: rightly none."""
    await world.follow()
    invoice = await world.paid_invoice()
    await world.settle()
    swept = await world.transfer_as(invoice.address, address_of(PAYER), 10_000_000)
    out = swept.block_number
    result = await world.watcher.tick()
    assert (result.outcome, await world.cursor()) == (Outcome.ADVANCED, (out, out - 2))
    assert len(await world.payments()) == 1


async def test_f05_sweep_block__payment_in_it_denied_by_filter__found_in_all_logs(
    world: World, liar: FaultProxy, make_client: MakeClient
) -> None:
    """The filtered answer leaves a payment out; all logs of the block hold it."""
    world.restart(make_client([liar.url]))
    invoice = await world.invoice()
    await world.follow()
    liar.add(Fault(Kind.empty_logs, times=1))
    await world.pay(invoice.address, 10_000_000)
    await world.settle()
    assert await world.statuses() == ["confirmed"]
    await world.agrees()


async def test_f05_empty_logs__always_from_one_of_two__second_provider_found_it(
    world: World, liar: FaultProxy, honest: FaultProxy, served_by: ServedBy
) -> None:
    served_by(liar.url, honest.url)
    await world.follow()
    liar.add(Fault(Kind.empty_logs))
    done = await pay_many(world, 3)
    await persist(world, done)
    assert len(await world.payments()) == 3
    await world.agrees()


async def test_f05_f08_everything_wrong_with_one_of_two__twenty_five_payments_once(
    world: World, liar: FaultProxy, honest: FaultProxy, served_by: ServedBy
) -> None:
    served_by(liar.url, honest.url)
    await world.follow()
    for kind in (Kind.html, Kind.dropped, Kind.null_block, Kind.foreign_log, Kind.truncated):
        liar.add(Fault(kind, share=0.08))
    liar.add(Fault(Kind.empty_logs, share=0.5))
    liar.add(Fault(Kind.head_behind, share=0.3, value=4))
    liar.add(Fault(Kind.rate_limited, share=0.05, value=0))
    invoices = await world.invoices(25)
    for i, invoice in enumerate(invoices):
        await world.pay(invoice.address, 10_000_000)
        if i % 3 == 0:
            try:
                await world.watcher.tick()
            except EXPECTED:
                continue
    await world.mine(3)

    await persist(world, world.are_paid(*invoices))
    assert sorted(await world.statuses()) == ["confirmed"] * 25
    assert world.observer.reorgs == []
    await world.agrees()


async def test_f05_first_reading_missed__backup_scan_finds_it(
    world: World, liar: FaultProxy, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bloom that admits nothing hides an empty answer; only the second reading helps."""
    monkeypatch.setattr("watcher.rereader.backup_due.__defaults__", (10,))
    world.restart(make_client([liar.url]))
    await world.follow()
    fault = liar.add(Fault(Kind.empty_logs))
    monkeypatch.setattr("watcher.doubts.suspiciously_empty", lambda *_: [])
    invoice = await world.paid_invoice()
    await world.settle()
    assert await world.payments() == []
    liar.clear()
    assert fault.struck
    await world.mine(20)
    await world.follow()
    assert await world.status(invoice) == "paid"
    assert [(t, f) for t, _, f in world.observer.rescans if f] == [("backup", 1)]
    await world.agrees()


async def test_second_reading__other_provider_has_another_history__chain_is_followed(
    world: World, anvil: Anvil, honest: FaultProxy, make_client: MakeClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A third one bears out what is final, else there would be nothing to read twice."""
    monkeypatch.setattr("watcher.rereader.backup_due.__defaults__", (10,))
    async with Anvil(anvil.options) as other, DevRpc(other.rpc_url) as rpc:
        await rpc.call("anvil_mine", hex(40))
        await world.follow()
        await world.mine(30)
        world.restart(make_client([anvil.rpc_url, other.rpc_url, honest.url]))
        await world.follow()
        await world.follow_some(5)
    assert world.watcher.status().ready
    assert [t for t, _, _ in world.observer.rescans if t == "backup"]


async def test_invented_deposit__second_provider_denies_it__never_confirmed(
    world: World, anvil: Anvil, make_client: MakeClient
) -> None:
    """The first provider shows another history, in which the invoice was paid."""
    async with Anvil(anvil.options) as other, DevRpc(other.rpc_url) as rpc:
        world.chain = DevChain(rpc)
        assert await deploy_tokens(world.chain) == world.tokens
        world.restart(make_client([other.rpc_url, anvil.rpc_url]))
        await world.follow()
        invoice = await world.paid_invoice()
        await world.mine(5)
        await world.follow_some(6)
        assert await world.statuses() == ["confirming"]
        assert await world.status(invoice) == "processing"


class Forging:
    """A provider that says ten dollars wherever its chain says one unit, receipts included.

    No bloom tells: amounts are not in it.
    """

    def __init__(self, inner: Transport, spared: bytes, url: str | None = None) -> None:
        """:param spared: methods that begin so are answered honestly; :param url: who lies."""
        self._inner = inner
        self._spared = spared
        self._url = url

    async def post(
        self,
        url: str,
        body: bytes,
        timeout: float,  # noqa: ASYNC109
    ) -> tuple[int, Mapping[str, str], bytes]:
        status, headers, answer = await self._inner.post(url, body, timeout)
        if self._spared not in body and self._url in (None, url):
            answer = answer.replace(b"%064x" % 1, b"%064x" % 10_000_000)
        return status, headers, answer


@pytest.mark.parametrize("spared", [b"eth_getBlock", b"nothing"])
@pytest.mark.parametrize("by_proof", [True, False], ids=["proof", "without"])
async def test_f05_forged_receipt__single_provider__never_confirmed_with_proof(
    world: World, session: aiohttp.ClientSession, by_proof: bool, spared: bytes
) -> None:
    world.settings = world.settings.model_copy(update={"receipts_proof": by_proof})
    forging = Forging(AiohttpTransport(session), spared)
    pool = RpcPool(
        "anvil", 31337, [world.url],
        transport=forging, clock=SystemClock(), entropy=SystemEntropy(),
    )  # fmt: skip
    world.restart(ChainClient(pool))
    await world.follow()
    invoice = await world.paid_invoice(1)
    await world.mine(5)
    await world.follow_some(6)
    # Receipts that are honest disprove the payment; forged ones prove nothing.
    unproven = "orphaned" if spared == b"eth_getBlock" else "confirming"
    assert await world.statuses() == [unproven if by_proof else "confirmed"]
    standing = "new" if unproven == "orphaned" else "processing"
    assert await world.status(invoice) == (standing if by_proof else "paid")


async def test_receipts_proof__honest_provider__confirmed_and_told(world: World) -> None:
    world.settings = world.settings.model_copy(update={"receipts_proof": True})
    world.restart()
    await world.follow()
    invoice = await world.paid_invoice()
    await world.mine(5)
    await world.follow()
    assert await world.status(invoice) == "paid"
    assert {"linked", "receipts_proof"} <= set(world.watcher.status().checks)
    await world.agrees()


async def test_f02_one_provider_on_a_branch_of_its_own__refuted_not_halted(
    world: World, anvil: Anvil, make_client: MakeClient
) -> None:
    """It denies the final block, which the other one still holds."""
    await world.mine(6)
    await world.follow()
    async with Anvil(anvil.options) as other, DevRpc(other.rpc_url) as rpc:
        await rpc.call("anvil_mine", hex(60))
        world.restart(make_client([other.rpc_url, anvil.rpc_url]))
        with pytest.raises(BadReply, match="still holds"):
            await world.watcher.tick()
        await world.paid_invoice()
        await world.mine(3)

        await persist(world, follows(world))
    assert world.observer.violations == 0
    assert len(await world.payments()) == 1


async def test_rescan__provider_with_another_history__nothing_recorded(
    world: World, anvil: Anvil, make_client: MakeClient
) -> None:
    await world.mine(6)
    await world.follow()
    head = await world.head()
    async with Anvil(anvil.options) as other, DevRpc(other.rpc_url) as rpc:
        real, world.chain = world.chain, DevChain(rpc)
        assert await deploy_tokens(world.chain) == world.tokens
        await world.paid_invoice()
        await world.mine(head - await world.head())
        world.chain = real
        await ask_to_reread(world, 1, head)
        world.restart(make_client([other.rpc_url]))
        await world.watcher.tick()  # settles what a restart leaves open
        with pytest.raises(BadReply, match="not those that were read before"):
            await world.watcher.tick()
    assert await world.payments() == []


async def test_second_provider_dead__waits_then_counts_on_one_word(
    world: World, honest: FaultProxy, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.restart(make_client([honest.url, "http://127.0.0.1:1"]))
    await world.follow()
    invoice = await world.paid_invoice()
    await world.mine(3)
    await world.follow_some(3)
    assert await world.statuses() == ["confirming"]
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.0)
    await world.follow_some(2)
    assert await world.status(invoice) == "paid"
    assert world.observer.unverified == 1
    assert world.watcher.status().second_opinion is False


async def test_second_provider_dead_an_hour_ago__patience_begins_anew(
    world: World, honest: FaultProxy, served_by: ServedBy
) -> None:
    """An answer that failed long ago is no reason to take one word for the next payment at once."""
    served_by(honest.url, "http://127.0.0.1:1")
    await world.follow()
    await persist(world, await pay_many(world, 1))
    assert world.observer.unverified == 1
    world.clock.advance(3600)
    paid = await pay_many(world, 1)
    await world.follow_some(4)
    assert await world.statuses() == ["confirmed", "confirming"]
    await persist(world, paid)
    assert world.observer.unverified == 2


async def test_forged_amount__its_provider_is_gone__the_one_that_is_left_denies_it(
    world: World, session: aiohttp.ClientSession, liar: FaultProxy, honest: FaultProxy
) -> None:
    """The word that has to do is that of who answers, not of who said it first."""
    pool = RpcPool(
        "anvil", 31337, [liar.url, honest.url],
        transport=Forging(AiohttpTransport(session), b"\0", liar.url),
        clock=world.clock, entropy=SystemEntropy(),
    )  # fmt: skip
    world.restart(ChainClient(pool))
    await world.follow()
    invoice = await world.paid_invoice(1)
    await world.mine(5)
    await world.follow_some(6)
    assert [(p["status"], p["amount"]) for p in await world.payments()] == [
        ("confirming", 10_000_000)
    ]
    liar.add(Fault(Kind.refused))

    async def a_minute_passed() -> bool:
        return honest.requests["eth_getTransactionReceipt"] > 20

    await persist(world, a_minute_passed)
    assert await world.statuses() == ["confirming"]
    assert await world.status(invoice) == "processing"
    assert world.observer.unverified == 0


async def test_f09_wrong_chain__refused_with_a_clear_word(
    world: World, liar: FaultProxy, make_client: MakeClient
) -> None:
    liar.add(Fault(Kind.wrong_chain, value=8453))
    world.restart(make_client([liar.url]))
    with pytest.raises((ConfigError, RpcError), match="8453"):
        await world.watcher.tick()
    assert not world.watcher.status().ready


async def test_f09_chain_id_changed_after_restart__refused(
    world: World, make_client: MakeClient
) -> None:
    await world.follow()
    world.settings = world.settings.model_copy(update={"chain_id": 31338})
    world.restart()
    with pytest.raises(ConfigError, match="31337"):
        await world.watcher.tick()


async def test_f07_range_too_large__split_until_it_fits(
    world: World, liar: FaultProxy, make_client: MakeClient
) -> None:
    await world.follow()
    invoice = await world.invoice()
    await world.mine(60)
    await world.pay(invoice.address, 10_000_000)
    await world.mine(3)
    liar.add(
        Fault(
            Kind.error,
            methods={"eth_getLogs"},
            times=2,
            value=(-32005, "query returned more than 10000 results"),
        )
    )
    world.restart(make_client([liar.url]))
    results = await world.follow()
    assert [r.outcome for r in results].count(Outcome.AGAIN) == 2
    assert await world.status(invoice) == "paid"
    await world.agrees()


async def test_f03_lagging_node__head_jumps_back_and_forth__no_rewind(
    world: World, liar: FaultProxy, make_client: MakeClient
) -> None:
    world.restart(make_client([liar.url]))
    liar.add(Fault(Kind.head_behind, share=0.5, value=5))
    await world.follow()
    for _ in range(20):
        await world.mine()
        await world.watcher.tick()
    assert world.observer.reorgs == []
    liar.clear()
    await world.follow()
    assert (await world.cursor())[0] == await world.head()
