"""The benchmarks' parts do what they say, in tiny sizes; nothing here asserts a time."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from benchmarks import recording, report
from benchmarks.baselines import count_with_msgspec, count_with_orjson, read_raw, read_web3
from benchmarks.books import Cache, count_rows, multiply, prepare, sqlite_url
from benchmarks.catchup import catch_up
from benchmarks.figures import Figure, at_least, at_most, percentile, rounded
from benchmarks.replay.answers import RefusedError, answer
from benchmarks.replay.chain import XPUB, Chain, ChainSpec, build, hit_index
from benchmarks.replay.process import Replay
from benchmarks.stage import CONFIRMATIONS, open_ledger, open_stage
from chain.codec import HeaderRow, LogRow, ReceiptRow, to_header, to_log, to_receipt
from chain.model import BlockHeader, Log
from ledger.store import Ledger
from wallets.derivation import DepositDeriver
from watcher.checks import not_in_bloom
from watcher.linking import link

SPEC = ChainSpec(blocks=40, logs_per_block=10, logs_per_hit=25, watched=20)


@pytest.fixture(scope="module")
def chain() -> Chain:
    return build(SPEC)


@pytest.fixture(scope="module")
def replay() -> Iterator[Replay]:
    with Replay(SPEC) as server:
        yield server


def ask(chain: Chain, method: str, *params: Any, head: int = SPEC.blocks) -> bytes:
    return b"".join(bytes(piece) for piece in answer(chain, head, method, list(params)))


def headers_of(chain: Chain) -> list[BlockHeader]:
    rows = [
        msgspec.json.decode(ask(chain, "eth_getBlockByNumber", hex(n), False), type=HeaderRow)
        for n in range(SPEC.blocks + 1)
    ]
    return [to_header(row) for row in rows]


def logs_of(chain: Chain, **wanted: Any) -> list[Log]:
    rows = msgspec.json.decode(ask(chain, "eth_getLogs", wanted), type=list[LogRow])
    return [to_log(row) for row in rows]


# --- the chain --------------------------------------------------------------------------


def test_chain__same_spec__same_bytes(chain: Chain) -> None:
    again, other = build(SPEC), build(ChainSpec(blocks=40, logs_per_block=10, seed=2))
    assert (again.logs, again.headers) == (chain.logs, chain.headers)
    assert other.logs != chain.logs


def test_chain__all_blocks__link_and_admit_their_logs(chain: Chain) -> None:
    headers = headers_of(chain)
    linked = link(headers[0].hash, 0, headers[1:])
    assert linked.broken is None
    assert len(linked.headers) == SPEC.blocks
    logs = logs_of(chain, fromBlock="0x1", toBlock=hex(SPEC.blocks))
    assert len(logs) == SPEC.blocks * SPEC.logs_per_block
    assert not_in_bloom(headers, logs) == []
    blooms = {header.number: header.logs_bloom for header in headers}
    assert len(set(blooms.values())) == len(headers)


def test_chain__hits__pay_watched_addresses_and_have_receipts(chain: Chain) -> None:
    watched = {a: i for i, a in enumerate(DepositDeriver(XPUB).addresses(0, SPEC.watched))}
    logs = logs_of(chain, fromBlock="0x1", toBlock="latest")
    hits = [log for log in logs if log.topics[2][12:] in watched]
    assert len(hits) == SPEC.hits == 16
    assert [watched[log.topics[2][12:]] for log in hits] == [  # type: ignore[index]
        hit_index(SPEC, number) for number in range(SPEC.hits)
    ]
    for log in hits:
        text = ask(chain, "eth_getTransactionReceipt", "0x" + log.tx_hash.hex())
        receipt = to_receipt(msgspec.json.decode(text, type=ReceiptRow))
        assert receipt is not None
        assert log in receipt.logs
        assert len(receipt.logs) == 2


def test_answers__by_hash_topic_and_range__agree(chain: Chain) -> None:
    header = headers_of(chain)[7]
    by_hash = logs_of(chain, blockHash="0x" + header.hash.hex())
    assert by_hash == logs_of(chain, fromBlock="0x7", toBlock="0x7")
    assert {log.block_hash for log in by_hash} == {header.hash}
    topics = list(chain.to_watched)
    hits = logs_of(chain, fromBlock="0x1", toBlock="latest", topics=[None, None, topics])
    assert {"0x" + log.topics[2].hex() for log in hits} == set(topics)
    receipts = json.loads(ask(chain, "eth_getBlockReceipts", "0x7"))
    assert [log["logIndex"] for r in receipts for log in r["logs"]] == [
        hex(log.log_index) for log in by_hash
    ]


def test_answers__above_the_head__nothing(chain: Chain) -> None:
    assert ask(chain, "eth_blockNumber", head=5) == b'"0x5"'
    assert ask(chain, "eth_getBlockByNumber", "0x6", False, head=5) == b"null"
    number = json.loads(ask(chain, "eth_getBlockByNumber", "latest", False, head=5))["number"]
    assert number == "0x5"
    above = json.loads(ask(chain, "eth_getLogs", {"fromBlock": "0x1", "toBlock": "0x9"}, head=5))
    assert {log["blockNumber"] for log in above} == {hex(n) for n in range(1, 6)}


@pytest.mark.parametrize(
    ("method", "params"),
    [("eth_sendRawTransaction", ["0x"]), ("eth_getLogs", [{"address": "0x00"}])],
)
def test_answers__what_is_not_served__is_refused(
    chain: Chain, method: str, params: list[Any]
) -> None:
    with pytest.raises(RefusedError):
        answer(chain, 1, method, params)


# --- the server and the baselines -------------------------------------------------------


async def test_server__single_and_batch__answered_and_counted(replay: Replay) -> None:
    replay.show(head=SPEC.blocks, latency=0)
    replay.traffic()
    latest = {"jsonrpc": "2.0", "id": 7, "method": "eth_getBlockByNumber"}
    batch = [{**latest, "id": n, "params": [hex(n), False]} for n in range(3)]
    async with aiohttp.ClientSession() as session:
        async with session.post(replay.url, json={**latest, "params": ["latest", False]}) as reply:
            one = await reply.json()
        async with session.post(replay.url, json=batch) as reply:
            many = await reply.json()
        async with session.post(replay.url, json={**latest, "method": "nope"}) as reply:
            refused = await reply.json()
    assert (one["id"], one["result"]["number"]) == (7, hex(SPEC.blocks))
    assert [(item["id"], item["result"]["number"]) for item in many] == [
        (n, hex(n)) for n in range(3)
    ]
    assert refused["error"]["code"] == -32601
    traffic = replay.traffic()
    assert traffic.requests == {"poll": 1, "eth_getBlockByNumber": 1, "nope": 1}
    assert (traffic.total, traffic.billed, traffic.without("poll")) == (3, 5, 2)
    assert replay.traffic().total == 0


async def test_baselines__over_the_same_blocks__find_the_same_hits(replay: Replay) -> None:
    replay.show(head=SPEC.blocks)
    addresses = DepositDeriver(XPUB).addresses(0, SPEC.watched)
    wanted = frozenset("0x" + "0" * 24 + address.hex() for address in addresses)
    async with aiohttp.ClientSession() as session:
        runs = [
            await read_raw(session, replay.url, 1, SPEC.blocks, count(wanted))
            for count in (count_with_msgspec, count_with_orjson)
        ]
    runs.append(await read_web3(replay.url, 1, SPEC.blocks, wanted))
    assert [(run.logs, run.hits) for run in runs] == [(400, 16)] * 3


async def test_catch_up__our_watcher__books_every_hit(replay: Replay, tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "books.db")
    await prepare(url, SPEC.watched)
    async with open_stage(url, replay.url) as stage:
        top = SPEC.blocks - CONFIRMATIONS
        run = await catch_up(stage, replay, top)
        assert stage.watcher.status().cursor == top
        assert await count_rows(stage.house.ledger, "payments") == top * 10 // 25
        async with stage.house.ledger.reading() as tx:
            paid = await tx.conn.exec_driver_sql(
                "SELECT count(*) FROM invoices WHERE status IN ('paid', 'processing')"
            )
            assert paid.scalar_one() == top * 10 // 25
    assert run.logs == top * 200


# --- the books --------------------------------------------------------------------------


async def test_prepared_books__multiplied__are_as_if_opened_one_by_one(tmp_path: Path) -> None:
    real, made = tmp_path / "real.db", tmp_path / "made.db"
    await prepare(sqlite_url(real), 9)
    await prepare(sqlite_url(made), 4)
    with closing(sqlite3.connect(made)) as db:
        multiply(db, 9)
    found = []
    for path in (real, made):
        with closing(sqlite3.connect(path)) as db:
            names = [
                row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            ]
            counts = {n: db.execute(f"SELECT count(*) FROM {n}").fetchone()[0] for n in names}
            addresses = db.execute(
                "SELECT d.derivation_index, d.address, i.address = d.address, i.status"
                " FROM deposit_addresses d JOIN invoices i ON i.id = d.invoice_id ORDER BY 1"
            ).fetchall()
            told = db.execute(
                "SELECT count(*) FROM events e JOIN invoices i ON i.id = e.object_id"
                " AND json_extract(e.data, '$.id') = i.id"
                " AND lower(json_extract(e.data, '$.address')) = '0x' || lower(hex(i.address))"
            ).fetchone()
            next_index = db.execute("SELECT next_index FROM address_counter").fetchone()
            assert db.execute("PRAGMA foreign_key_check").fetchall() == []
            found.append((counts, addresses, told, next_index))
    assert found[0] == found[1]
    assert found[0][2] == found[0][3] == (9,)


def test_cache__second_time__is_the_same_file(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    path = cache.books(3)
    stamp = path.stat().st_mtime_ns
    assert Cache(tmp_path / "cache").books(3) == path
    assert path.stat().st_mtime_ns == stamp
    copy = cache.copy(3, tmp_path, "copy.db")
    assert copy.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("commit", [recording.record_block, recording.pass_block])
async def test_recording__two_blocks__every_deposit_is_in_the_books(
    migrated_url: str, commit: recording.Commit
) -> None:
    count = 2 * recording.PER_BLOCK
    ledger: Ledger = open_ledger(migrated_url)
    try:
        await prepare(migrated_url, count)
        run = await recording.record(ledger, count, commit)
        for table in ("payments", "sightings", "transfers"):
            assert await count_rows(ledger, table) == count
        # created, payment detected, invoice processing
        assert await count_rows(ledger, "events") == 3 * count
        async with ledger.reading() as tx:
            ahead = await tx.conn.exec_driver_sql("SELECT cursor_block FROM chain_cursors")
            assert ahead.scalar_one() == 2
    finally:
        await ledger.dispose()
    assert run.logs == count


def test_bare_sqlite__counts__three_rows_each(tmp_path: Path) -> None:
    path = tmp_path / "bare.db"
    assert recording.bare_sqlite(path, 200) > 0
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM bare_payments").fetchone() == (200,)
        assert db.execute("SELECT count(*) FROM bare_events").fetchone() == (200,)


# --- figures ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "value", "ratio", "met"),
    [
        (at_least(10), 10.0, None, True),
        (at_least(10), 9.9, 99.0, False),
        (at_most(10), 10.0, None, True),
        (at_most(10), 10.1, 0.1, False),
        (at_least(0.8, "ratio"), 1.0, 0.8, True),
        (at_least(0.8, "ratio"), 1.0, 0.79, False),
        (at_most(1.25, "ratio"), 9.0, 1.25, True),
        (at_least(10), None, None, False),
        (at_most(10), float("nan"), None, False),
    ],
)
def test_target__value_and_ratio__met_or_not(
    target: Any, value: float | None, ratio: float | None, met: bool
) -> None:
    figure = Figure("f", value, "s", ratio=ratio, target=target)
    assert figure.met is met
    assert figure.as_json()["met"] is met


def test_figure__without_target__is_neither_met_nor_missed() -> None:
    assert Figure("f", 1.0, "s").met is None


def test_percentile__nearest_rank() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1)) == (
        50.0,
        99.0,
        100.0,
    )
    assert percentile([3.0], 0.99) == 3.0


@pytest.mark.parametrize(
    ("number", "short"), [(123456.7, 123500.0), (0.0012345, 0.001234), (0.0, 0.0), (None, None)]
)
def test_rounded__four_digits(number: float | None, short: float | None) -> None:
    assert rounded(number) == short


def test_results__part_of_a_run__keeps_the_other_figures(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    report.write(path, "full", [Figure("a", 1.0, "s"), Figure("b", 1.0, "s", baseline="x")])
    report.write(path, "full", [Figure("a", 2.0, "s"), Figure("b", 3.0, "s", baseline="y")])
    kept = json.loads(path.read_text())
    assert [(f["name"], f["baseline"], f["value"]) for f in kept["figures"]] == [
        ("a", "", 2.0),
        ("b", "x", 1.0),
        ("b", "y", 3.0),
    ]
    report.write(path, "quick", [Figure("c", 1.0, "s")])
    assert [f["name"] for f in json.loads(path.read_text())["figures"]] == ["c"]
    assert report.table([Figure("c", None, "s", target=at_least(1))]).row_count == 1
