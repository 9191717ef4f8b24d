"""What makes a chain count as not ready, and what must not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bursar.readiness import ChainFacts, Worker, judge_chain, judge_tasks
from config.chains import ChainSettings

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GOOD = ChainFacts(
    gate=None,
    halted=None,
    halted_lanes=(),
    asked_at=NOW,
    head_time=NOW,
    started_at=NOW - timedelta(hours=1),
    providers=2,
)


def chain(*, is_test: bool = False) -> ChainSettings:
    return ChainSettings.model_validate(
        {
            "name": "base",
            "chain_id": 8453,
            "rpc_urls": ["http://127.0.0.1:1"],
            "finality": {"confirmations": 3},
            "block_time": "2s",
            "poll_interval": "1s",
            "is_test": is_test,
        }
    )


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (replace(GOOD, gate="wrong chain"), "wrong chain"),
        (replace(GOOD, halted="block 7 left"), "bursar chain clear base"),
        (replace(GOOD, halted_lanes=["nonce ahead"]), "nonce ahead"),
        (replace(GOOD, asked_at=ago(61)), "no provider has answered for 61 s"),
        (replace(GOOD, asked_at=None), "no provider has answered"),
        (replace(GOOD, head_time=ago(91)), "91 s old"),
        (
            replace(GOOD, workers=[Worker("watcher", True, "no answer", ago(16))]),
            "watcher: no answer",
        ),
        (replace(GOOD, workers=[Worker("watcher", True, "no answer", None)]), "no answer"),
    ],
)
def test_chain__something_is_wrong__not_ready_with_the_reason(
    facts: ChainFacts, words: str
) -> None:
    check = judge_chain(chain(), facts, NOW)
    assert not check.ok
    assert words in check.reason
    assert check.name == "chain base"


@pytest.mark.parametrize(
    "facts",
    [
        GOOD,
        replace(GOOD, asked_at=ago(59)),
        replace(GOOD, head_time=ago(89)),
        replace(GOOD, asked_at=None, started_at=ago(5)),
        replace(GOOD, workers=[Worker("watcher", True, "one bad round", ago(5))]),
        replace(GOOD, workers=[Worker("watcher", False, "not mine", None)]),
        replace(GOOD, workers=[Worker("watcher", True, None, None)]),
    ],
    ids=["all well", "quiet", "slow head", "just started", "one round", "standby", "catching up"],
)
def test_chain__nothing_lasting_is_wrong__ready(facts: ChainFacts) -> None:
    assert judge_chain(chain(), facts, NOW).ok


def test_chain__idle_head_of_a_test_chain__ready() -> None:
    idle = replace(GOOD, head_time=ago(86_400))
    assert judge_chain(chain(is_test=True), idle, NOW).ok
    assert not judge_chain(chain(), idle, NOW).ok


def test_chain__single_provider__ready_and_says_so() -> None:
    check = judge_chain(chain(), replace(GOOD, providers=1), NOW)
    assert check.ok
    assert "single provider" in check.reason
    by_proof = chain().model_copy(update={"receipts_proof": True})
    assert judge_chain(by_proof, replace(GOOD, providers=1), NOW).reason == ""
    assert judge_chain(chain(), GOOD, NOW).reason == ""


def test_tasks__one_down__named() -> None:
    assert judge_tasks({}).ok
    check = judge_tasks({"watcher:base": "ValueError: x"})
    assert not check.ok
    assert check.reason == "watcher:base: ValueError: x"
