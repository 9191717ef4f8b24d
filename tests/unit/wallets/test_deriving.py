"""Addresses that a process beside this one derives are those that this one would."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from tests.unit.wallets.test_derivation import DERIVER, PATH
from wallets import deriving
from wallets.derivation import HARDENED, DepositDeriver
from wallets.deriving import AHEAD, MOST, DerivedAhead, deriving_beside
from wallets.private import PrivateNode


class Beside:
    """Counts what was derived here."""

    def __init__(self) -> None:
        self.xpub = DERIVER.xpub
        self.here = 0

    def addresses(self, start: int, count: int) -> list[bytes]:
        self.here += count
        return list(DERIVER.addresses(start, count))

    def address(self, index: int) -> bytes:
        return DERIVER.address(index)


def test_ranges_that_follow_each_other__derived_beside__the_same() -> None:
    beside = Beside()
    with deriving_beside(beside) as ahead:  # type: ignore[arg-type]
        found = [address for start in range(3, 63, 20) for address in ahead.addresses(start, 20)]
        assert list(ahead.addresses(63, 7)) == DERIVER.addresses(63, 7)
    assert found == DERIVER.addresses(3, 60)
    assert beside.here == 20 + 7, "the first range and the odd one"


def test_somebody_else_took_indexes__what_was_derived_for_them_is_dropped() -> None:
    beside = Beside()
    with deriving_beside(beside) as ahead:  # type: ignore[arg-type]
        for start in (0, 10, 25, 35, 45, 10_000, 10_010, 5):
            assert list(ahead.addresses(start, 10)) == DERIVER.addresses(start, 10)
    assert beside.here < 80, "some were derived beside"


def test_process_ends__derived_here() -> None:
    with deriving_beside(DERIVER) as ahead:
        assert list(ahead.addresses(0, 10)) == DERIVER.addresses(0, 10)
        process = ahead._process
        assert process is not None
        process.kill()
        process.wait()
        for start in (10, 20, 30, 40):
            assert list(ahead.addresses(start, 10)) == DERIVER.addresses(start, 10)
    assert process.poll() is not None


def test_block_left__process_is_gone() -> None:
    with deriving_beside(DERIVER) as ahead:
        ahead.addresses(0, 10)
        process = ahead._process
    assert process is not None
    assert process.poll() is not None


def test_no_such_interpreter__derived_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    with deriving_beside(DERIVER) as ahead:
        assert list(ahead.addresses(0, 10)) == DERIVER.addresses(0, 10)


def test_more_than_a_pipe_holds__is_not_asked_ahead() -> None:
    """Two answers that nobody reads fill no pipe: the other side could wait for ever."""
    assert AHEAD * MOST * 20 < 65_536
    with deriving_beside(DERIVER) as ahead:
        assert len(ahead.addresses(0, MOST + 1)) == MOST + 1
        assert not ahead._asked


def test_package_of_the_same_name_where_one_stands__is_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "wallets").mkdir()
    (tmp_path / "wallets" / "__init__.py").write_text("")
    (tmp_path / "wallets" / "deriving.py").write_text("open('was run', 'w').close()")
    monkeypatch.chdir(tmp_path)
    with deriving_beside(DERIVER) as ahead:
        for start in (0, 10, 20):
            assert list(ahead.addresses(start, 10)) == DERIVER.addresses(start, 10)
    assert not (tmp_path / "was run").exists()


def test_process_derives_from_another_key__its_addresses_are_not_taken() -> None:
    other = DepositDeriver(PrivateNode.from_seed(bytes(64)).derive(PATH).xpub())
    with deriving_beside(other) as ahead:
        ahead._deriver = DERIVER
        for start in (0, 10, 20):
            assert list(ahead.addresses(start, 10)) == DERIVER.addresses(start, 10)


def test_end_of_the_indexes__is_not_asked_beyond() -> None:
    with deriving_beside(DERIVER) as ahead:
        assert len(ahead.addresses(HARDENED - 15, 10)) == 10
        assert not ahead._asked
        assert list(ahead.addresses(HARDENED - 5, 5)) == DERIVER.addresses(HARDENED - 5, 5)


def test_answers__end_with_the_questions() -> None:
    asked = (5).to_bytes(4, "big") + (2).to_bytes(4, "big")
    answers = io.BytesIO()
    deriving.answer(io.BytesIO(DERIVER.xpub.encode() + b"\n" + asked + b"\x00"), answers)
    assert answers.getvalue() == b"".join(DERIVER.addresses(5, 2))


def test_without_a_process__derived_here() -> None:
    assert DerivedAhead(DERIVER, None).addresses(1, 3) == DERIVER.addresses(1, 3)
