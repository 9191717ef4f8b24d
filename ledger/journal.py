"""The journal: an append-only file outside the database, for the day it is restored.

What it guarantees: a record is on the disk before :meth:`Journal.append` returns;
writers of one machine never mix their lines; a line that was cut off by a crash is
recognised and cut; a line that was damaged later is refused, never skipped.

What it does not: survive the loss of its own disk. It belongs on another one than
the database, or at least into another backup.

Each line is ``{"sum":"<16 digits>","record":{…}}``; the sum is the start of the
record's SHA-256.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from config.errors import DatabaseError
from config.units import Address
from ledger.journal_records import IndexMark, Record, decode_record, encode_record

INDEX_STEP: Final = 1_000
"""Derivation indexes that one record covers: one write to the disk per so many invoices."""
LOST_INDEXES: Final = 1_000_000
"""Left out where a journal was lost: more than are handed out between a backup and a loss. An
xpub has 2³¹ of them."""
PRESIGNED_STEP: Final = 20
"""The same where each address was signed offline and is not to be wasted."""
_SUM_DIGITS: Final = 16
_HEAD: Final = b'{"sum":"'
_MIDDLE: Final = b'","record":'


class JournalError(DatabaseError):
    """The journal cannot be read or written: nothing may be sent or handed out."""


class Journal:
    """An open journal; made by :func:`open_journal`. Safe to use from several threads."""

    def __init__(self, path: Path, next_index: int, *, marked: bool) -> None:
        self.path = path
        self.marked = marked
        """Whether it has ever been counted from; every daemon sees to it at its start."""
        self._next_index = next_index
        self._reserving = threading.Lock()

    @property
    def next_index(self) -> int:
        """Derivation indexes below it may have been handed out."""
        return self._next_index

    def append(self, *records: Record) -> None:
        """Write and sync these records, all or none of them complete.

        :raises JournalError: it could not be done; act as if nothing was promised.
        """
        lines = b"".join(_line(encode_record(record)) for record in records)
        with _locked(self.path) as file:
            _cut_torn(file)
            file.seek(0, os.SEEK_END)
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())

    def records(self) -> Iterator[Record]:
        """Every record, oldest first, read as they are asked for.

        :raises JournalError: a line is damaged.
        """
        with _locked(self.path) as file:
            _cut_torn(file)
            end = os.fstat(file.fileno()).st_size
        return _records(self.path, end)

    def reserve_indexes(self, first: int, count: int, *, step: int = INDEX_STEP) -> None:
        """Before indexes ``first … first + count - 1`` are handed out: a mark above them.

        Called while the transaction that takes them is open. It waits for the disk once
        per ``step`` invoices. A crash between mark and commit costs indexes that nobody
        ever saw, and so does a restart: up to ``step`` of them.

        :raises JournalError: hand out nothing.
        """
        with self._reserving:
            if first + count <= self._next_index:
                return
            mark = first + count + step
            self.append(IndexMark(mark))
            self._next_index, self.marked = mark, True

    def mark(self) -> None:
        """Say that it is counted from here on, if nothing says so yet.

        :raises JournalError: it could not be written.
        """
        with self._reserving:
            if not self.marked:
                self.append(IndexMark(self._next_index))
                self.marked = True

    def guarding(
        self, derive: Callable[[int, int], Sequence[Address]]
    ) -> Callable[[int, int], Sequence[Address]]:
        """``derive`` for :func:`ledger.invoices.create_invoices`, each index marked first."""

        def guarded(first: int, count: int) -> Sequence[Address]:
            self.reserve_indexes(first, count)
            return derive(first, count)

        return guarded


def open_journal(path: Path, installation: str) -> Journal:
    """Open or begin the journal of one installation, checking every line.

    :param installation: which database it belongs to (:mod:`ledger.installation`).
    :raises JournalError: it belongs to another database, is damaged, or cannot be opened.
    """
    try:
        fresh = not path.exists()
        path.touch(mode=0o600)
        if fresh:
            _sync_folder(path.parent)
    except OSError as error:
        raise _trouble(path, error) from error
    with _locked(path) as file:
        _cut_torn(file)
        if os.fstat(file.fileno()).st_size == 0:
            file.write(
                _line(json.dumps({"kind": "journal", "installation": installation}).encode())
            )
            file.flush()
            os.fsync(file.fileno())
            return Journal(path, 0, marked=False)
        _check_owner(path, file, installation)
        end = os.fstat(file.fileno()).st_size
    marks = [r.next_index for r in _records(path, end) if isinstance(r, IndexMark)]
    return Journal(path, max(marks, default=0), marked=bool(marks))


def succeed_journal(path: Path, installation: str) -> Journal:
    """Begin a new database's journal where another's lies: that one is kept beside it.

    Its mark is carried over: the seed may be the same, and an address that people were
    given must not be given again.

    :raises JournalError: as :func:`open_journal`.
    """
    owner = journal_owner(path)
    if owner is None or owner == installation:
        return open_journal(path, installation)
    former = open_journal(path, owner)
    try:
        path.rename(path.with_name(f"{path.name}.{owner[:8]}"))
    except OSError as error:
        raise _trouble(path, error) from error
    journal = open_journal(path, installation)
    if former.next_index > 0:
        journal.reserve_indexes(0, former.next_index)
    return journal


def journal_owner(path: Path) -> str | None:
    """The installation that a journal belongs to; ``None`` where there is none yet.

    :raises JournalError: the file is something else.
    """
    if not path.exists() or path.stat().st_size == 0:
        return None
    with _locked(path) as file:
        return _owner(path, file)


def _owner(path: Path, file: BinaryIO) -> str:
    file.seek(0)
    try:
        return str(json.loads(_body(file.readline()))["installation"])
    except (ValueError, KeyError, TypeError):
        raise JournalError("is not a journal of Bursar", where=str(path)) from None


def _check_owner(path: Path, file: BinaryIO, installation: str) -> None:
    owner = _owner(path, file)
    if owner != installation:
        raise JournalError(
            "belongs to another database than the one that is configured",
            where=str(path),
            remedy="restore that database's backup; or, if this is a new installation, move the "
            "file away",
        )


def _records(path: Path, end: int) -> Iterator[Record]:
    try:
        with path.open("rb") as file:
            number = 0
            while file.tell() < end:
                number += 1
                line = file.readline()
                if number == 1:
                    continue
                try:
                    yield decode_record(_body(line))
                except ValueError:
                    raise JournalError(
                        "is damaged",
                        where=f"{path}:{number}",
                        remedy="take the copy of its backup; nothing is paid before that",
                    ) from None
    except OSError as error:
        raise _trouble(path, error) from error


def _line(body: bytes) -> bytes:
    return _HEAD + _sum(body) + _MIDDLE + body + b"}\n"


def _sum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:_SUM_DIGITS].encode()


def _body(line: bytes) -> bytes:
    """A line's record.

    :raises ValueError: cut off, or not what was written.
    """
    start = len(_HEAD) + _SUM_DIGITS + len(_MIDDLE)
    body = line[start:-2]
    if line != _line(body):
        raise ValueError("a damaged line")
    return body


def _cut_torn(file: BinaryIO) -> None:
    """Cut the last line where a crash left it incomplete: what it told of was never acted on."""
    end = file.seek(0, os.SEEK_END)
    if end == 0:
        return
    start = _start_of_last_line(file, end)
    file.seek(start)
    try:
        _body(file.read(end - start))
    except ValueError:
        file.truncate(start)
        file.flush()
        os.fsync(file.fileno())


def _start_of_last_line(file: BinaryIO, end: int) -> int:
    at, step = end - 1, 64 * 1024  # the last byte may be the line's own end
    while at > 0:
        start = max(at - step, 0)
        file.seek(start)
        found = file.read(at - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        at = start
    return 0


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """The file under its lock; never made here: one that is missing is trouble, not a beginning.

    :raises JournalError: for whatever goes wrong with it, also while it is closed: a full disk
        refuses the same bytes once more there.
    """
    try:
        with path.open("r+b") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
            yield file
    except OSError as error:
        raise _trouble(path, error) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _trouble(path: Path, error: OSError) -> JournalError:
    return JournalError(
        f"journal: {error.strerror or type(error).__name__}",
        where=str(path),
        remedy="see that the file is there, writable, and its disk is not full",
    )
