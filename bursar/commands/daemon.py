"""``run``."""

from __future__ import annotations

import os
import signal
from typing import Annotated, Literal

import typer

from bursar.commands.base import ChainOption, invocation

Role = Literal["all", "gateway", "watcher", "settlement"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(run)


def run(
    ctx: typer.Context,
    role: Annotated[Role, typer.Option("--role", help="What this process does.")] = "all",
    chain: ChainOption = None,
) -> None:
    """Run the daemon until SIGTERM or SIGINT.

    Gateway and watcher hold no private key: the deposit xpub is all they need.
    """
    # Until the loop has its own: nothing was begun, so ending here is a clean stop. Not by an
    # exception: raised where the interpreter ignores it, in a finalizer, it would stop nothing.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    from bursar.daemon import serve

    invocation(ctx).run(lambda s, k: serve(s, k, role=role, chain=chain), daemon=True)
