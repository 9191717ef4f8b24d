"""What may be in a payout batch at all: wanted, approved, within the limits. Looked at once."""

from __future__ import annotations

from typing import Any

from tests.simulation import town
from tests.simulation.checks.lists import sealed_for
from tests.simulation.guards import LARGE_MICROS
from tests.simulation.world import World

Row = Any
SEALED = ("batched", "submitted", "paid")


class Sealing:
    """Remembers every payout batch that was ever seen, whatever is restored."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen: set[tuple[str, int, int]] = set()
        self._looked: set[Any] = set()

    def look(self, changed: list[Any]) -> None:
        """I3: nothing is sealed for a destination that is revoked, without the second person
        whom the house asks for, or beyond its limits unless a person released it.

        What the journal brings back was sealed before, and what ran is paid already.

        :param changed: ids of batches.
        """
        world = self._world
        for batch in changed:
            row = world.books.execute(
                "SELECT chain, epoch, onchain_id, purpose FROM batches WHERE id = ?", (batch,)
            ).fetchone()
            if batch not in self._looked and not world.forgot:
                self._looked.add(batch)
                sealed_for(world, batch)
            key = (row["chain"], row["epoch"], row["onchain_id"])
            if row["purpose"] != "payout" or key in self._seen:
                continue
            self._seen.add(key)
            if key in world.executions:
                continue
            self._wanted(batch)
            entries = world.books.execute(
                "SELECT * FROM payouts WHERE batch_id = ?", (batch,)
            ).fetchall()
            for entry in entries:
                self._approved(entry)
            if world.guards.limits and entries:
                self._limited(entries)

    def _wanted(self, batch: Any) -> None:
        for row in self._world.books.execute(
            "SELECT p.id, p.address, p.chain FROM payouts p WHERE p.batch_id = ?"
            " AND p.kind = 'settlement' AND NOT EXISTS (SELECT 1 FROM payout_destinations d"
            " WHERE d.merchant_id = p.merchant_id AND d.chain = p.chain"
            " AND d.address = p.address AND (d.token IS NULL OR d.token = p.token)"
            " AND d.status IN ('cooling_off', 'active'))",
            (batch,),
        ).fetchall():
            text = f"payout {row['id']} is sealed for {row['address'].hex()} on {row['chain']}"
            self._world.violated("I3", f"{text}, which is revoked, or was never approved")

    def _approved(self, entry: Row) -> None:
        world, guards = self._world, self._world.guards
        refund = entry["kind"] == "refund"
        large = _micros(entry) > LARGE_MICROS
        asked = guards.refunds if refund else guards.payouts and large
        if asked and entry["id"] not in world.approved:
            text = f"{entry['kind']} {entry['id']} of {entry['amount']} {entry['token']}"
            world.violated("I3", f"{text} is sealed, and nobody approved it")
        if guards.destinations and not refund:
            self._address_approved(entry)

    def _address_approved(self, entry: Row) -> None:
        known = self._world.books.execute(
            "SELECT id FROM payout_destinations WHERE merchant_id = ? AND chain = ?"
            " AND address = ?",
            (entry["merchant_id"], entry["chain"], entry["address"]),
        ).fetchall()
        if not any(row["id"] in self._world.approved for row in known):
            text = f"payout {entry['id']} is sealed for {entry['address'].hex()}"
            self._world.violated("I3", f"{text}, and nobody approved that")

    def _limited(self, entries: list[Row]) -> None:
        world, limits = self._world, self._world.guards.limits
        alone = [row for row in entries if not self._let_through(row)]
        for row in alone:
            self._within("payout_limit", _micros(row), row["id"])
        if len(entries) > 1 or alone:
            together = sum(map(_micros, entries))
            self._within("transaction_limit", together, f"batch {entries[0]['batch_id']}")
        if world.forgot:
            return  # what was promised on that day is forgotten, too
        place = (entries[0]["chain"], entries[0]["token"])
        days = {str(row["created_at"])[:10] for row in alone}
        for name, by_merchant in (("daily_limit", False), ("merchant_daily_limit", True)):
            if name not in limits:
                continue
            for day in days:
                for who, total in self._promised(place, day, by_merchant=by_merchant).items():
                    self._within(name, total, f"{who} on {day}")

    def _promised(self, place: tuple[str, str], day: str, *, by_merchant: bool) -> dict[str, int]:
        """Millionths that were sealed of what was promised on a day, by nobody's word."""
        marks = ", ".join("?" * len(SEALED))
        rows = self._world.books.execute(
            f"SELECT * FROM payouts WHERE chain = ? AND token = ? AND status IN ({marks})",
            (*place, *SEALED),
        ).fetchall()
        sums: dict[str, int] = {}
        for row in rows:
            if str(row["created_at"])[:10] == day and not self._let_through(row):
                who = row["merchant_id"] if by_merchant else "all"
                sums[who] = sums.get(who, 0) + _micros(row)
        return sums

    def _let_through(self, row: Row) -> bool:
        return row["id"] in self._world.approved or row["id"] in self._world.released

    def _within(self, name: str, micros: int, what: str) -> None:
        limit = self._world.guards.limits.get(name)
        if limit is not None and micros > limit:
            self._world.violated("I3", f"{what}: {micros} millionths, {name} is {limit}")


def _micros(row: Row) -> int:
    """Rounded down: limits are whole units."""
    return int(row["amount"]) // 10 ** (town.DECIMALS[row["token"]] - 6)
