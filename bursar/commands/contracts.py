"""``contracts``."""

from __future__ import annotations

import typer

from bursar.commands.base import Json, OneChain, invocation


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="The helper contracts: treasury, collector, forwarder.")
    group.callback(no_args_is_help=True)(_group)
    group.command("deploy")(deploy)
    app.add_typer(group, name="contracts")


def _group() -> None:
    pass


def deploy(ctx: typer.Context, chain: OneChain, as_json: Json = False) -> None:
    """Deploy the helper contracts to their fixed addresses; what is in place stays."""
    from bursar.actions.contracts import deploy as action

    invocation(ctx).run(lambda s, k: action(s, k, chain=chain, as_json=as_json))
