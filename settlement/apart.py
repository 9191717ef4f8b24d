"""Parts of a tick that do not wait for each other.

A provider that fails at one of them, or a signer, has nothing to say about the others: what a
sweep cannot be estimated for must not keep payouts from being followed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

from chain.rpc.errors import RpcError
from config.catalogue import Token
from config.errors import WalletError
from settlement.context import Context


class Apart:
    """Runs parts one after the other; what stopped any of them is raised once all had their turn.

    Nothing else is caught: where the database or the lease is gone, no part may go on.
    """

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._trouble: list[RpcError | WalletError] = []

    @property
    def failed(self) -> int:
        """How many parts were stopped."""
        return len(self._trouble)

    @contextmanager
    def part(self) -> Iterator[None]:
        """What runs inside may fail by itself."""
        try:
            yield
        except (RpcError, WalletError) as error:
            self._trouble.append(error)

    def end(self) -> None:
        """Tell what stopped parts: the first is raised, the others are noted.

        :raises RpcError: the chain did not answer to one of them.
        :raises WalletError: a signer refused.
        """
        for error in self._trouble[1:]:
            self._ctx.observer.note("part_failed_too", chain=self._ctx.name, error=str(error))
        if self._trouble:
            raise self._trouble[0]


async def of_each(
    ctx: Context, tokens: Sequence[Token], seal: Callable[[Token], Awaitable[int]]
) -> int:
    """Each token by itself; returns how many were sealed of all.

    :raises RpcError: about one token the chain did not answer; the others were looked after.
    :raises WalletError: the same, of a signer.
    """
    sealed = 0
    apart = Apart(ctx)
    for token in tokens:
        with apart.part():
            sealed += await seal(token)
    apart.end()
    return sealed
