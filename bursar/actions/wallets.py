"""``bursar wallets show``: own addresses with what they hold on each chain."""

from __future__ import annotations

import asyncio
from typing import Any

from bursar.addresses import OwnAddresses, own_addresses
from bursar.compose import House, open_house
from bursar.output import say, say_json, table
from config.chains import ChainSettings
from config.money import format_amount
from config.settings import Secrets, Settings
from config.units import checksum

NATIVE_DECIMALS = 18


async def show(settings: Settings, secrets: Secrets, *, as_json: bool) -> None:
    """Print all; :raises RpcError: a chain cannot be asked."""
    own = own_addresses(settings, secrets)
    without_keys = settings.wallets.deposits == "create2"
    async with open_house(settings, secrets) as house:
        chains = await asyncio.gather(*(_chain(house, own, c) for c in settings.chains))
    document = {
        "deposit_xpub": own.deposit_xpub,
        "owner": checksum(own.owner),
        "treasury_signer": checksum(own.treasury_signer),
        "treasury": checksum(own.contracts.treasury),
        "collector": checksum(own.contracts.collector),
        "forwarder": checksum(own.contracts.forwarder),
        "deposit_factory": checksum(own.contracts.factory) if without_keys else None,
        "sponsors": {lane: checksum(address) for lane, address in own.sponsors()},
        "chains": chains,
    }
    if as_json:
        say_json(document)
    else:
        _tell(document)


async def _chain(house: House, own: OwnAddresses, chain: ChainSettings) -> dict[str, Any]:
    client = house.chains[chain.name]
    treasury = own.contracts.treasury
    tokens = house.catalogue.tokens(chain.name)
    holders = [
        ("sponsor_sweeps", own.sponsor_sweeps),
        ("sponsor_payouts", own.sponsor_payouts),
        ("treasury_signer", own.treasury_signer),
        ("treasury", treasury),
    ]
    native = await asyncio.gather(*(client.balance(address) for _, address in holders))
    deployed = bool(await client.code(treasury))
    held = [(await client.token_balances(token.address, [treasury]))[0] for token in tokens]
    return {
        "chain": chain.name,
        "chain_id": chain.chain_id,
        "treasury_deployed": deployed,
        "native_symbol": chain.native_symbol,
        "balances": [
            {
                "role": role,
                "address": checksum(address),
                "token": chain.native_symbol,
                "amount": format_amount(wei, NATIVE_DECIMALS),
            }
            for (role, address), wei in zip(holders, native, strict=True)
        ]
        + [
            {
                "role": "treasury",
                "address": checksum(treasury),
                "token": token.symbol,
                "amount": format_amount(amount, token.decimals),
            }
            for token, amount in zip(tokens, held, strict=True)
        ],
    }


def _tell(document: dict[str, Any]) -> None:
    offline = "none: the deposit keys are offline, or there are none"
    say(f"deposit xpub     {document['deposit_xpub'] or offline}")
    for lane, address in document["sponsors"].items():
        say(f"sponsor {lane:8} {address}")
    for name in (
        "treasury_signer",
        "owner",
        "treasury",
        "collector",
        "forwarder",
        "deposit_factory",
    ):
        if document[name] is not None:
            say(f"{name.replace('_', ' '):16} {document[name]}")
    for chain in document["chains"]:
        state = "" if chain["treasury_deployed"] else ", contracts not deployed"
        say()
        say(f"{chain['chain']} (chain id {chain['chain_id']}{state})")
        rows = [
            (row["role"], row["address"], row["amount"], row["token"]) for row in chain["balances"]
        ]
        for line in table(("role", "address", "amount", "token"), rows):
            say(f"  {line}")
