"""Everything around the daemon: chain, tokens, contracts, configuration, keys.

Keys are drawn fresh for every demo. Anvil's well-known accounts are the
customers; the house never uses them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bursar.addresses import own_addresses
from bursar.demo.board import Board
from bursar.demo.config_text import config_text
from bursar.demo.daemon import environment
from bursar.demo.helpers import deploy_helpers
from bursar.demo.story import BY_SYMBOL, COINS, LOOK_ALIKE_UNITS, SCENES
from bursar.demo.street import Street
from chain.anvil import Anvil, AnvilOptions, DevRpc
from chain.deployment import HelperContracts
from config.clock import Clock, Entropy
from config.settings import Secrets, Settings, load_secrets, load_settings
from config.units import Address
from ledger.migrate import upgrade
from wallets.keyring import mnemonic_of

CHAIN_ID: Final = 31337
SETUP_BLOCK_SECONDS: Final = 0.25
BLOCK_SECONDS: Final = 1
SPONSOR_WEI: Final = 10 * 10**18
FIRST_CUSTOMER: Final = 1
"""Account of the first scene's customer; account 0 sets things up."""


@dataclass(frozen=True)
class World:
    """What the acts work with. The keys stay in ``env``, which is not shown in any ``repr``."""

    street: Street
    rpc_url: str
    tokens: Mapping[str, Address]
    look_alike: Address
    disperser: Address
    poisoner: Address
    contracts: HelperContracts
    config: Path
    settings: Settings
    secrets: Secrets
    admin_key: str
    env: Mapping[str, str]
    url: str

    def __repr__(self) -> str:
        return f"World({self.url})"


@asynccontextmanager
async def local_chain(clock: Clock) -> AsyncIterator[tuple[str, Street]]:
    """A fresh Anvil, its RPC URL, and the accounts that it holds the keys of."""
    options = AnvilOptions(
        block_time=SETUP_BLOCK_SECONDS,
        chain_id=CHAIN_ID,
        accounts=len(SCENES) + FIRST_CUSTOMER,
        own_session=True,
    )
    async with Anvil(options) as anvil, DevRpc(anvil.rpc_url) as rpc:
        yield anvil.rpc_url, Street(rpc, clock, await rpc.call("eth_accounts"))


async def build(
    street: Street, rpc_url: str, folder: Path, board: Board, entropy: Entropy
) -> World:
    """Tokens, configuration, database, contracts; the daemon can start after this."""
    board.tell("deploying USDC-, USDT- and DAI-like test tokens, and a fake")
    tokens, look_alike, disperser, poisoner = await _deploy(street)
    port = free_port()
    config = folder / "bursar.toml"
    config.write_text(
        config_text(folder, port=port, chain_id=CHAIN_ID, rpc_url=rpc_url, tokens=tokens),
        encoding="utf-8",
    )
    admin_key = f"demo_{entropy.token_bytes(24).hex()}"
    env = environment(
        os.environ,
        BURSAR_ADMIN_KEY=admin_key,
        BURSAR_MNEMONIC=mnemonic_of(entropy.token_bytes(16)),
        BURSAR_DATA_KEY=entropy.token_bytes(32).hex(),
    )
    settings, secrets = load_settings(config, {}), load_secrets(env)
    own = own_addresses(settings, secrets)
    await _fund(street, [address for _, address in own.sponsors()], tokens, look_alike, disperser)
    board.tell("deploying treasury, collector and forwarder, making the database")
    await upgrade(settings.database.url)
    await deploy_helpers(settings, secrets)
    await street.block_every(BLOCK_SECONDS)
    return World(
        street=street,
        rpc_url=rpc_url,
        tokens=tokens,
        look_alike=look_alike,
        disperser=disperser,
        poisoner=poisoner,
        contracts=own.contracts,
        config=config,
        settings=settings,
        secrets=secrets,
        admin_key=admin_key,
        env=env,
        url=settings.http.public_url,
    )


async def _deploy(street: Street) -> tuple[dict[str, Address], Address, Address, Address]:
    sent = [await street.create(coin.contract, *coin.arguments) for coin in COINS]
    others = [
        await street.create("UsdcLike", "USD Coin", "USDC"),
        await street.create("Disperser"),
        await street.create("Poisoner"),
    ]
    found = [await street.created(tx_hash) for tx_hash in (*sent, *others)]
    symbols = [coin.symbol for coin in COINS]
    look_alike, disperser, poisoner = found[len(COINS) :]
    return dict(zip(symbols, found, strict=False)), look_alike, disperser, poisoner


async def _fund(
    street: Street,
    sponsors: list[Address],
    tokens: Mapping[str, Address],
    look_alike: Address,
    disperser: Address,
) -> None:
    """Gas money for the sponsors; for each customer exactly what the story has them spend."""
    sent = [await street.send(0, sponsor, b"", value=SPONSOR_WEI) for sponsor in sponsors]
    for index, scene in enumerate(SCENES):
        customer = street.address(FIRST_CUSTOMER + index)
        holder = disperser if scene.act == "bulk" else customer
        if scene.act == "look-alike":
            sent.append(await street.mint(look_alike, customer, LOOK_ALIKE_UNITS))
        elif scene.units:
            token = tokens[BY_SYMBOL[scene.coin].symbol]
            sent.append(await street.mint(token, holder, sum(scene.units)))
    for tx_hash in sent:
        await street.mined(tx_hash)


def free_port() -> int:
    """A port nobody listens on now.

    It is in the configuration before the daemon opens it; should somebody take it in
    between, the daemon says so and ends.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
