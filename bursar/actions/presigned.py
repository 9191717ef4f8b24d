"""``bursar wallets presign``, ``import-presigned`` and ``online-keystore``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Final

from eth_utils.crypto import keccak

from bursar.actions.finding import Finding
from bursar.addresses import OwnAddresses, own_addresses
from bursar.compose import House, open_house
from bursar.output import progress, say
from chain.deployment import deployment_steps
from config.chains import DEVELOPMENT_IDS, TEST_CHAIN_IDS
from config.clock import Entropy
from config.errors import BursarError, ConfigError, InvalidInputError
from config.registry import registered_by_id, registry
from config.settings import Secrets, Settings
from config.units import Address, Hash32, checksum, parse_address
from ledger.migrate import require_current
from ledger.presigned import (
    SIGNATURE_BYTES,
    PresignedRow,
    PresignedSet,
    complete_sets,
    is_lost,
    left_of,
    next_index_of,
    open_sets,
    other_addresses,
    presigned_sets_of,
    store_presigned,
)
from wallets.derivation import HARDENED
from wallets.keyring import KeyRing, offline_keyring, online_keystore
from wallets.presigned import (
    Header,
    PresignedAddress,
    PresignedReader,
    PresignedWriter,
    authorization_digest,
)

CHUNK: Final = 1_000
"""Addresses a transaction: a daemon beside the import waits for one chunk at most."""
_LOW_SHARE: Final = 10
_ADDRESS_BYTES: Final = 20


@dataclass(frozen=True)
class DelegateParts:
    """What the forwarder's address follows from, where it is not this machine's own."""

    owner: str | None = None
    treasury_signer: str | None = None
    sweeper: str | None = None


def presign(
    settings: Settings,
    secrets: Secrets,
    *,
    chains: Sequence[str],
    first: int,
    count: int,
    output: Path,
    parts: DelegateParts,
) -> None:
    """Sign ``count`` addresses from index ``first`` for these chains; touches no network.

    :raises BursarError: a chain is unknown, no owner is set, the seed cannot be opened, or the
        file exists.
    """
    if not (0 <= first < HARDENED and 0 < count <= HARDENED - first):
        raise InvalidInputError("are outside 0 … 2147483647", where="--first and --count")
    chain_ids = [_chain_id(settings, name) for name in chains]
    if not chain_ids or len(set(chain_ids)) != len(chain_ids):
        raise InvalidInputError("names a chain twice, or none", where="--chains")
    ring = offline_keyring(settings, secrets)
    delegate, code_hash = _delegate(settings, ring, parts, chain_ids)
    header = Header(first, count, tuple(chain_ids), delegate, code_hash)
    digests = [authorization_digest(chain_id, delegate) for chain_id in chain_ids]
    with _new_file(output) as file, progress("signing", count) as bar:
        writer = PresignedWriter(file, header)
        for start in range(first, first + count, CHUNK):
            indexes = range(start, min(start + CHUNK, first + count))
            for index in indexes:
                writer.add(*ring.presign(index, digests))
            bar.advance(len(indexes))
        writer.end()
    say(f"wrote {output}: addresses {first} to {first + count - 1}, {len(chain_ids)} chain(s)")
    say(f"they delegate to {checksum(delegate)}: compare it with the forwarder that")
    say('"bursar wallets show" prints on the daemon, before you carry the file there')


def write_online_keystore(
    settings: Settings, secrets: Secrets, entropy: Entropy, *, output: Path
) -> None:
    """Write the keystore for the daemon: everything but the deposit seed and its xpub."""
    ring = online_keystore(settings, secrets, entropy, output)
    say(f"wrote {output}: same passphrase, no deposit keys")
    say(f"treasury signer  {checksum(ring.treasury_signer().address)}")


async def import_presigned(
    settings: Settings, secrets: Secrets, *, file: Path, hand_out_from: int | None = None
) -> None:
    """Verify every signature of the file, then take it in, whole or not at all.

    :param hand_out_from: leave out lower indexes: people may have been given them.
    :raises InvalidInputError: a line is wrong, names file and line; or the journal was lost and
        nobody says from where to hand out. Nothing is imported.
    """
    async with open_house(settings, secrets, chains=[]) as house:
        await import_in(house, file, hand_out_from)


async def import_in(house: House, file: Path, hand_out_from: int | None = None) -> None:
    """:func:`import_presigned` in an open house."""
    deposits = house.settings.wallets.deposits
    if deposits != "presigned":
        raise ConfigError(f'is "{deposits}"', where="wallets.deposits", remedy='set "presigned"')
    forwarder = own_addresses(house.settings, house.secrets).contracts.forwarder
    await require_current(house.ledger.engine)
    await _check_known(house, hand_out_from)
    with _opened(file) as source, tempfile.TemporaryFile() as verified:
        reader = PresignedReader(source, str(file))
        _check_delegate(reader.header, forwarder, str(file))
        await _verify(house, reader, verified, str(file))
        verified.seek(0)
        gained = await _store(house, reader.header, verified, str(file), hand_out_from)
    header = reader.header
    last = header.first + header.count - 1
    say(f"addresses {header.first} to {last} are imported, {max(gained, 0)} of them new")


async def presigned_findings(house: House, own: OwnAddresses | BursarError) -> list[Finding]:
    """For the doctor, a line per configured chain."""
    if isinstance(own, BursarError):
        return []  # the contracts have a line of their own
    try:
        async with house.ledger.reading() as tx:
            sets, after = await presigned_sets_of(tx), await next_index_of(tx)
    except BursarError:
        return []  # the database has a line of its own
    return [
        presigned_finding(
            chain.name,
            [s for s in sets if s.chain_id == chain.chain_id],
            own.contracts.forwarder,
            after,
        )
        for chain in house.settings.chains
    ]


def presigned_finding(
    chain: str, sets: Sequence[PresignedSet], forwarder: Address, after: int
) -> Finding:
    """Whether what was signed for a chain can be swept by this configuration's forwarder. Pure.

    :param after: the index that is handed out next.
    """
    subject = f"{chain} presigned addresses"
    if not sets:
        return Finding(False, subject, "none: the chain is not offered (import-presigned)")
    known = next((s for s in sets if s.delegate == forwarder), None)
    if known is None:
        text = (
            f"signed for the forwarder {checksum(sets[-1].delegate)}, this configuration's is "
            f"{checksum(forwarder)}: nothing here can be swept (wallets.owner and the keystore "
            "must stay what they were, or presign anew)"
        )
        return Finding(False, subject, text)
    if known.checked_at is None:
        text = "the forwarder's code was not found on chain yet: the chain is not offered"
        return Finding(False, subject, text)
    left, total = left_of(known, after), known.next_index - known.first_index
    low = left * _LOW_SHARE < total
    more = " (presign more on the offline machine)" if low else ""
    return Finding(not low, subject, f"{left} of {total} are left{more}")


def _chain_id(settings: Settings, name: str) -> int:
    for chain in settings.chains:
        if chain.name == name:
            return chain.chain_id
    entry = registry().get(name)
    if entry is not None:
        return int(entry["chain_id"])
    if name.isascii() and name.isdigit() and int(name) > 0:
        return int(name)
    raise InvalidInputError(
        f"no chain {name[:60]!r} is configured or built in",
        where="--chains",
        remedy="give its name or its chain id",
    )


def _delegate(
    settings: Settings, ring: KeyRing, parts: DelegateParts, chain_ids: Sequence[int]
) -> tuple[Address, Hash32]:
    """The forwarder and the hash of its code, as every chain will have them."""
    signer = _given(parts.treasury_signer, "--treasury-signer") or ring.treasury_signer().address
    sweeper = _given(parts.sweeper, "--sweeper") or ring.sponsor("sweeps").address
    owner = _given(parts.owner, "--owner") or settings.wallets.owner
    real = [str(i) for i in chain_ids if not _is_test(settings, i)]
    if owner is None and real:
        raise ConfigError(
            f"is not set, and chain id {', '.join(real)} may hold real money",
            where="wallets.owner",
            remedy="set it, or give --owner: the forwarder's address follows from it",
        )
    forwarder = deployment_steps(Address(owner or signer), signer, sweeper)[2]
    return forwarder.address, Hash32(bytes(keccak(forwarder.runtime)))


def _is_test(settings: Settings, chain_id: int) -> bool:
    configured = next((c for c in settings.chains if c.chain_id == chain_id), None)
    if configured is not None:
        return configured.is_test
    entry = registered_by_id(chain_id) or {}
    known = chain_id in TEST_CHAIN_IDS or chain_id in DEVELOPMENT_IDS
    return known or bool(entry.get("is_test"))


def _given(text: str | None, where: str) -> Address | None:
    try:
        return None if text is None else parse_address(text)
    except ValueError as error:
        raise InvalidInputError(str(error), where=where) from None


def _check_delegate(header: Header, forwarder: Address, name: str) -> None:
    if header.delegate != forwarder:
        raise InvalidInputError(
            f"is signed for the forwarder {checksum(header.delegate)}, "
            f"this installation's is {checksum(forwarder)}",
            where=name,
            remedy="presign with this installation's owner, treasury signer and sweeper",
        )


async def _check_known(house: House, hand_out_from: int | None) -> None:
    """After the journal was lost, only people know what else had been imported by then."""
    async with house.ledger.reading() as tx:
        lost = await is_lost(tx)
    if lost and hand_out_from is None:
        raise InvalidInputError(
            "is missing, and the journal was lost: addresses imported since the backup may have "
            "been handed out",
            where="--hand-out-from",
            remedy="give the index above every file that was ever imported; or, where none was "
            "since the backup, release the hold (bursar holds list)",
        )


async def _verify(house: House, reader: PresignedReader, out: IO[bytes], name: str) -> None:
    """Write each verified line to ``out`` as a record of fixed size, which nobody can change."""
    with progress("verifying", reader.header.count) as bar:
        chunk: list[tuple[int, Address]] = []
        for line in reader.addresses():
            out.write(line.address + b"".join(map(_packed, _signatures(line))))
            chunk.append((line.index, line.address))
            if len(chunk) == CHUNK:
                await _compare(house, chunk, name)
                bar.advance(len(chunk))
                chunk = []
        if chunk:
            await _compare(house, chunk, name)
            bar.advance(len(chunk))


def _signatures(line: PresignedAddress) -> Iterator[tuple[int, int, int]]:
    return ((s.r, s.s, s.y_parity) for s in line.signatures)


def _packed(signature: tuple[int, int, int]) -> bytes:
    r, s, y_parity = signature
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([y_parity])


async def _compare(house: House, chunk: Sequence[tuple[int, Address]], name: str) -> None:
    async with house.ledger.reading() as tx:
        other = await other_addresses(tx, chunk)
    if other:
        raise InvalidInputError(
            f"index {other[0]} has another address here already",
            where=name,
            remedy="the file is of another seed; nothing was imported",
        )


async def _store(
    house: House, header: Header, records: IO[bytes], name: str, hand_out_from: int | None
) -> int:
    """Write the rows, chunk by chunk, then open them all in one commit."""
    size = _ADDRESS_BYTES + SIGNATURE_BYTES * len(header.chain_ids)
    try:
        async with house.ledger.transaction() as tx:
            sets = await open_sets(
                tx, header.chain_ids, header.delegate, header.code_hash, header.first
            )
        with progress("storing", header.count) as bar:
            for start in range(header.first, header.first + header.count, CHUNK):
                count = min(CHUNK, header.first + header.count - start)
                data = records.read(size * count)
                rows = [
                    _row(start + n, data[n * size : (n + 1) * size], sets) for n in range(count)
                ]
                async with house.ledger.transaction() as tx:
                    await store_presigned(tx, rows)
                bar.advance(count)
        async with house.ledger.transaction() as tx:
            ids = [s.id for s in sets]
            return await complete_sets(
                tx, ids, header.first, header.count, hand_out_from=hand_out_from
            )
    except InvalidInputError as error:
        raise InvalidInputError(error.what, where=name, remedy=error.remedy) from None


def _row(index: int, record: bytes, sets: Sequence[PresignedSet]) -> PresignedRow:
    parts = record[_ADDRESS_BYTES:]
    signatures = {
        known.id: parts[n * SIGNATURE_BYTES : (n + 1) * SIGNATURE_BYTES]
        for n, known in enumerate(sets)
    }
    return PresignedRow(index, Address(record[:_ADDRESS_BYTES]), signatures)


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    try:
        opened = file.open("rb")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidInputError(f"cannot be read: {reason}", where=str(file)) from None
    with opened:
        yield opened


@contextmanager
def _new_file(path: Path) -> Iterator[Any]:
    """A new file, mode 0600, there only once it is whole; never over an existing one."""
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        raise InvalidInputError(
            "exists already and is never overwritten", where=str(path), remedy="move it away"
        ) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidInputError(f"cannot be written: {reason}", where=str(path)) from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
