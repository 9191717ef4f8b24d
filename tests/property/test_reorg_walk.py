"""The walk to the common ancestor, over any two histories that share a beginning."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from config.units import Hash32
from tests.support.books import digest
from watcher.ancestor import Ancestor, FinalityViolation, WalkOn, judge_link


def branch(length: int, shared: int, name: str) -> dict[int, Hash32]:
    """Hashes 0 … length - 1; those below ``shared`` belong to both histories."""
    return {n: digest(n, "" if n < shared else name) for n in range(length)}


def walk(ours: dict[int, Hash32], theirs: dict[int, Hash32], start: int, final: int) -> object:
    """Steps as the watcher makes them; a walk longer than the stored blocks is a failure."""
    stored = {n: h for n, h in ours.items() if n >= final}
    number = start
    for _ in range(len(stored) + 1):
        verdict = judge_link(number, theirs[number], stored=stored, final_number=final)
        if not isinstance(verdict, WalkOn):
            return verdict
        number -= 1
    raise AssertionError("the walk did not end")


@given(
    length=st.integers(1, 40),
    shared=st.integers(0, 40),
    final=st.integers(0, 39),
)
def test_walk__any_fork__highest_common_block_or_violation(
    length: int, shared: int, final: int
) -> None:
    final = min(final, length - 1)
    ours, theirs = branch(length, shared, "ours"), branch(length, shared, "theirs")
    common = min(shared, length) - 1
    verdict = walk(ours, theirs, length - 1, final)
    if common >= final:
        assert verdict == Ancestor(common)
    else:
        assert isinstance(verdict, FinalityViolation)
        assert (verdict.number, verdict.stored) == (final, ours[final])


@given(length=st.integers(2, 30), lag=st.integers(1, 10))
def test_walk__same_history__parent_is_common_at_once(length: int, lag: int) -> None:
    ours = branch(length, length, "")
    start = max(0, length - 1 - lag)
    assert walk(ours, ours, start, 0) == Ancestor(start)
