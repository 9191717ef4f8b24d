"""What the doctor asks of one chain: its providers, tokens, contracts and gas money."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from bursar.actions.doctor_books import examine_books
from bursar.actions.doctor_scan import examine_scan
from bursar.actions.finding import Finding
from bursar.addresses import OwnAddresses
from bursar.chain_checks import check_token
from bursar.compose import House
from chain.client import ChainClient
from chain.deployment import deployment_steps
from chain.model import BlockHeader
from chain.rpc.errors import RpcError, TooLarge
from chain.rpc.pool import Route
from chain.token_words import token_symbol
from config.catalogue import Token
from config.chains import ChainSettings
from config.errors import BursarError
from config.money import format_amount
from config.units import ZERO_ADDRESS, checksum

SLOW_BLOCKS: Final = 20
"""A head older than this many block times is stale."""
LEAST_AGE: Final = 60
CLOCK_SECONDS: Final = 15
RANGES: Final = (10_000, 2_000, 500, 100, 10, 1)
NATIVE_DECIMALS: Final = 18
STATE_DEPTHS: Final = (100_000, 10_000, 1_000, 128, 16)


async def examine_chain(
    house: House, chain: ChainSettings, own: OwnAddresses | BursarError
) -> list[Finding]:
    """All findings of one chain, providers first."""
    pool = house.pools[chain.name]
    views = {label: ChainClient(pool, route=Route(only=label)) for label in pool.providers}
    groups = await asyncio.gather(
        *(_provider(house, chain, label, view) for label, view in views.items())
    )
    found = [finding for group in groups for finding in group]
    found.append(Finding(True, f"{chain.name} completeness", proven_by(chain, len(views))))
    found += await examine_books(house.ledger, chain, len(views))
    client = house.chains[chain.name]
    if not any(group[0].good for group in groups):
        return found  # the rest would only repeat that nobody answers
    found += await _asked(
        f"{chain.name} scan", lambda: examine_scan(house.ledger, house.clock, client)
    )
    tokens = house.catalogue.tokens(chain.name)
    found += await asyncio.gather(*(_token(token, client) for token in tokens))
    if isinstance(own, BursarError):
        found.append(Finding(False, f"{chain.name} contracts", str(own)))
        return found
    found += await _asked(f"{chain.name} contracts", lambda: _contracts(house, chain, client, own))
    found += await _asked(f"{chain.name} gas money", lambda: _gas(chain, client, own))
    return found


def proven_by(chain: ChainSettings, providers: int) -> str:
    """What stands behind a provider's word; pure."""
    if chain.receipts_proof:
        return "payments and second readings are proven by receipts against their blocks' hashes"
    if providers == 1:
        return (
            "not proven: a single provider, nobody can contradict it "
            "(add a second one to rpc_urls, or receipts_proof = true)"
        )
    return f"{providers} providers bear each other out"


