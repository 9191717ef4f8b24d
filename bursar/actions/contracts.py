"""``bursar contracts deploy``: the helper contracts, at the same addresses on every chain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bursar.addresses import owner_of
from bursar.chain_checks import check_chain_id
from bursar.compose import House, open_house
from bursar.output import remark, say, say_json
from chain.client import ChainClient
from chain.deployment import Deployer, deployment_steps
from config.errors import ConflictError
from config.settings import Secrets, Settings
from config.units import Address, checksum
from ledger.lanes import all_lanes
from ledger.migrate import current_revision
from wallets.keyring import KeyRing, open_keyring
from wallets.signer import Signer


class _Payer:
    """A sponsor as deployments take it: raw bytes of what it signs."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    @property
    def address(self) -> Address:
        return self._signer.address

    async def sign_transaction(self, tx: Mapping[str, Any]) -> bytes:
        return (await self._signer.sign_transaction(tx)).raw


async def deploy(settings: Settings, secrets: Secrets, *, chain: str, as_json: bool) -> None:
    """Deploy what is missing; finding all in place is success.

    :raises ConfigError: the chain is another one than configured.
    :raises DeploymentError: as :meth:`chain.deployment.Deployer.deploy`.
    :raises ConflictError: every sponsor's nonces belong to a running lane already.
    """
    async with open_house(settings, secrets, chains=[chain]) as house:
        (configured,) = house.chain_settings()
        client = house.chains[chain]
        await check_chain_id(configured, client)
        ring = open_keyring(settings, secrets)
        signer, sweeper = ring.treasury_signer().address, ring.sponsor("sweeps").address
        steps = deployment_steps(
            owner_of(settings, signer),
            signer,
            sweeper,
            factory=settings.wallets.deposits == "create2",
        )
        done = []
        if not await _all_there(client, [(s.address, s.runtime) for s in steps]):
            payer = await _payer(house, ring, chain)
            remark(f"deploying on {chain}, paid by {checksum(payer.address)}")
            deployer = Deployer(configured.chain_id, client, _Payer(payer), house.clock)
            done = [step.contract for step in await deployer.deploy(steps)]
    if as_json:
        rows = [
            {"contract": s.contract, "address": checksum(s.address), "new": s.contract in done}
            for s in steps
        ]
        say_json({"chain": chain, "contracts": rows})
        return
    for step in steps:
        state = "deployed" if step.contract in done else "in place"
        say(f"{step.contract:14} {checksum(step.address)}  {state}")


async def _all_there(client: ChainClient, wanted: list[tuple[Address, bytes]]) -> bool:
    codes = await client.codes([address for address, _ in wanted])
    return all(code == runtime for code, (_, runtime) in zip(codes, wanted, strict=True))


async def _payer(house: House, ring: KeyRing, chain: str) -> Signer:
    """A sponsor whose nonces the books do not rule yet.

    Once a lane is open the books are the authority on its nonces: a deployment sent from
    its sponsor behind their back would look like a stolen key, and halt the lane.
    """
    opened: set[str] = set()
    if await current_revision(house.ledger.engine) is not None:
        async with house.ledger.reading() as tx:
            opened = {lane.lane for lane in await all_lanes(tx, chain)}
    free = [ring.sponsor(lane) for lane in ("payouts", "sweeps") if lane not in opened]
    if not free:
        raise ConflictError(
            "both sponsors' nonces are in use by the daemon's lanes",
            where=f"chain {chain}",
            remedy="deploy before the chain's first payout",
        )
    funds = [await house.chains[chain].balance(signer.address) for signer in free]
    return free[funds.index(max(funds))]
