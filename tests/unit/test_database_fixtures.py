"""The databases that all other tests stand on are what they claim to be."""

from __future__ import annotations

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.support.postgres import DURABLE, PostgresCluster


async def _run(url: str, *statements: str) -> list[object]:
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            results = [await connection.execute(text(sql)) for sql in statements]
            return [row[0] for row in results[-1]] if results[-1].returns_rows else []
    finally:
        await engine.dispose()


@pytest.mark.parametrize("run", [1, 2])
async def test_database_url__each_test__starts_empty(database_url: str, run: int) -> None:
    await _run(database_url, "CREATE TABLE mark (n INTEGER)", "INSERT INTO mark VALUES (1)")
    assert await _run(database_url, "SELECT count(*) FROM mark") == [1]


def test_database_url__backend__matches_url(database_url: str, database_backend: str) -> None:
    assert database_url.startswith(database_backend)


async def test_postgres__template__is_copied(postgres: PostgresCluster) -> None:
    origin = postgres.create_database()
    await _run(postgres.url(origin), "CREATE TABLE mark (n INTEGER)")
    copy = postgres.create_database(template=origin)
    assert await _run(postgres.url(copy), "SELECT count(*) FROM mark") == [0]
    postgres.drop_database(copy)
    postgres.drop_database(origin)


async def test_postgres__killed_and_started__keeps_port_and_committed_rows() -> None:
    with PostgresCluster(settings=DURABLE) as cluster:
        url = cluster.url(cluster.create_database(name="kept"))
        await _run(url, "CREATE TABLE mark (n INTEGER)", "INSERT INTO mark VALUES (7)")
        cluster.kill()
        with pytest.raises((OSError, asyncpg.PostgresError)):
            await _run(url, "SELECT 1")
        cluster.start()
        assert await _run(url, "SELECT n FROM mark") == [7]


async def test_new_migrated_url__two_calls__two_databases_at_the_schema(new_migrated_url) -> None:
    first, second = new_migrated_url(), new_migrated_url()
    assert first != second
    for url in (first, second):
        assert len(await _run(url, "SELECT version_num FROM alembic_version")) == 1
