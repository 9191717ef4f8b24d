"""One house with money flowing through it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chain.anvil import Anvil, DevRpc
from tests.support.database import sqlite_url
from tests.system.crash.flow import KILLS, Flow, flowing


@pytest.fixture
async def flow(tmp_path: Path, anvil: Anvil, dev_rpc: DevRpc) -> AsyncIterator[Flow]:
    """On SQLite."""
    url = sqlite_url(tmp_path / "bursar.db")
    async with flowing(tmp_path, anvil, dev_rpc, url, invoices=120 + 12 * KILLS) as made:
        yield made
