"""``bursar doctor``: everything that must hold before money is trusted to it, a line each."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import Final

from bursar.actions.deposit_factory import factory_findings
from bursar.actions.doctor_chain import examine_chain
from bursar.actions.doctor_policies import policies
from bursar.actions.doctor_safety import examine_safety, limits, operator_keys, owner
from bursar.actions.finding import Finding
from bursar.actions.presigned import presigned_findings
from bursar.addresses import OwnAddresses, own_addresses
from bursar.compose import House, open_house
from bursar.data_key import data_key_finding
from bursar.output import say, say_json, sign
from bursar.startup import PUT_BACK
from config.errors import BursarError
from config.settings import Secrets, Settings
from config.units import Hash32, checksum
from ledger.left_out import left_out
from ledger.migrate import require_current
from ledger.store import ping
from wallets.keyring import deposit_xpub, open_keyring

_TRIAL: Final = Hash32(sha256(b"bursar doctor: may this key sign?").digest())


async def examine(settings: Settings, secrets: Secrets, *, as_json: bool) -> bool:
    """Print every finding; whether all is well."""
    async with open_house(settings, secrets) as house:
        findings = [Finding(True, "config", f"valid, {len(settings.chains)} chain(s)")]
        if not settings.chains:
            findings = [Finding(False, "config", "no chain is configured (add [[chains]])")]
        findings += await _database(house)
        findings += await _keys(settings, secrets)
        findings.append(await data_key_finding(house))
        own = _own(settings, secrets)
        if settings.wallets.deposits == "presigned":
            findings += await presigned_findings(house, own)
        if settings.wallets.deposits == "create2":
            findings += await factory_findings(house, own)
        findings += [owner(settings, own), *limits(settings), *policies(settings, house.clock)]
        for examined in (examine_chain, examine_safety):
            groups = await asyncio.gather(*(examined(house, c, own) for c in settings.chains))
            findings += [finding for group in groups for finding in group]
    good = all(finding.good for finding in findings)
    if as_json:
        rows = [{"ok": f.good, "check": f.subject, "detail": f.text} for f in findings]
        say_json({"ok": good, "checks": rows})
        return good
    for finding in findings:
        say(f"{sign(finding.good)} {finding.subject}: {finding.text}")
    return good


async def _database(house: House) -> list[Finding]:
    try:
        await ping(house.ledger)
        await require_current(house.ledger.engine)
    except BursarError as error:
        return [Finding(False, "database", str(error))]
    kind = house.ledger.engine.dialect.name
    async with house.ledger.reading() as tx:
        unnamed = await left_out(tx)
    return [
        Finding(True, "database", f"{kind} answers, its schema is current"),
        *(Finding(False, f"chain {one.chain}", f"{one.text} ({PUT_BACK})") for one in unnamed),
    ]


async def _keys(settings: Settings, secrets: Secrets) -> list[Finding]:
    found = []
    try:
        if settings.wallets.deposits == "hd":
            found.append(Finding(True, "deposit xpub", deposit_xpub(settings, secrets)[:16] + "…"))
    except BursarError as error:
        found.append(Finding(False, "deposit xpub", str(error)))
    try:
        ring = await asyncio.to_thread(open_keyring, settings, secrets)
        signers = (ring.treasury_signer(), ring.sponsor("sweeps"), ring.sponsor("payouts"))
        for key in signers:
            # A key service may show a key and not let it sign. No chain knows what this signs.
            await key.sign_digest(_TRIAL)
        signer = checksum(signers[0].address)
        found.append(Finding(True, "signer", f"{settings.wallets.signer} opens, signs as {signer}"))
    except BursarError as error:
        found.append(Finding(False, "signer", str(error)))
    return [*found, *operator_keys(settings, secrets)]


def _own(settings: Settings, secrets: Secrets) -> OwnAddresses | BursarError:
    try:
        return own_addresses(settings, secrets)
    except BursarError as error:
        return error
