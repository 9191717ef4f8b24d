"""``demo``."""

from __future__ import annotations

from typing import Annotated

import typer


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
    """Show the whole product on this machine: a local chain, payments, a reorg, payouts.

    Without an option it plays a round and stays until Ctrl-C; where there is no
    terminal it ends after the round.
    """
    from bursar.demo.run import run

    if once and keep:
        raise typer.BadParameter("--once ends after the round, --keep stays: choose one")
    raise typer.Exit(run(once=once, keep=keep))
