"""``demo``."""

from __future__ import annotations

from typing import Annotated

import typer

from bursar.commands.base import finish


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    once: Annotated[
        bool,
        typer.Option("--once", help="One round and a summary; exit 0 only if all agrees."),
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running at the end.")] = False,
) -> None:
    """Show the whole product on this machine: a local chain, payments, a reorg, payouts."""
    from bursar.demo.run import run

    finish(run(once=once, keep=keep) == 0)
