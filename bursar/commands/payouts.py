"""``payouts``."""

from __future__ import annotations

from typing import Annotated

import typer

from bursar.commands.base import Json, MerchantOption, finish, invocation


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Paying the merchants.")
    group.callback(no_args_is_help=True)(_group)
    group.command("run")(run)
    app.add_typer(group, name="payouts")


def _group() -> None:
    pass


def run(
    ctx: typer.Context,
    merchant: MerchantOption = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show who would get what, where, at which gas cost, and what is held back.",
        ),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Return only once every payout of the run is final.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Settle now, whatever the schedule says.

    With a daemon running the run is handed to it; otherwise it is carried out here.
    """
    from bursar.actions.payouts import run as action

    finish(
        invocation(ctx).run(
            lambda s, k: action(
                s, k, merchant=merchant, dry_run=dry_run, wait=wait, as_json=as_json
            )
        )
    )
