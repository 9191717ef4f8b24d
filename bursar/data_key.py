"""Whether webhook secrets open here: the data key of one host is not another's by itself."""

from __future__ import annotations

from typing import Final

from bursar.actions.finding import Finding
from bursar.compose import House
from config.errors import BursarError, DatabaseError
from config.log import get_logger
from gateway.webhooks.vault import Vault, key_file, load_data_key
from ledger.store import Ledger, sqlite_path
from ledger.webhooks import sealed_secrets

log = get_logger(__name__)

LOST: Final = (
    "give this host the BURSAR_DATA_KEY, or the key file, that they were made with, or rotate them"
)
ALONE: Final = (
    "before a second host has the API give all of them one BURSAR_DATA_KEY: what this file holds"
)


async def unreadable(ledger: Ledger, data_key: bytes) -> tuple[int, int]:
    """How many webhook secrets in use do not open with this key, and of how many."""
    async with ledger.reading() as tx:
        found = await sealed_secrets(tx)
    vault = Vault(data_key)
    return sum(not vault.opens(sealed, owner) for owner, sealed in found), len(found)


async def tell_data_key(house: House, data_key: bytes) -> None:
    """At the start of a process that delivers: what it cannot sign is not sent, and why."""
    lost, count = await unreadable(house.ledger, data_key)
    if lost:
        log.warning("webhook_secrets_unreadable", count=lost, of=count, remedy=LOST)
    elif _of_this_host(house):
        path = key_file(house.settings.database.url)
        log.warning("data_key_of_this_host_alone", path=str(path), remedy=ALONE)


async def data_key_finding(house: House) -> Finding:
    """For the doctor, who makes no key."""
    path = key_file(house.settings.database.url)
    given = house.secrets.data_key is not None
    if not given and not path.exists():
        text = f"none on this host: the first start of a process with the API makes {path}"
        return Finding(True, "data key", text)
    try:
        key = load_data_key(house.secrets, house.settings.database.url, house.entropy)
        lost, count = await unreadable(house.ledger, key)
    except DatabaseError:
        return Finding(True, "data key", "can be read")  # the database has a line of its own
    except BursarError as error:
        return Finding(False, "data key", str(error))
    if lost:
        text = f"does not open {lost} of {count} webhook secrets: nothing is sent to them ({LOST})"
        return Finding(False, "data key", text)
    text = "BURSAR_DATA_KEY" if given else f"in {path}"
    if _of_this_host(house):
        text += f", which other hosts do not have ({ALONE})"
    return Finding(True, "data key", f"{text}, opens all {count} webhook secrets")


def _of_this_host(house: House) -> bool:
    """A file of its own, for a database that other hosts use too."""
    return house.secrets.data_key is None and sqlite_path(house.settings.database.url) is None
