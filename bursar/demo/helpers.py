"""Treasury, collector and forwarder, put on the chain as ``bursar contracts deploy`` does it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bursar.addresses import owner_of
from bursar.compose import open_house
from chain.deployment import Deployer, deployment_steps
from config.settings import Secrets, Settings
from config.units import Address
from wallets.keyring import open_keyring
from wallets.signer import Signer


class _Payer:
    """The payout lane's sponsor, before that lane exists: raw bytes of what it signs."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    @property
    def address(self) -> Address:
        return self._signer.address

    async def sign_transaction(self, tx: Mapping[str, Any]) -> bytes:
        return (await self._signer.sign_transaction(tx)).raw


async def deploy_helpers(settings: Settings, secrets: Secrets) -> None:
    """Deploy them on the only chain there is.

    :raises DeploymentError: as :meth:`chain.deployment.Deployer.deploy`.
    """
    (chain,) = settings.chains
    ring = open_keyring(settings, secrets)
    signer = ring.treasury_signer().address
    steps = deployment_steps(owner_of(settings, signer), signer, ring.sponsor("sweeps").address)
    async with open_house(settings, secrets) as house:
        payer = _Payer(ring.sponsor("payouts"))
        client = house.chains[chain.name]
        await Deployer(chain.chain_id, client, payer, house.clock).deploy(steps)
