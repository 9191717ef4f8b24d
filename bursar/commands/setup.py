"""``init``, ``migrate``, ``doctor``."""

from __future__ import annotations

import os

import typer

from bursar.commands.base import Json, finish, invocation


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("init")(init)
    app.command("doctor")(doctor)
    app.command("migrate")(migrate)


def init(ctx: typer.Context) -> None:
    """Write a commented bursar.toml and an encrypted keystore; print the addresses to fund.

    Asks for a passphrase, or reads BURSAR_KEYSTORE_PASSPHRASE. Never overwrites a file.
    """
    from pydantic import SecretStr

    from bursar.actions.setup import NoPassphraseError, initialise, on_terminal, tell
    from config.clock import SystemEntropy
    from config.settings import load_secrets

    secrets = load_secrets(os.environ)
    if secrets.keystore_passphrase is None:
        if not on_terminal():
            raise NoPassphraseError(
                "no passphrase for the keystore", remedy="set BURSAR_KEYSTORE_PASSPHRASE"
            )
        asked = typer.prompt(
            "Passphrase for the keystore", hide_input=True, confirmation_prompt=True, err=True
        )
        secrets = secrets.model_copy(update={"keystore_passphrase": SecretStr(asked)})
    tell(initialise(invocation(ctx).config, os.environ, secrets, SystemEntropy()))


def doctor(ctx: typer.Context, as_json: Json = False) -> None:
    """Check configuration, database, chains, tokens, contracts, signer, gas money and clock.

    One line each; exit status 1 if any fails.
    """
    from bursar.actions.doctor import examine

    finish(invocation(ctx).run(lambda s, k: examine(s, k, as_json=as_json)))


def migrate(ctx: typer.Context) -> None:
    """Bring the database to the current schema."""
    from bursar.actions.setup import migrate as action

    invocation(ctx).run(action)
