"""What waits to be borne out: when it is asked about again, named, given up."""

from __future__ import annotations

import pytest

from watcher.waits import HOLD_SECONDS, REFUTED_SECONDS, Waits


def waiting(*claims: str, refuted: tuple[str, ...] = (), since: float = 0.0) -> Waits[str]:
    waits: Waits[str] = Waits()
    waits.update(claims, claims, (), refuted, since)
    return waits


@pytest.mark.parametrize(
    ("age", "asked", "due"),
    [(0, 0, True), (4.9, 4.9, True), (8, 8, False), (8, 5, True), (400, 371, False),
     (400, 370, True)],
)  # fmt: skip
def test_due__the_longer_it_waits__the_more_seldom(age: float, asked: float, due: bool) -> None:
    waits = waiting("a")
    waits.update(["a"], ["a"], (), (), asked)
    assert waits.due(age) is due


def test_due__nothing_waits__always() -> None:
    assert Waits[str]().due(0)


def test_to_ask__new_ones_at_once__old_ones_when_it_is_time() -> None:
    waits = waiting("a")
    waits.update(["a"], ["a"], (), (), 100)
    assert waits.to_ask(["a", "b"], 101) == ["b"]
    assert waits.to_ask(["a", "b"], 130) == ["a", "b"]


def test_update__agreed_or_gone__forgotten_and_age_is_kept() -> None:
    waits = waiting("a", "b", "c")
    waits.update(["a", "b"], ["a", "b"], ["b"], (), 70)
    assert (len(waits), waits.oldest(75)) == (1, 75)
    assert waits.to_name(75) == {"a"}
    waits.update([], [], (), (), 80)
    assert (len(waits), waits.oldest(90)) == (0, 0.0)


def test_to_name__after_a_minute() -> None:
    waits = waiting("a")
    assert waits.to_name(HOLD_SECONDS - 1) == frozenset()
    assert waits.to_name(HOLD_SECONDS) == {"a"}


def test_given_up__denied_all_the_time__and_not_with_a_break() -> None:
    waits = waiting("a", "b", refuted=("a", "b"))
    waits.update(["a", "b"], ["a", "b"], (), ["a"], 300)
    waits.update(["a", "b"], ["a", "b"], (), ["a", "b"], 400)
    assert waits.given_up(REFUTED_SECONDS - 1) == frozenset()
    assert waits.given_up(REFUTED_SECONDS) == {"a"}


def test_refuted__not_asked_this_time__stays_refuted() -> None:
    waits = waiting("a", refuted=("a",))
    waits.update(["a", "b"], ["b"], ["b"], (), 50)
    assert waits.given_up(REFUTED_SECONDS) == {"a"}
