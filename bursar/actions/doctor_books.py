"""What the doctor reads in the books of a chain: how far it was read, and when it was checked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from bursar.actions.finding import Finding
from chain.ranges import LARGEST
from config.chains import ChainSettings
from config.errors import DatabaseError
from ledger.chain_checks import CheckRun, check_runs
from ledger.coverage import Coverage, coverage
from ledger.cursors import get_cursor
from ledger.findings import KINDS, finding_counts
from ledger.store import Ledger
from watcher.observer import CHECKS


async def examine_books(ledger: Ledger, chain: ChainSettings, providers: int) -> list[Finding]:
    """Coverage, checks and differences of a chain; nothing where the database has none yet."""
    try:
        async with ledger.reading() as tx:
            cursor = await get_cursor(tx, chain.name)
            if cursor is None:
                text = "nothing was read yet (bursar run)"
                return [Finding(True, f"{chain.name} coverage", text)]
            found = await coverage(tx, cursor, LARGEST)
            runs = await check_runs(tx, chain.name)
            counts = await finding_counts(tx, chain.name)
            now = tx.now
    except DatabaseError:
        return []  # the doctor has said so already
    checked = when_checked(chain, found, runs, providers, now)
    return [
        covered(chain.name, found),
        Finding(True, f"{chain.name} checks", " · ".join(checked)),
        balances(chain.name, counts),
    ]


def covered(chain: str, found: Coverage) -> Finding:
    """From which block to which, and what proves it; pure."""
    text = (
        f"blocks {found.first} to {found.last} read in one piece, final up to {found.final}, "
        f"{found.hashes} hashes stored"
    )
    if found.again:
        text += f", {found.again} blocks waiting to be read again"
    if not found.gaps:
        return Finding(True, f"{chain} coverage", f"{text}, no gap")
    places = "; ".join(f"{gap.above} to {gap.below}: {gap.why}" for gap in found.gaps[:5])
    return Finding(False, f"{chain} coverage", f"{text}; {len(found.gaps)} gaps: {places}")


def when_checked(
    chain: ChainSettings,
    found: Coverage,
    runs: Mapping[str, CheckRun],
    providers: int,
    now: datetime,
) -> list[str]:
    """When each check last ran, or why it does not; pure."""
    told = []
    for name in CHECKS:
        run = runs.get(name)
        if name == "receipts_proof" and not chain.receipts_proof:
            told.append(f"{name} off")
        elif name == "second_provider" and providers < 2:
            told.append(f"{name} has none")
        elif name == "linked" and found.last >= found.first:
            told.append(f"{name} to block {found.last}")
        elif run is None:
            told.append(f"{name} never")
        else:
            more = f" (to block {run.block})" if name == "second_reading" else ""
            told.append(f"{name} {ago(now - run.at)}{more}{_round(run, now)}")
    return told


def _round(run: CheckRun, now: datetime) -> str:
    if run.round_began is None:
        return ""
    if run.round_done is None:
        return " (first round under way)"
    return f" (all addresses {ago(now - run.round_done)})"


def balances(chain: str, counts: Mapping[str, int]) -> Finding:
    """Addresses that differ from the books; pure."""
    if not any(counts.values()):
        return Finding(True, f"{chain} balances", "no deposit address is known to differ")
    told = ", ".join(f"{counts[kind]} {kind} the books" for kind in KINDS if counts[kind])
    return Finding(False, f"{chain} balances", f"deposit addresses {told} (bursar holds list)")


def ago(span: timedelta) -> str:
    """``12 s ago``, ``3 min ago``, ``2 h ago``, ``5 days ago``."""
    seconds = max(span // timedelta(seconds=1), 0)
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"
