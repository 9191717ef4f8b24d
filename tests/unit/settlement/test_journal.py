"""The journal: whole lines, torn lines, damaged lines, two writers, whose it is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.units import Address, Hash32
from ledger.installation import installation_id, raise_index
from ledger.invoices import InvoiceSpec, create_invoices
from ledger.journal import INDEX_STEP, JournalError, open_journal
from ledger.journal_records import (
    AttemptRecord,
    BatchRecord,
    IndexMark,
    PayoutEntry,
    SweepEntry,
    decode_record,
    encode_record,
)
from tests.support.books import Books

ATTEMPT = AttemptRecord(
    "anvil", "payouts", Address(b"\x01" * 20), 7, 0, "payout", "anvil/0/3",
    Hash32(b"\x02" * 32), b"\x00\xffraw", 21000, 10**18, 1,
)  # fmt: skip
BATCH = BatchRecord(
    key="anvil/0/3",
    chain="anvil",
    lane="payouts",
    purpose="payout",
    token="USDC",
    epoch=0,
    onchain_id=3,
    content_hash=Hash32(b"\x03" * 32),
    target=Address(b"\x04" * 20),
    value=2**200,
    calldata=b"\x05\x06",
    authorizations=({"chainId": 1, "address": "0xab", "r": 2**255, "s": 1},),
    sealed_block=9,
    payouts=(PayoutEntry("po_1", "mer_1", "settlement", 2**90, Address(b"\x07" * 20), "run_1"),),
    sweeps=(SweepEntry(Address(b"\x08" * 20), 5, 2**90),),
)


@given(st.integers(0, 2**256 - 1), st.binary(max_size=100), st.integers(0, 2**62))
def test_record__encoded_and_decoded__the_same(amount: int, data: bytes, nonce: int) -> None:
    for record in (
        IndexMark(nonce),
        BatchRecord(
            **{
                **{n: getattr(BATCH, n) for n in BatchRecord.__dataclass_fields__},
                "value": amount,
                "calldata": data,
            }
        ),
        ATTEMPT,
    ):
        assert decode_record(encode_record(record)) == record


def test_record__written_before_invoices_were_kept__read_without_one() -> None:
    line = encode_record(BATCH)
    older = line.replace(b',"invoice_id":null', b"")
    assert older != line
    assert decode_record(older) == BATCH


def test_append__read_by_another__the_same_records_in_order(tmp_path: Path) -> None:
    path = tmp_path / "j"
    open_journal(path, "inst").append(BATCH, ATTEMPT)
    open_journal(path, "inst").append(ATTEMPT)
    assert list(open_journal(path, "inst").records()) == [BATCH, ATTEMPT, ATTEMPT]
    assert path.stat().st_mode & 0o777 == 0o600


def test_f20_torn_last_line__cut_at_every_byte__what_was_whole_remains(tmp_path: Path) -> None:
    path = tmp_path / "j"
    open_journal(path, "inst").append(BATCH)
    before = path.read_bytes()
    open_journal(path, "inst").append(ATTEMPT)
    after = path.read_bytes()
    for end in range(len(before), len(after)):
        path.write_bytes(after[:end])
        journal = open_journal(path, "inst")
        assert list(journal.records()) == [BATCH]
        journal.append(ATTEMPT)
        assert path.read_bytes() == after


def test_f20_torn_line_of_a_writer_that_died__cut_by_the_next_append(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = open_journal(path, "inst")
    with path.open("ab") as file:
        file.write(b'{"sum":"0123')
    journal.append(ATTEMPT)
    assert list(journal.records()) == [ATTEMPT]


def test_f20_damaged_line_in_the_middle__refused_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "j"
    open_journal(path, "inst").append(BATCH, ATTEMPT)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"po_1", b"po_2")
    path.write_bytes(b"".join(lines))
    with pytest.raises(JournalError, match=":2: is damaged"):
        open_journal(path, "inst")


def test_open__another_installation_or_another_file__refused(tmp_path: Path) -> None:
    path = tmp_path / "j"
    open_journal(path, "inst")
    with pytest.raises(JournalError, match="another database"):
        open_journal(path, "other")
    path.write_text("not ours\nat all\n")
    with pytest.raises(JournalError):
        open_journal(path, "inst")


def test_append__file_taken_away__refused_and_not_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = open_journal(path, "inst")
    path.unlink()
    with pytest.raises(JournalError, match="No such file"):
        journal.append(ATTEMPT)
    assert not path.exists()


def test_f12_append__disk_full__refused_with_the_remedy_and_taken_up_with_room(
    tmp_path: Path,
) -> None:
    journal = open_journal(tmp_path / "j", "inst")
    journal.path.rename(tmp_path / "aside")
    journal.path.symlink_to("/dev/full")
    with pytest.raises(JournalError, match=r"No space left on device \(see that .* not full\)"):
        journal.append(ATTEMPT)
    with pytest.raises(JournalError, match="No space left"):
        journal.reserve_indexes(0, 1)
    journal.path.unlink()
    (tmp_path / "aside").rename(journal.path)
    journal.append(ATTEMPT)
    assert list(journal.records()) == [ATTEMPT]
    assert journal.next_index == 0, "what could not be marked was not handed out"


def test_append__eight_writers_at_once__no_line_is_mixed(tmp_path: Path) -> None:
    path = tmp_path / "j"
    open_journal(path, "inst")

    def write(_: int) -> None:
        journal = open_journal(path, "inst")
        for _ in range(20):
            journal.append(BATCH, ATTEMPT)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    found = list(open_journal(path, "inst").records())
    assert found == [BATCH, ATTEMPT] * 160


def test_reserve_indexes__one_write_per_step__mark_always_above(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = open_journal(path, "inst")
    for index in range(INDEX_STEP + 1):
        journal.reserve_indexes(index, 1)
        assert open_journal(path, "inst").next_index > index
    assert len(list(journal.records())) == 1
    journal.reserve_indexes(INDEX_STEP + 1, 1)
    assert len(list(journal.records())) == 2


async def test_f20_index_from_a_restored_database__never_handed_out_again(
    books: Books, tmp_path: Path
) -> None:
    async with books.ledger.transaction() as tx:
        name = await installation_id(tx)
        assert await installation_id(tx) == name
    journal = open_journal(tmp_path / "j", name)
    handed: list[int] = []

    def derive(first: int, count: int) -> list[Address]:
        handed.extend(range(first, first + count))
        return [Address(index.to_bytes(20)) for index in range(first, first + count)]

    guarded = journal.guarding(derive)
    guarded(0, 3)
    # The database forgets; the journal does not.
    reopened = open_journal(tmp_path / "j", name)
    async with books.ledger.transaction() as tx:
        assert await raise_index(tx, reopened.next_index)
        assert not await raise_index(tx, reopened.next_index)
        await create_invoices(tx, "mer_1", [_spec(books)], reopened.guarding(derive))
    assert handed[-1] >= journal.next_index > 2


def _spec(books: Books) -> InvoiceSpec:
    later = books.clock.now() + timedelta(hours=1)
    return InvoiceSpec(1, "USD", (books.ledger.catalogue.token("anvil", "USDC"),), later, later)
