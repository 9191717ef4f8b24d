"""What reads of sparse logs teach about each provider."""

from __future__ import annotations

from chain.ranges import SPARSE, LogSpans
from chain.rpc.errors import TooLarge


def test_log_spans__limit_named__kept_and_of_that_provider_alone() -> None:
    spans = LogSpans()
    spans.refused("narrow", SPARSE, 10)
    for _ in range(50):
        spans.took("narrow", 10)
    assert spans.of("narrow") == 10
    assert spans.of("wide") == SPARSE


def test_log_spans__refused_without_a_number__halved_then_grown_again() -> None:
    spans = LogSpans()
    spans.refused("a", SPARSE)
    assert spans.of("a") == SPARSE // 2
    for _ in range(4):
        spans.took("a", SPARSE // 2)
    assert SPARSE // 2 < spans.of("a") < SPARSE
    for _ in range(100):
        spans.took("a", spans.of("a"))
    assert spans.of("a") == SPARSE


def test_log_spans__one_block_refused__stays_one() -> None:
    spans = LogSpans()
    for _ in range(20):
        spans.refused("a", spans.of("a"))
    assert spans.of("a") == 1


def test_too_large__range_suggested__so_many_blocks() -> None:
    assert TooLarge("", suggested=(5, 14)).blocks == 10
    assert TooLarge("", max_blocks=7).blocks == 7
    assert TooLarge("").blocks is None
