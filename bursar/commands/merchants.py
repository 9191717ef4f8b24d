"""``merchants``."""

from __future__ import annotations

from typing import Annotated

import typer

from bursar.commands.base import Json, invocation


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Those who are paid.", no_args_is_help=True)
    group.command("create")(create)
    group.command("list")(show_all)
    app.add_typer(group, name="merchants")


def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Option("--name", metavar="N", help="What people call it.")],
    as_json: Json = False,
) -> None:
    """Create a merchant and print its API key, once."""
    from bursar.actions.merchants import create as action

    invocation(ctx).run(lambda s, k: action(s, k, name=name, as_json=as_json))


def show_all(ctx: typer.Context, as_json: Json = False) -> None:
    """List the merchants."""
    from bursar.actions.merchants import show_all as action

    invocation(ctx).run(lambda s, k: action(s, k, as_json=as_json))
