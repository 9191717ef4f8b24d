"""Fixtures of the door's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.door import Door, open_door


@pytest.fixture
async def door(migrated_url: str) -> AsyncIterator[Door]:
    async with open_door(migrated_url) as served:
        yield served
