"""``reconcile``, ``rescan``."""

from __future__ import annotations

from typing import Annotated

import typer

from bursar.commands.base import ChainOption, Json, OneChain, finish, invocation


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("reconcile")(reconcile)
    app.command("rescan")(rescan)


def reconcile(ctx: typer.Context, chain: ChainOption = None, as_json: Json = False) -> None:
    """Compare the ledger with the chain, per token and account, to the unit.

    Safe beside a busy daemon. Exit status 1 on any difference, naming it.
    """
    from bursar.actions.reconcile import reconcile as action

    finish(invocation(ctx).run(lambda s, k: action(s, k, chain=chain, as_json=as_json)))


def rescan(
    ctx: typer.Context,
    chain: OneChain,
    first: Annotated[int, typer.Option("--from", metavar="N", min=0, help="First block.")],
    last: Annotated[
        int | None,
        typer.Option("--to", metavar="M", min=0, help="Last block; the cursor's without it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read a range of blocks again; what was credited is never credited twice."""
    from bursar.actions.rescan import rescan as action

    invocation(ctx).run(
        lambda s, k: action(s, k, chain=chain, first=first, last=last, as_json=as_json)
    )
