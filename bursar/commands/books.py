"""``books``: debts of merchants, and outflows that nobody wrote down."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from bursar.commands.base import Json, invocation

Chain = Annotated[str, typer.Option("--chain", metavar="NAME", help="The chain's name.")]
Token = Annotated[str, typer.Option("--token", metavar="SYMBOL", help="The token's symbol.")]
Amount = Annotated[str, typer.Option("--amount", metavar="A", help="In whole units, as text.")]
Reason = Annotated[str, typer.Option("--reason", help="Kept in the audit log.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    books = typer.Typer(help="Debts and suspense: an operator's postings.", no_args_is_help=True)
    books.command("debts")(debts)
    books.command("write-off")(write_off)
    books.command("resolve-outflow")(resolve_outflow)
    app.add_typer(books, name="books")


def debts(ctx: typer.Context, as_json: Json = False) -> None:
    """List what merchants owe for payments that were taken back."""
    from bursar.actions.books import debts as action

    invocation(ctx).run(lambda s, k: action(s, k, as_json=as_json))


def write_off(
    ctx: typer.Context,
    merchant: Annotated[str, typer.Option("--merchant", metavar="ID", help="Who owes.")],
    chain: Chain,
    token: Token,
    amount: Amount,
    reason: Reason,
) -> None:
    """Give up a merchant's debt, or a part of it: it becomes a loss."""
    from bursar.actions.books import write_off as action

    invocation(ctx).run(
        lambda s, k: action(
            s, k, merchant=merchant, chain=chain, token=token, amount=amount, reason=reason
        )
    )


def resolve_outflow(
    ctx: typer.Context,
    chain: Chain,
    token: Token,
    amount: Amount,
    to: Annotated[
        Literal["loss", "owner", "merchant"],
        typer.Option("--to", help="What it was: a loss, the owner's, or paid to a merchant."),
    ],
    reason: Reason,
    merchant: Annotated[
        str | None, typer.Option("--merchant", metavar="ID", help="With --to merchant: who.")
    ] = None,
) -> None:
    """Say what an outflow in suspense was; payouts go on with ``holds release`` or ``resume``."""
    from bursar.actions.books import resolve_outflow as action

    invocation(ctx).run(
        lambda s, k: action(
            s,
            k,
            chain=chain,
            token=token,
            amount=amount,
            blame=to,
            merchant=merchant,
            reason=reason,
        )
    )
