"""``bursar rescan``: a range of blocks read again, by the daemon or, without one, here."""

from __future__ import annotations

import asyncio
from typing import Final

from bursar.chain_checks import check_chain_id
from bursar.compose import House, open_house
from bursar.output import progress, say, say_json
from bursar.roles import payment_policy, tolerance_of
from config.chains import ChainSettings
from config.errors import ConflictError, InvalidInputError
from config.settings import Secrets, Settings
from ledger.cursors import get_cursor
from ledger.migrate import require_current
from ledger.rescans import Rescan, get_rescan, request_rescan
from watcher.service import ChainWatcher

POLL_SECONDS: Final = 0.2
PATIENCE_SECONDS: Final = 60.0
OWNER_BYTES: Final = 8


async def rescan(
    settings: Settings,
    secrets: Secrets,
    *,
    chain: str,
    first: int,
    last: int | None,
    as_json: bool,
) -> None:
    """Ask for the range and wait until it was read.

    Sightings are recorded once, so that nothing is credited twice however often this runs.
    The work is a watcher's: a standby of our own takes it up as soon as nobody leads.

    :raises InvalidInputError: the range is empty, or above what was ever read.
    :raises ConflictError: the chain was never followed, or is halted.
    """
    async with open_house(settings, secrets, chains=[chain]) as house:
        await require_current(house.ledger.engine)
        (configured,) = house.chain_settings()
        await check_chain_id(configured, house.chains[chain])
        wanted = await _request(house, chain, first, last)
        await _carry_out(house, configured, wanted)
    document = {"chain": chain, "from": wanted.first_block, "to": wanted.last_block}
    if as_json:
        say_json(document)
        return
    say(f"read blocks {wanted.first_block} to {wanted.last_block} of {chain} again")


async def _request(house: House, chain: str, first: int, last: int | None) -> Rescan:
    async with house.ledger.transaction() as tx:
        cursor = await get_cursor(tx, chain)
        if cursor is None:
            raise ConflictError(
                "was never followed", where=f"chain {chain}", remedy="start it with: bursar run"
            )
        if cursor.halted_reason is not None:
            raise ConflictError(
                f"is halted: {cursor.halted_reason}",
                where=f"chain {chain}",
                remedy=f"bursar chain clear {chain}",
            )
        top = cursor.cursor.number
        end = top if last is None else last
        if not first <= end <= top:
            raise InvalidInputError(
                f"{first} to {end} is no range up to block {top}, the last that was read",
                where="--from, --to",
            )
        number = await request_rescan(tx, chain, first, end, "command")
        wanted = await get_rescan(tx, number)
    assert wanted is not None
    return wanted


async def _carry_out(house: House, chain: ChainSettings, wanted: Rescan) -> None:
    watcher = ChainWatcher(
        chain,
        client=house.chains[chain.name],
        ledger=house.ledger,
        policy=payment_policy(house),
        tolerance=tolerance_of(house),
        clock=house.clock,
        lease_owner=f"rescan-{house.entropy.token_bytes(OWNER_BYTES).hex()}",
    )
    stop = asyncio.Event()
    standby = asyncio.create_task(watcher.run(stop))
    try:
        await _follow(house, wanted, watcher)
    finally:
        stop.set()
        await standby


async def _follow(house: House, wanted: Rescan, watcher: ChainWatcher) -> None:
    """Wait for the request to be worked off, whoever does it.

    :raises ConflictError: no block was read for :data:`PATIENCE_SECONDS`.
    """
    done, moved_at = wanted.first_block, house.clock.monotonic()
    with progress("reading again", wanted.last_block - wanted.first_block + 1) as bar:
        while True:
            async with house.ledger.reading() as tx:
                now = await get_rescan(tx, wanted.id)
            if now is None or now.finished:
                bar.advance(wanted.last_block + 1 - done)
                return
            if now.next_block > done:
                bar.advance(now.next_block - done)
                done, moved_at = now.next_block, house.clock.monotonic()
            elif house.clock.monotonic() - moved_at > PATIENCE_SECONDS:
                raise ConflictError(
                    watcher.status().problem or "nobody reads it; it stays on the list",
                    where=f"chain {wanted.chain}",
                    remedy="see the daemon's log",
                )
            await house.clock.sleep(POLL_SECONDS)
