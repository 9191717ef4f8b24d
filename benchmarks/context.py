"""What every measurement is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.books import Cache
from benchmarks.figures import Figure
from benchmarks.sizes import Sizes


@dataclass(frozen=True)
class Context:
    """``folder``: empty, and removed afterwards; ``tell``: a line on how far it is."""

    sizes: Sizes
    cache: Cache
    folder: Path
    tell: Callable[[str], None]


Measure = Callable[[Context], list[Figure]]
