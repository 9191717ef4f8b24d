"""A new database where another's journal lies: kept aside, its addresses never given again."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.journal import INDEX_STEP, JournalError, open_journal, succeed_journal


def test_succeed__another_databases_journal__kept_and_its_mark_carried_over(tmp_path: Path) -> None:
    path = tmp_path / "bursar.journal"
    old = open_journal(path, "a" * 32)
    old.reserve_indexes(0, 5)
    new = succeed_journal(path, "b" * 32)
    assert new.next_index >= old.next_index == 5 + INDEX_STEP
    assert open_journal(path, "b" * 32).next_index == new.next_index
    kept = open_journal(tmp_path / "bursar.journal.aaaaaaaa", "a" * 32)
    assert kept.next_index == old.next_index


def test_succeed__own_or_no_journal__opened_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "bursar.journal"
    succeed_journal(path, "a" * 32).reserve_indexes(0, 1)
    assert succeed_journal(path, "a" * 32).next_index == 1 + INDEX_STEP
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bursar.journal"]


def test_open__another_databases_journal__refused(tmp_path: Path) -> None:
    path = tmp_path / "bursar.journal"
    open_journal(path, "a" * 32)
    with pytest.raises(JournalError, match="another database"):
        open_journal(path, "b" * 32)
