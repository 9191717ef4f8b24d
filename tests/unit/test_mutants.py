"""The mutants still fit the code: one that no longer applies would prove nothing, silently."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.mutants.model import Change, Mutant, StaleMutantError, apply
from tests.mutants.registry import GROUPS
from tests.simulation.mutant_list import MUTANTS, Spoilt

ROOT = Path(__file__).resolve().parents[2]
ALL = [mutant for group in GROUPS.values() for mutant in group]


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_mutant__applied_to_a_copy__fits_and_its_tests_exist(
    mutant: Mutant, tmp_path: Path
) -> None:
    for change in mutant.changes:
        target = tmp_path / change.file
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy2(ROOT / change.file, target)
    former = apply(mutant, tmp_path)
    assert all(path.read_text() != text for path, text in former.items())
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}" in (ROOT / file).read_text()


@pytest.mark.parametrize("spoilt", MUTANTS, ids=lambda spoilt: spoilt.name.replace(" ", "_"))
def test_simulator_s_mutant__text_stands_once_in_its_file(spoilt: Spoilt) -> None:
    """The runner stops at one that is stale, and tries none of those behind it."""
    for change in spoilt.changes:
        assert (ROOT / change.file).read_text().count(change.old) == 1, change.file


def test_apply__text_that_is_not_there__refused_and_nothing_written(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    mutant = Mutant("m", (Change("a.py", "x = 1", "x = 2"), Change("a.py", "y", "z")), ())
    with pytest.raises(StaleMutantError):
        apply(mutant, tmp_path)
    assert (tmp_path / "a.py").read_text() == "x = 1\n"
