"""Which database a test of settlement or of the watcher takes.

The statements themselves run on both databases in ``tests/ledger``, and so do the tests here
of crashes, lost answers, locks and restores. Of the others each takes one, always the same;
``BURSAR_TEST_DATABASES=both`` runs everything on both.
"""

from __future__ import annotations

import os
from zlib import crc32

import pytest

from tests.support.database import BACKENDS

_HALVED = ("tests/chain/settlement/", "tests/chain/watcher/")
_BOTH = frozenset(
    {
        "test_crash.py",
        "test_database_faults.py",
        "test_leaders.py",
        "test_reorgs.py",
        "test_restore.py",
    }
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("BURSAR_TEST_DATABASES") == "both" or os.environ.get("SKIP_POSTGRES") == "1":
        return
    names = {item.nodeid for item in items}
    left_out = [item for item in items if _is_left_out(item, names)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]


def _is_left_out(item: pytest.Item, names: set[str]) -> bool:
    """Whether the same test is here on the other database, and that one is its own."""
    if not item.nodeid.startswith(_HALVED) or item.path.name in _BOTH:
        return False
    mine = next((name for name in BACKENDS if name in _of(item.nodeid)), None)
    if mine is None:
        return False
    neutral = item.nodeid.replace(mine, "*")
    pair = [neutral.replace("*", name) for name in BACKENDS]
    if not names.issuperset(pair):
        return False
    return mine != BACKENDS[crc32(neutral.encode()) % len(BACKENDS)]


def _of(nodeid: str) -> list[str]:
    """The parts of its parameters."""
    return nodeid.partition("[")[2].removesuffix("]").split("-")
