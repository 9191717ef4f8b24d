"""``bursar invoices import``: one JSON object of ``POST /v1/invoices`` a line.

The file is checked whole before the first invoice is opened, so that a typing
error in line 90,000 leaves nothing behind. What is committed is committed: a
crash half-way leaves the invoices printed so far, and running the file again
opens new ones for all its lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from bursar.compose import House, open_house
from bursar.output import JsonLines, progress, say
from bursar.startup import address_source, prepare_journal
from config.errors import InvalidInputError, NotFoundError
from config.settings import Secrets, Settings
from config.units import checksum
from gateway.invoicing import InvoiceRules, parse_invoice_request
from ledger.invoices import InvoiceSpec, open_invoices
from ledger.migrate import require_current
from ledger.schema import merchants
from ledger.sources import Source

BATCH: Final = 500
"""Invoices a transaction: the counter's lock is free for the API between them."""
LINE_BYTES: Final = 1024 * 1024
MAX_LINES: Final = 1_000_000


async def import_file(
    settings: Settings,
    secrets: Secrets,
    *,
    file: Path,
    merchant: str | None,
    as_json: bool,
) -> None:
    """Open all invoices of the file and print their ids and addresses, in its order.

    :raises InvalidInputError: a line is wrong; names the file, the line and the field.
    """
    async with open_house(settings, secrets, chains=[]) as house:
        await require_current(house.ledger.engine)
        owner = await _merchant(house, merchant)
        derive = address_source(settings, secrets, await prepare_journal(house))
        # Read twice, held never: a million lines take the memory of one batch.
        count = sum(1 for _ in _parsed(house, file))
        lines = JsonLines() if as_json else None
        with progress("opening invoices", count) as bar:
            for specs in _batches(_parsed(house, file)):
                for invoice_id, address in await _open(house, owner, specs, derive):
                    if lines is None:
                        say(f"{invoice_id} {address}")
                    else:
                        lines.add({"id": invoice_id, "address": address})
                bar.advance(len(specs))
        if lines is not None:
            lines.end()


def _batches(specs: Iterator[InvoiceSpec]) -> Iterator[list[InvoiceSpec]]:
    while batch := list(islice(specs, BATCH)):
        yield batch


async def _open(
    house: House, merchant: str, specs: Sequence[InvoiceSpec], derive: Source
) -> list[tuple[str, str]]:
    async with house.ledger.transaction() as tx:
        reuse = house.settings.invoices.reuse
        opened = await open_invoices(tx, merchant, specs, derive, reuse=reuse)
    return [(invoice_id, checksum(address)) for invoice_id, address in opened]


async def _merchant(house: House, wanted: str | None) -> str:
    """The merchant named, or the only one there is."""
    async with house.ledger.reading() as tx:
        query = sa.select(merchants.c.id).order_by(merchants.c.id).limit(2)
        if wanted is not None:
            query = query.where(merchants.c.id == wanted)
        found = list((await tx.conn.execute(query)).scalars())
    if wanted is not None and not found:
        raise NotFoundError(f"no merchant {wanted[:40]!r}", remedy="bursar merchants list")
    if len(found) != 1:
        count = "no merchant exists" if not found else "there are several merchants"
        remedy = "bursar merchants create" if not found else "name one with --merchant"
        raise InvalidInputError(count, where="--merchant", remedy=remedy)
    return str(found[0])


def _parsed(house: House, file: Path) -> Iterator[InvoiceSpec]:
    rules = InvoiceRules(house.catalogue, house.settings.invoices)
    now = house.clock.now()
    for number, data in _objects(file):
        try:
            yield parse_invoice_request(data, rules, now)
        except InvalidInputError as error:
            where = f"{file}:{number}" + (f": {error.where}" if error.where else "")
            raise InvalidInputError(error.what, where=where, remedy=error.remedy) from None


def _objects(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object); empty lines are skipped."""
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if number > MAX_LINES:
                    raise InvalidInputError(f"more than {MAX_LINES} lines", where=str(file))
                if line.strip():
                    yield number, _object(line, f"{file}:{number}")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidInputError(f"cannot be read: {reason}", where=str(file)) from None


def _object(line: bytes, where: str) -> dict[str, Any]:
    if len(line) > LINE_BYTES:
        raise InvalidInputError("is longer than 1 MiB", where=where)
    try:
        data = msgspec.json.decode(line)
    except (ValueError, RecursionError):
        raise InvalidInputError(
            "is not JSON", where=where, remedy="one object of POST /v1/invoices a line"
        ) from None
    if not isinstance(data, dict):
        raise InvalidInputError("is not a JSON object", where=where)
    return data
