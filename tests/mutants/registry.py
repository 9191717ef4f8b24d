"""Every group of mutants by its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.mutants.model import Mutant
from tests.mutants.paying import PAYING

GROUPS: Final[dict[str, Sequence[Mutant]]] = {
    "paying": PAYING,
}
