"""``invoices``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bursar.commands.base import Json, MerchantOption, invocation


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Invoices in bulk.")
    group.callback(no_args_is_help=True)(_group)
    group.command("import")(import_file)
    app.add_typer(group, name="invoices")


def _group() -> None:
    pass


def import_file(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE.jsonl", help="One object of POST /v1/invoices a line.")
    ],
    merchant: MerchantOption = None,
    as_json: Json = False,
) -> None:
    """Open the invoices of a file; one line each with its id and deposit address.

    Without --merchant the only merchant there is. All lines are checked before the first
    invoice is opened.
    """
    from bursar.actions.invoices import import_file as action

    invocation(ctx).run(lambda s, k: action(s, k, file=file, merchant=merchant, as_json=as_json))
