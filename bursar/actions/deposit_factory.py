"""What the doctor says about deposit addresses without keys."""

from __future__ import annotations

from bursar.actions.finding import Finding
from bursar.addresses import OwnAddresses
from bursar.compose import House
from config.errors import BursarError
from config.units import Address, checksum
from ledger.deposit_factories import FoundFactory, found_factories


async def factory_findings(house: House, own: OwnAddresses | BursarError) -> list[Finding]:
    """A line per configured chain: whether invoices offer it."""
    if isinstance(own, BursarError):
        return []  # the contracts have a line of their own
    try:
        async with house.ledger.reading() as tx:
            found = {f.chain_id: f for f in await found_factories(tx)}
    except BursarError:
        return []  # the database has a line of its own
    return [
        factory_finding(chain.name, found.get(chain.chain_id), own.contracts.factory)
        for chain in house.settings.chains
    ]


def factory_finding(chain: str, found: FoundFactory | None, factory: Address) -> Finding:
    """Pure."""
    subject = f"{chain} deposit addresses"
    if found is None:
        return Finding(True, subject, "offered once settlement has run and seen the factory")
    if found.factory != factory:
        text = (
            f"settlement ran with the factory {checksum(found.factory)}, this configuration has "
            f"{checksum(factory)} (wallets.owner and the keystore must stay what they were)"
        )
        return Finding(False, subject, text)
    if found.checked_at is None:
        return Finding(False, subject, "settlement did not find the factory: not offered")
    return Finding(True, subject, "no keys; the factory was seen, the chain is offered")
