"""``bursar invoices import``: one JSON object of ``POST /v1/invoices`` a line.

The file is checked whole before the first invoice is opened, so that a typing
error in line 90,000 leaves nothing behind. What is committed is committed: a
crash half-way leaves the invoices printed so far, and running the file again
opens new ones for all its lines.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final

import msgspec
import sqlalchemy as sa

from bursar.compose import House, open_house
from bursar.output import JsonLines, progress, say
from bursar.startup import address_source, check_deposit_xpub, prepare_journal
from config.errors import InvalidInputError, NotFoundError
from config.settings import Secrets, Settings
from config.units import checksum
from gateway.invoicing import InvoiceRules, parse_invoice_request
from ledger.invoices import InvoiceSpec, open_invoices
from ledger.migrate import require_current
from ledger.schema import merchants
from ledger.sources import Derive, Source
from wallets.derivation import DepositDeriver
from wallets.deriving import deriving_beside

BATCH: Final = 500
"""Invoices a transaction: the counter's lock is free for the API between them."""
WORTH_A_PROCESS: Final = 2_000
"""Lines whose addresses take longer to derive than a process to start."""
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
        journal = await prepare_journal(house)
        await check_deposit_xpub(house)
        lines = JsonLines() if as_json else None
        with ExitStack() as stack:
            # In a file and not in memory: a million lines take the memory of one batch.
            checked = stack.enter_context(TemporaryFile())
            count = _keep(_parsed(house, file), checked)
            derive = address_source(settings, secrets, journal, deriving=_deriving(stack, count))
            bar = stack.enter_context(progress("opening invoices", count))
            for specs in _kept(checked):
                for invoice_id, address in await _open(house, owner, specs, derive):
                    if lines is None:
                        say(f"{invoice_id} {address}")
                    else:
                        lines.add({"id": invoice_id, "address": address})
                bar.advance(len(specs))
        if lines is not None:
            lines.end()


def _keep(specs: Iterator[InvoiceSpec], checked: IO[bytes]) -> int:
    """All of them into ``checked``, a batch after the other; returns how many.

    :raises InvalidInputError: a line is wrong, or there is no room.
    """
    count = 0
    try:
        while batch := list(islice(specs, BATCH)):
            pickle.dump(batch, checked, pickle.HIGHEST_PROTOCOL)
            count += len(batch)
        checked.seek(0)
    except OSError as error:
        with suppress(OSError):
            checked.close()  # here, since it tries once more to write what found no room
        raise InvalidInputError(
            f"a copy of what was checked cannot be kept: {error.strerror}",
            where="temporary folder",
            remedy="make room there, or name another in TMPDIR",
        ) from None
    return count


def _kept(checked: IO[bytes]) -> Iterator[list[InvoiceSpec]]:
    while True:
        try:
            yield pickle.load(checked)  # noqa: S301 - a file without a name, written just now
        except EOFError:
            return


def _deriving(stack: ExitStack, count: int) -> Callable[[DepositDeriver], Derive]:
    def derive(deriver: DepositDeriver) -> Derive:
        if count < WORTH_A_PROCESS:
            return deriver.addresses
        return stack.enter_context(deriving_beside(deriver)).addresses

    return derive


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
