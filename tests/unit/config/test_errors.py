"""Errors people see: one line with place, event and remedy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import errors
from config.errors import BursarError, ConfigError

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, BursarError)
]
WORDS = st.text(alphabet="abc xyz", min_size=1, max_size=20)


@given(WORDS, st.just("") | WORDS, st.just("") | WORDS)
def test_error__parts__are_kept_and_shown_in_order(what: str, where: str, remedy: str) -> None:
    error = ConfigError(what, where=where, remedy=remedy)
    assert (error.what, error.where, error.remedy) == (what, where, remedy)
    shown = (f"{where}: " if where else "") + what + (f" ({remedy})" if remedy else "")
    assert str(error) == shown


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_error__each_kind__says_when_to_raise_it(kind: type[BursarError]) -> None:
    assert kind.__doc__
    assert str(kind("broken", where="here", remedy="mend it")) == "here: broken (mend it)"
    assert kind.__name__.endswith("Error")
