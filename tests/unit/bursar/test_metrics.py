"""Every family of the contract has a sample from the start, and says what the books say."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bursar.metrics.families import Families
from bursar.metrics.figures import EVERY, SHARE, BooksGauges, pause_for
from bursar.metrics.labels import begin_at_zero
from bursar.metrics.paying import SettlementMetrics
from bursar.metrics.process import RpcMetrics, TaskMetrics
from bursar.metrics.serving import HttpMetrics
from bursar.metrics.watching import WatcherMetrics
from chain.rpc.observer import RpcObserver
from config.catalogue import Catalogue
from config.clock import SystemEntropy
from config.settings import parse_settings
from gateway.observer import HttpObserver
from ledger import pauses
from ledger.books import post
from ledger.merchants import create_merchant
from ledger.postings import AccountKind, AccountRef, Transfer
from ledger.schema import merchants
from ledger.store import Ledger, make_engine
from settlement.observer import SettlementObserver
from tests.support.clock import ManualClock
from watcher.observer import WatcherObserver

CONTRACT = [
    "chain_head_block{chain,tag}",
    "watcher_cursor_block{chain}",
    "watcher_lag_blocks{chain}",
    "watcher_lag_seconds{chain}",
    "watcher_last_success_timestamp_seconds{chain}",
    "watcher_logs_total{chain,outcome}",
    "watched_addresses",
    "reorgs_total{chain}",
    "reorg_depth_blocks",
    "rpc_requests_total{chain,provider,method,outcome}",
    "rpc_request_duration_seconds",
    "rpc_up{chain,provider}",
    "invoices{status}",
    "payments_total{chain,token,status}",
    "payment_detection_seconds",
    "payment_confirmation_seconds",
    "payouts{status}",
    "payout_oldest_due_seconds",
    "payout_batch_size",
    "tx_pending{chain,lane}",
    "tx_oldest_pending_seconds{chain,lane}",
    "tx_replacements_total",
    "tx_fee_native_total{chain,purpose}",
    "gas_runway_payouts{chain}",
    "fee_cap_waiting{chain,lane}",
    "nonce_gap{chain,lane}",
    "ledger_balance{account,chain,token}",
    "onchain_balance{role,chain,token}",
    "reconciliation_difference{chain,token}",
    "webhook_deliveries_total{outcome}",
    "webhook_oldest_pending_seconds",
    "http_request_duration_seconds{route,code}",
    "paused{scope}",
    "build_info",
]
DOCUMENT = {
    "chains": [
        {
            "name": name,
            "chain_id": number,
            "rpc_urls": ["http://127.0.0.1:8545", "http://127.0.0.1:8546"],
            "finality": {"confirmations": 3},
            "is_test": True,
            "tokens": [
                {
                    "symbol": "USDC",
                    "address": "0x5FbDB2315678afecb367f032d93F642f64180aa3",
                    "decimals": 6,
                    "currency": "USD",
                }
            ],
        }
        for name, number in (("anvil", 31337), ("other", 31338))
    ]
}


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue(parse_settings(DOCUMENT).chains)


@pytest.fixture
def families(catalogue: Catalogue) -> Families:
    made = Families()
    begin_at_zero(made, catalogue)
    made.build_info.labels("1", "2", "all").set(1)
    return made


def samples(families: Families) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(families.exposition().decode()):
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def value(families: Families, name: str, **labels: str) -> float:
    return samples(families)[f"bursar_{name}"][tuple(sorted(labels.items()))]


@pytest.mark.parametrize("entry", CONTRACT)
def test_family__of_the_contract__has_a_sample_with_its_labels(
    families: Families, entry: str
) -> None:
    name, _, labels = entry.rstrip("}").partition("{")
    found = samples(families)
    rows = found.get(f"bursar_{name}") or found.get(f"bursar_{name}_count")
    assert rows, f"{name} has no sample"
    wanted = set(filter(None, labels.split(",")))
    assert all(wanted <= {key for key, _ in row} for row in rows)


def test_values__at_the_start__all_zero_but_build_info(families: Families) -> None:
    moved = {
        (name, labels)
        for name, rows in samples(families).items()
        for labels, number in rows.items()
        if number != 0 and not name.startswith("bursar_build_info")
    }
    assert moved == set()


def test_registry__two_of_a_process__share_nothing() -> None:
    one, other = Families(), Families()
    one.watched_addresses.set(5)
    assert value(other, "watched_addresses") == 0


def test_exposition__promtool__accepts_it(families: Families) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input=families.exposition(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


OBSERVED: list[tuple[type, type]] = [
    (RpcObserver, RpcMetrics),
    (WatcherObserver, WatcherMetrics),
    (SettlementObserver, SettlementMetrics),
    (HttpObserver, HttpMetrics),
]


@pytest.mark.parametrize(("protocol", "metrics"), OBSERVED)
def test_observers__protocol_grew__so_did_ours(protocol: type, metrics: type) -> None:
    wanted = {name for name in vars(protocol) if not name.startswith("_")}
    assert wanted <= set(dir(metrics))


def test_observers__fit_their_protocols_and_move_their_families(families: Families) -> None:
    clock = ManualClock()
    watcher: WatcherObserver = WatcherMetrics(families)
    settlement: SettlementObserver = SettlementMetrics(families, clock)
    http: HttpObserver = HttpMetrics(families)
    rpc: RpcObserver = RpcMetrics(families)
    tasks = TaskMetrics(families)
    watcher.on_head("anvil", "latest", 9)
    watcher.on_cursor("anvil", 7, 2, 1.5)
    watcher.on_progress("anvil", 12.5, 90.0)
    watcher.on_success("anvil", clock.now())
    watcher.on_logs("anvil", "credited", 3)
    watcher.on_payment("anvil", "", "ignored")
    watcher.on_reorg("anvil", 2)
    watcher.on_detected("anvil", -1)
    settlement.fee_paid("anvil", "payout", 21_000)
    settlement.batch_sealed("anvil", "payouts", 4)
    settlement.reconciled("anvil", "USDC", -1)
    http.on_request("/v1/invoices/{id}", 200, 0.01)
    http.on_delivery("retry")
    rpc.on_request("anvil", "127.0.0.1:8545", "eth_call", "ok", 0.1)
    rpc.on_calls("anvil", "127.0.0.1:8545", "eth_call", 4)
    rpc.on_hedge("anvil", "127.0.0.1:8545", "eth_getBlockByNumber", "won")
    tasks.on_task_state("watcher:anvil", True)
    tasks.on_task_died("watcher:anvil")
    assert value(families, "chain_head_block", chain="anvil", tag="latest") == 9
    assert value(families, "watcher_lag_blocks", chain="anvil") == 2
    assert value(families, "watcher_catch_up_blocks_per_second", chain="anvil") == 12.5
    assert value(families, "watcher_catch_up_eta_seconds", chain="anvil") == 90
    assert value(families, "watcher_logs_total", chain="anvil", outcome="credited") == 3
    assert value(families, "payments_total", chain="anvil", token="other", status="ignored") == 1
    assert value(families, "reorgs_total", chain="anvil") == 1
    assert value(families, "reorgs_total", chain="other") == 0
    assert value(families, "tx_fee_native_total", chain="anvil", purpose="payout") == 21_000
    assert value(families, "payout_batch_size_sum", chain="anvil") == 4
    assert value(families, "reconciliation_difference", chain="anvil", token="USDC") == -1
    assert value(families, "webhook_deliveries_total", outcome="retry") == 1
    assert value(families, "rpc_up", chain="anvil", provider="127.0.0.1:8545") == 1
    labels = {"chain": "anvil", "provider": "127.0.0.1:8545"}
    assert value(families, "rpc_calls_total", method="eth_call", **labels) == 4
    assert value(families, "rpc_hedges_total", outcome="won", **labels) == 1
    assert value(families, "task_deaths_total", task="watcher:anvil") == 1


@pytest.mark.parametrize("state", ["unreachable", "wrong_chain"])
def test_rpc_up__provider_is_out__zero_until_it_answers(families: Families, state: str) -> None:
    rpc = RpcMetrics(families)
    labels = {"chain": "anvil", "provider": "127.0.0.1:8545"}
    rpc.on_provider_state("anvil", "127.0.0.1:8545", "alive")
    assert value(families, "rpc_up", **labels) == 1
    rpc.on_provider_state("anvil", "127.0.0.1:8545", state)
    assert value(families, "rpc_up", **labels) == 0
    rpc.on_request("anvil", "127.0.0.1:8545", "eth_call", "ok", 0.1)
    assert value(families, "rpc_up", **labels) == 1


@pytest.mark.parametrize(("took", "pause"), [(0.0, EVERY), (0.01, EVERY), (2.0, 2.0 * SHARE)])
def test_pause__long_count__rests_longer(took: float, pause: float) -> None:
    assert pause_for(took) == pause


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def ledger(
    migrated_url: str, catalogue: Catalogue, clock: ManualClock
) -> AsyncIterator[Ledger]:
    opened = Ledger(
        make_engine(migrated_url),
        clock=clock,
        entropy=SystemEntropy(),
        catalogue=catalogue,
        public_url="http://127.0.0.1",
    )
    yield opened
    await opened.dispose()


@pytest.fixture
def gauges(families: Families, ledger: Ledger, clock: ManualClock) -> BooksGauges:
    return BooksGauges(families, ledger, clock)


async def test_books__counted__shown_and_back_to_zero(
    gauges: BooksGauges, ledger: Ledger, families: Families
) -> None:
    huge = 2**200
    async with ledger.transaction() as tx:
        merchant = await create_merchant(tx, "Alpha")
        await pauses.pause(tx, "payouts:anvil")
        deposits = AccountRef(AccountKind.DEPOSITS, "anvil", "USDC")
        owed = AccountRef(AccountKind.MERCHANT, "anvil", "USDC", merchant)
        await post(tx, [Transfer("k", deposits, owed, huge, "test", "x")])
    await gauges.refresh()
    assert value(families, "paused", scope="payouts:anvil") == 1
    assert value(families, "paused", scope="all") == 0
    labels = {"chain": "anvil", "token": "USDC"}
    assert value(families, "ledger_balance", account="merchant", **labels) == float(huge)
    assert value(families, "ledger_balance", account="deposits", **labels) == float(huge)
    async with ledger.transaction() as tx:
        await pauses.resume(tx, "all")
    await gauges.refresh()
    assert value(families, "paused", scope="payouts:anvil") == 0


async def test_ages__between_counts__go_on_growing(
    gauges: BooksGauges, ledger: Ledger, families: Families, clock: ManualClock
) -> None:
    async with ledger.transaction() as tx:
        await create_merchant(tx, "Alpha")
        due = tx.now - timedelta(seconds=30)
        await tx.conn.execute(merchants.update().values(next_settlement_at=due))
    await gauges.refresh()
    assert value(families, "payout_oldest_due_seconds") == 30
    clock.advance(12)
    gauges.show_ages(clock.now())
    assert value(families, "payout_oldest_due_seconds") == 42
