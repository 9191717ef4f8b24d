"""On which chains the factory of deposit addresses without keys was found, and by whom.

Settlement, which speaks to the chains, writes it; who opens invoices reads it. So a
gateway needs neither keystore nor configuration to know what to hand out and where.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from config.errors import WalletError
from config.units import Address, checksum
from ledger.schema import deposit_factories
from ledger.sources import BoundSource
from ledger.sql import upsert
from ledger.store import Tx


@dataclass(frozen=True, slots=True)
class FoundFactory:
    """One chain's; ``checked_at`` is ``None`` where the code is missing or another one."""

    chain_id: int
    factory: Address
    forwarder: Address
    checked_at: datetime | None


async def found_factories(tx: Tx) -> list[FoundFactory]:
    """What was looked at last, a row per chain."""
    query = sa.select(deposit_factories).order_by(deposit_factories.c.chain_id)
    return [
        FoundFactory(row.chain_id, Address(row.factory), Address(row.forwarder), row.checked_at)
        for row in await tx.conn.execute(query)
    ]


async def note_factory(
    tx: Tx, chain_id: int, factory: Address, forwarder: Address, *, good: bool
) -> None:
    """What settlement saw on a chain. Those of another factory go out of use on every chain:
    an invoice has one address, and it must be the same everywhere."""
    await tx.conn.execute(
        deposit_factories.update()
        .where(deposit_factories.c.factory != factory)
        .values(checked_at=None)
    )
    row = {
        "chain_id": chain_id,
        "factory": factory,
        "forwarder": forwarder,
        "checked_at": tx.now if good else None,
    }
    await upsert(tx, deposit_factories, [row], key=("chain_id",))


class FactorySource(BoundSource):
    """Hands out a factory's addresses, for :func:`ledger.invoices.create_invoices`.

    :param derive: (factory, forwarder, first index, count) → addresses.
    :param mark: writes the journal's high-water mark before an index is used.
    :param factory: the installation's own; ``None`` where it is not known here.
    """

    why_missing = "the deposit factory was not found on it"

    def __init__(
        self,
        derive: Callable[[Address, Address, int, int], list[Address]],
        mark: Callable[[int, int], None],
        factory: Address | None,
    ) -> None:
        self._derive = derive
        self._mark = mark
        self._factory = factory

    async def take(self, tx: Tx, first: int, count: int) -> tuple[list[Address], set[int]]:
        """:raises WalletError: no chain's factory has been found, or it is not ours."""
        found = [f for f in await found_factories(tx) if f.checked_at is not None]
        if not found:
            raise WalletError(
                "no chain's deposit factory has been found yet",
                where="deposit addresses",
                remedy="bursar contracts deploy; settlement looks for it once it runs",
            )
        factory, forwarder = found[0].factory, found[0].forwarder
        if self._factory not in (None, factory):
            raise WalletError(
                f"the books hold the factory {checksum(factory)}, this process has "
                f"{checksum(self._factory or factory)}",
                where="deposit addresses",
                remedy="run every process with the same wallets.owner and keystore",
            )
        self._mark(first, count)
        return self._derive(factory, forwarder, first, count), {f.chain_id for f in found}
