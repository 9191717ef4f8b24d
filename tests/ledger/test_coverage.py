"""What was read in one piece stays provable while the blocks behind it are thinned out."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from config.units import BlockNumber
from ledger import coverage as covering
from ledger.chain_checks import CheckRun, check_runs, save_runs
from ledger.coverage import Coverage, Gap, coverage, thin_out, thinned
from ledger.cursors import BlockMark, BlockRow, advance_cursor, get_cursor, halt_chain
from ledger.invoices import Touched
from ledger.rescans import advance_rescan, get_rescan, next_rescan, read_twice, request_rescan
from ledger.schema import blocks, rescans
from ledger.violations import resolve_violation
from tests.support.books import Books, digest

LONG = 2_400


async def follow(books: Books, first: int, last: int, step: int = 1) -> None:
    """Blocks as they are stored at the head, or the last ones of ranges."""
    rows = [books.block(number) for number in range(first, last + 1, step)]
    async with books.ledger.transaction() as tx:
        cursor = await get_cursor(tx, "anvil")
        assert cursor is not None
        mark = BlockMark(rows[-1].number, rows[-1].hash)
        await advance_cursor(
            tx, "anvil", expected=cursor.cursor, new_blocks=rows, top=rows[-1], final=mark
        )


async def covered(books: Books, widest: int = 1_000) -> Coverage:
    async with books.ledger.reading() as tx:
        cursor = await get_cursor(tx, "anvil")
        assert cursor is not None
        return await coverage(tx, cursor, widest)


async def numbers(books: Books) -> list[int]:
    async with books.ledger.reading() as tx:
        query = sa.select(blocks.c.number).where(blocks.c.canonical.is_(True))
        return list((await tx.conn.execute(query.order_by(blocks.c.number))).scalars())


async def test_coverage__followed_and_by_ranges__one_piece(books: Books) -> None:
    await follow(books, 1, 50)
    await follow(books, 150, 1_150, 500)
    found = await covered(books)
    assert found == Coverage(1, 1_150, 1_150, 54, (), 0)


async def test_coverage__wide_place_or_broken_link__named(books: Books) -> None:
    await follow(books, 1, 5)
    await follow(books, 1_200, 1_201)
    async with books.ledger.transaction() as tx:
        where = sa.and_(blocks.c.chain == "anvil", blocks.c.number == 3)
        await tx.conn.execute(blocks.update().where(where).values(parent_hash=digest("other")))
        await tx.conn.execute(
            rescans.insert().values(
                chain="anvil", first_block=1, last_block=9, next_block=4, trigger="gap",
                created_at=tx.now,
            )
        )  # fmt: skip
    found = await covered(books)
    assert found.gaps == (
        Gap(2, 3, "the parent's hash is another"),
        Gap(5, 1_200, "no hash between them is stored"),
    )
    assert found.again == 6


async def test_coverage__first_or_cursor_s_block_gone__named(books: Books) -> None:
    await follow(books, 1, 5)
    async with books.ledger.transaction() as tx:
        await tx.conn.execute(blocks.delete().where(blocks.c.number.in_((0, 5))))
    assert [gap.why for gap in (await covered(books)).gaps] == [
        "the first block is not stored",
        "the cursor's block is not stored",
    ]


@pytest.mark.parametrize(
    ("stored", "below", "referred", "gone"),
    [
        ([], 0, set(), []),
        ([1], 0, set(), []),
        ([1, 2, 3], 0, set(), [1, 2]),
        ([1, 2, 3], 0, {2}, [1]),
        (list(range(1, 502)), 0, set(), list(range(1, 500))),
        ([400, 900, 1400], 0, set(), []),
        ([100, 400, 600], 0, set(), [100]),
    ],
)
def test_thinned__one_row_in_five_hundred_blocks_is_left(
    stored: list[int], below: int, referred: set[int], gone: list[int]
) -> None:
    assert thinned(stored, below, referred) == gone


async def test_thin_out__payments_and_orphans_stay__coverage_still_proven(books: Books) -> None:
    _, address = await books.invoice()
    await follow(books, 1, 9)
    await follow(books, 10, LONG)
    paid = books.block(700)
    await books.record(books.sighting(address, 5, block=paid))
    async with books.ledger.transaction() as tx:
        orphan = BlockRow(BlockNumber(800), digest("orphan"), digest("parent"), tx.now)
        await tx.conn.execute(
            blocks.insert().values(
                chain="anvil", number=orphan.number, hash=orphan.hash,
                parent_hash=orphan.parent_hash, timestamp=orphan.timestamp, canonical=False,
            )
        )  # fmt: skip
    place, rounds = -1, 0
    while True:
        async with books.ledger.transaction() as tx:
            place, gone = await thin_out(tx, "anvil", place, 2_000)
        if gone == 0:
            break
        rounds += 1
    left = await numbers(books)
    assert rounds == 2
    assert {0, 700, *range(2_001, LONG + 1)} <= set(left)
    assert len([n for n in left if n <= 2_000]) <= 10
    found = await covered(books, covering.WIDEST)
    assert (found.gaps, found.last) == ((), LONG)
    async with books.ledger.reading() as tx:
        orphans = await tx.conn.scalar(
            sa.select(sa.func.count()).where(blocks.c.canonical.is_(False))
        )
    assert orphans == 1


async def test_check_runs__saved_twice__the_newest_is_kept(books: Books) -> None:
    now = books.clock.now()
    run = CheckRun("anvil", "balance_audit", now, 5, 7, now)
    async with books.ledger.transaction() as tx:
        await save_runs(tx, [CheckRun("anvil", "balance_audit", now), run])
    async with books.ledger.reading() as tx:
        assert await check_runs(tx, "anvil") == {"balance_audit": run}
        assert await check_runs(tx, "other") == {}
    assert run.under_way and not run.ended(now).under_way


async def test_f02_history_taken_back__second_reading_begins_again_where_it_was_shared(
    books: Books,
) -> None:
    await follow(books, 1, 200)
    async with books.ledger.transaction() as tx:
        for first, last in ((1, 100), (101, 200)):
            rescan = await get_rescan(tx, await request_rescan(tx, "anvil", first, last, "backup"))
            assert rescan is not None
            await advance_rescan(tx, rescan, last + 1)
        assert await next_rescan(tx, "anvil", 200) is None
        await halt_chain(tx, "anvil", "another history")
        touched = Touched()
        await resolve_violation(tx, "anvil", books.block(150), books.policy, touched)
        again = await next_rescan(tx, "anvil", 151)
        assert again is not None
        assert (again.first_block, again.next_block, again.last_block) == (101, 151, 200)
        assert await read_twice(tx, "anvil") == 150
