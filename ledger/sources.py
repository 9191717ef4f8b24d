"""Where deposit addresses come from when not every chain can collect from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from config.units import Address
from ledger.store import Tx

Derive = Callable[[int, int], Sequence[Address]]
"""(first index, count) → deposit addresses, good on every chain."""


class BoundSource(ABC):
    """Addresses that only the chains named with them can collect from."""

    why_missing: str
    """Why a chain is not among them, as it is told to people."""

    @abstractmethod
    async def take(self, tx: Tx, first: int, count: int) -> tuple[list[Address], set[int]]:
        """Addresses of these indexes, and the ids of the chains that can collect from them all.

        :raises WalletError: no chain can, or there are not so many; nothing was handed out.
        """


Source = Derive | BoundSource
