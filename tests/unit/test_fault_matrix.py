"""The page of faults names real tests, and every row of it."""

from __future__ import annotations

from functools import cache

import pytest

from tests.support import fault_matrix
from tests.support.fault_matrix import PAGE, ROWS, FaultTest

TEXT = PAGE.read_text()


@cache
def all_tests() -> list[FaultTest]:
    """Not at import: that is done once per test process, this by one of them."""
    return fault_matrix.collect()


def test_page__names_a_test__it_exists() -> None:
    missing = fault_matrix.named(TEXT) - {test.name for test in all_tests()}
    assert not missing, f"run `python -m tests.support.fault_matrix`: {sorted(missing)}"


def test_page__names_a_file_for_a_test__it_is_there() -> None:
    missing = fault_matrix.placed(TEXT) - {(test.file, test.name) for test in all_tests()}
    assert not missing, f"run `python -m tests.support.fault_matrix`: {sorted(missing)}"


@pytest.mark.parametrize("row", ROWS)
def test_page__each_row__has_a_test_of_its_own_and_says_what_is_missing(row: str) -> None:
    section = fault_matrix.sections(TEXT)[row]
    assert f"_{row}_" in "".join(fault_matrix.named(section))
    assert "Not covered:" in section


def test_tests__named_after_a_row_that_is_none__there_are_no_such() -> None:
    assert {row for test in all_tests() for row in test.rows} <= set(ROWS)


def test_rewrite__test_renamed__table_follows_and_prose_stays() -> None:
    old = [FaultTest(0, "tests/unit/test_a.py", "test_f01_a__b__c")]
    new = [FaultTest(0, "tests/unit/test_a.py", "test_f01_f02_a__b__d")]
    page = "# Faults\n\n| a | b |\n\n## f01 Reorgs\n\nProse.\n\n| layer |\n\nNot covered: much.\n"
    page = fault_matrix.rewrite(page, old)
    assert fault_matrix.named(page) == {"test_f01_a__b__c"}
    page = fault_matrix.rewrite(page, new)
    assert fault_matrix.placed(page) == {("tests/unit/test_a.py", "test_f01_f02_a__b__d")}
    assert "Prose." in page and "much." in page and "| a | b |" in page
