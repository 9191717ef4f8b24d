"""``bursar init`` and ``bursar migrate``."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bursar.addresses import OwnAddresses, own_addresses
from bursar.output import say
from config.clock import Entropy
from config.environment import overrides
from config.errors import BursarError, ConfigError
from config.example import example_toml
from config.settings import DEFAULT_PATH, Secrets, Settings, parse_settings
from config.units import checksum
from ledger.migrate import head_revision, upgrade
from wallets.keyring import new_keystore

_RELATIVE: Final = (
    ('keystore = "keystore.json"', 'keystore = "{folder}/keystore.json"'),
    ("sqlite+aiosqlite:///bursar.db", "sqlite+aiosqlite:///{folder}/bursar.db"),
)


@dataclass(frozen=True)
class Installation:
    """What ``init`` made."""

    config: Path
    keystore: Path
    addresses: OwnAddresses


def initialise(
    path: Path | None, environ: Mapping[str, str], secrets: Secrets, entropy: Entropy
) -> Installation:
    """Write the keystore, then the configuration; nothing that exists is touched.

    A crash between the two leaves a keystore without a configuration: the
    operator is told about it by the next ``init``, and no key is lost.

    :raises BursarError: either file exists or cannot be written, or there is no passphrase.
    """
    config = path or Path(environ.get("BURSAR_CONFIG") or DEFAULT_PATH)
    if config.exists():
        raise ConfigError(
            "exists already and is never overwritten", where=str(config), remedy="move it away"
        )
    text = config_text(config)
    settings = parse_settings(tomllib.loads(text), overrides(environ), source=str(config))
    new_keystore(settings, secrets, entropy)
    _write_new(config, text)
    return Installation(config, settings.wallets.keystore, own_addresses(settings, secrets))


def config_text(config: Path) -> str:
    """The example; beside a configuration elsewhere its files are named in full.

    Relative paths are relative to where ``bursar`` runs: with the configuration in
    another folder the keystore and the database would be looked for in the wrong place.
    """
    text = example_toml()
    folder = config.resolve().parent
    if folder == Path.cwd():
        return text
    for before, after in _RELATIVE:
        text = text.replace(before, after.format(folder=folder.as_posix()))
    return text


def tell(made: Installation) -> None:
    """What was written and what to do next."""
    own = made.addresses
    say(f"wrote {made.config}")
    say(f"wrote {made.keystore} (encrypted; back it up, with its passphrase elsewhere)")
    say()
    say("Fund these with native coin on every chain, they pay the gas:")
    for lane, address in own.sponsors():
        say(f"  sponsor of {lane:8}  {checksum(address)}")
    say()
    say(f"deposit xpub     {own.deposit_xpub or 'none: deposit addresses have no keys'}")
    say(f"treasury signer  {checksum(own.treasury_signer)}  (signs batches; needs no funds)")
    say(f"treasury         {checksum(own.contracts.treasury)}  (contract, once it is deployed)")
    say()
    say("Next: edit chains and tokens, set BURSAR_ADMIN_KEY, then")
    say("  bursar migrate && bursar contracts deploy --chain NAME && bursar doctor && bursar run")


async def migrate(settings: Settings, _secrets: Secrets) -> None:
    """Bring the database to the current schema."""
    await upgrade(settings.database.url)
    say(f"the database is at schema {head_revision()}")


def _write_new(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(f"cannot be written: {reason}", where=str(path)) from None


class NoPassphraseError(BursarError):
    """No passphrase was given and there is no terminal to ask at."""


def on_terminal() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()
