"""Every chance is a hash of (seed, what it is about, how often that was asked).

No generator is shared: a question added or asked in another order leaves every
other answer as it was, so that a seed replays exactly, and a mutant meets the
same faults as the original for as long as it asks the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")
_SCALE = 2**64


class Dice:
    """Chances of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._asked: Counter[str] = Counter()

    def draw(self, about: str) -> int:
        """64 bits."""
        times = self._asked[about]
        self._asked[about] = times + 1
        text = f"{self.seed}|{about}|{times}".encode()
        return int.from_bytes(blake2b(text, digest_size=8).digest())

    def fixed(self, about: str) -> int:
        """64 bits that are the same however often they are asked for."""
        return int.from_bytes(blake2b(f"{self.seed}|={about}".encode(), digest_size=8).digest())

    def chance(self, about: str, probability: float) -> bool:
        """True with this probability."""
        return probability > 0 and self.draw(about) < probability * _SCALE

    def between(self, about: str, low: int, high: int) -> int:
        """``low … high``, both included."""
        return low + self.draw(about) % (high - low + 1)

    def pick(self, about: str, choices: Sequence[T]) -> T:
        """One of them."""
        return choices[self.draw(about) % len(choices)]

    def seconds(self, about: str, low: float, high: float) -> float:
        """Uniform, in milliseconds' steps."""
        return self.between(about, int(low * 1000), int(high * 1000)) / 1000
