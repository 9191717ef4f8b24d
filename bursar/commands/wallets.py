"""``wallets``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bursar.commands.base import Json, invocation

if TYPE_CHECKING:
    from config.settings import Secrets, Settings

_ADDRESS = "0x…"
_Output = Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="File to write.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Own addresses and what they hold; deposit keys kept offline.", no_args_is_help=True
    )
    group.command("show")(show)
    group.command("presign")(presign)
    group.command("import-presigned")(import_presigned)
    group.command("online-keystore")(online_keystore)
    app.add_typer(group, name="wallets")


def show(ctx: typer.Context, as_json: Json = False) -> None:
    """Deposit xpub, sponsors, treasury signer and treasury, with balances per chain."""
    from bursar.actions.wallets import show as action

    invocation(ctx).run(lambda s, k: action(s, k, as_json=as_json))


def presign(
    ctx: typer.Context,
    count: Annotated[int, typer.Option(min=1, help="How many addresses.")],
    chains: Annotated[
        str, typer.Option(metavar="A,B", help="Chains by name or chain id, with commas between.")
    ],
    output: _Output,
    first: Annotated[int, typer.Option(min=0, help="Index of the first one.")] = 0,
    owner: Annotated[
        str | None, typer.Option(metavar=_ADDRESS, help="Instead of wallets.owner.")
    ] = None,
    treasury_signer: Annotated[
        str | None, typer.Option(metavar=_ADDRESS, help="The daemon's, if not of this seed.")
    ] = None,
    sweeper: Annotated[
        str | None,
        typer.Option(metavar=_ADDRESS, help="The daemon's sponsor of sweeps, if not of this seed."),
    ] = None,
) -> None:
    """Sign deposit addresses for a daemon that will hold neither their seed nor an xpub.

    For a machine without network: it needs the seed only (BURSAR_MNEMONIC, or the keystore
    and BURSAR_KEYSTORE_PASSPHRASE). The daemon takes the file with import-presigned.
    """
    from bursar.actions.presigned import DelegateParts
    from bursar.actions.presigned import presign as action

    settings, secrets = _perhaps_configured(ctx)
    action(
        settings,
        secrets,
        chains=[name.strip() for name in chains.split(",") if name.strip()],
        first=first,
        count=count,
        output=output,
        parts=DelegateParts(owner, treasury_signer, sweeper),
    )


def import_presigned(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As presign wrote it.")],
    hand_out_from: Annotated[
        int | None,
        typer.Option(min=0, help="Leave out lower indexes: after the journal was lost."),
    ] = None,
) -> None:
    """Take in addresses signed offline; every signature is verified first.

    Whole or not at all; the same file again changes nothing.
    """
    from bursar.actions.presigned import import_presigned as action

    invocation(ctx).run(lambda s, k: action(s, k, file=file, hand_out_from=hand_out_from))


def online_keystore(ctx: typer.Context, output: _Output) -> None:
    """Write a keystore for the daemon with sponsors and treasury signer, without deposit keys."""
    from bursar.actions.presigned import write_online_keystore
    from config.clock import SystemEntropy

    settings, secrets = _perhaps_configured(ctx)
    write_online_keystore(settings, secrets, SystemEntropy(), output=output)


def _perhaps_configured(ctx: typer.Context) -> tuple[Settings, Secrets]:
    """The configuration if there is one: a machine that only signs needs none."""
    from config.environment import overrides
    from config.settings import DEFAULT_PATH, load_secrets, parse_settings

    call = invocation(ctx)
    if call.config is None and not os.environ.get("BURSAR_CONFIG") and not DEFAULT_PATH.exists():
        settings = parse_settings({}, overrides(os.environ), source="environment", offline=True)
        return settings, load_secrets(os.environ)
    return call.load()