async def _asked(subject: str, work: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    try:
        return await work()
    except RpcError as error:
        return [Finding(False, subject, str(error))]


async def _provider(
    house: House, chain: ChainSettings, label: str, view: ChainClient
) -> list[Finding]:
    subject = f"{chain.name} {label}"
    answer = (await house.pools[chain.name].chain_ids()).get(label)
    if isinstance(answer, RpcError):
        return [Finding(False, subject, str(answer))]
    if answer != chain.chain_id:
        text = f"serves chain id {answer}, not {chain.chain_id} (correct rpc_urls or chain_id)"
        return [Finding(False, subject, text)]
    try:
        head = await view.block("latest")
        if head is None:
            return [Finding(False, subject, "has no latest block")]
        return [
            _head(chain, subject, head, house.clock.now()),
            await _finality(chain, subject, view),
            await _log_range(subject, view, head),
            await _states(subject, view, head),
        ]
    except RpcError as error:
        return [Finding(False, subject, str(error))]


def _head(chain: ChainSettings, subject: str, head: BlockHeader, now: datetime) -> Finding:
    """Head age, which is also the check of this machine's clock against the chain's."""
    age = int((now - datetime.fromtimestamp(head.timestamp, UTC)).total_seconds())
    text = f"chain id {chain.chain_id}, head {head.number}, {age} s old"
    if chain.is_test:
        return Finding(True, subject, text)
    if age < -CLOCK_SECONDS:
        return Finding(False, subject, f"{text}: this machine's clock is slow (set up NTP)")
    limit = max(LEAST_AGE, SLOW_BLOCKS * int(chain.block_time.total_seconds()))
    if age > limit:
        return Finding(False, subject, f"{text}: stale, or this machine's clock is fast")
    return Finding(True, subject, text)


async def _finality(chain: ChainSettings, subject: str, view: ChainClient) -> Finding:
    tag = chain.hard_finality.tag
    if tag is None:
        text = f"final at {chain.hard_finality.confirmations} confirmations"
        return Finding(True, f"{subject} finality", text)
    block = await view.block(tag)
    if block is None:
        return Finding(False, f"{subject} finality", f"the tag {tag!r} has no block")
    return Finding(True, f"{subject} finality", f"{tag} is block {block.number}")


async def _log_range(subject: str, view: ChainClient, head: BlockHeader) -> Finding:
    """The largest range that ``eth_getLogs`` answers; the zero address gets few transfers."""
    for blocks in RANGES:
        first = max(head.number - blocks + 1, 0)
        try:
            await view.transfer_logs(
                first, head.number, tokens=[ZERO_ADDRESS], recipients=[ZERO_ADDRESS]
            )
        except TooLarge:
            continue
        return Finding(True, f"{subject} getLogs", f"{head.number - first + 1} blocks at once")
    return Finding(False, f"{subject} getLogs", "refuses even a single block")


async def _states(subject: str, view: ChainClient, head: BlockHeader) -> Finding:
    """How far back balances can be asked for: what reconciliation may pin."""
    for depth in STATE_DEPTHS:
        if depth > head.number:
            continue
        try:
            await view.balance(ZERO_ADDRESS, head.number - depth)
        except RpcError:
            continue
        return Finding(True, f"{subject} states", f"kept for {depth} blocks or more")
    return Finding(True, f"{subject} states", "kept for a few blocks")


async def _token(token: Token, client: ChainClient) -> Finding:
    subject = f"{token.chain} token {token.symbol}"
    try:
        await check_token(token, client)
        symbol = await token_symbol(client, token.address)
    except BursarError as error:
        return Finding(False, subject, str(error))
    said = "" if symbol == token.symbol else f", calls itself {symbol!r}"
    text = f"{checksum(token.address)}, {token.decimals} decimals{said}"
    return Finding(True, subject, text)


async def _contracts(
    house: House, chain: ChainSettings, client: ChainClient, own: OwnAddresses
) -> list[Finding]:
    found = []
    without_keys = house.settings.wallets.deposits == "create2"
    steps = deployment_steps(
        own.owner, own.treasury_signer, own.sponsor_sweeps, factory=without_keys
    )
    codes = await client.codes([step.address for step in steps])
    for step, code in zip(steps, codes, strict=True):
        subject = f"{chain.name} {step.contract.lower()}"
        if not code:
            text = f"not deployed (bursar contracts deploy --chain {chain.name})"
            found.append(Finding(False, subject, text))
        elif code != step.runtime:
            text = f"other code is at {checksum(step.address)}"
            found.append(Finding(False, subject, text))
        else:
            found.append(Finding(True, subject, checksum(step.address)))
    return found


async def _gas(chain: ChainSettings, client: ChainClient, own: OwnAddresses) -> list[Finding]:
    found = []
    for lane, address in own.sponsors():
        wei = await client.balance(address)
        text = f"{format_amount(wei, NATIVE_DECIMALS)} {chain.native_symbol} at {checksum(address)}"
        if wei == 0:
            text += " (fund it: it pays the gas)"
        found.append(Finding(wei > 0, f"{chain.name} sponsor of {lane}", text))
    return found
