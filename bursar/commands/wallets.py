"""``wallets``."""

from __future__ import annotations

import typer

from bursar.commands.base import Json, invocation


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Own addresses and what they hold.", no_args_is_help=True)
    group.command("show")(show)
    app.add_typer(group, name="wallets")


def show(ctx: typer.Context, as_json: Json = False) -> None:
    """Deposit xpub, sponsors, treasury signer and treasury, with balances per chain."""
    from bursar.actions.wallets import show as action

    invocation(ctx).run(lambda s, k: action(s, k, as_json=as_json))
