"""``books``: debts of merchants, what nothing explains, and losses."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from bursar.commands.base import Json, invocation

Chain = Annotated[str, typer.Option("--chain", metavar="NAME", help="The chain's name.")]
Token = Annotated[str, typer.Option("--token", metavar="SYMBOL", help="The token's symbol.")]
Amount = Annotated[str, typer.Option("--amount", metavar="A", help="In whole units, as text.")]
Part = Annotated[
    str | None, typer.Option("--amount", metavar="A", help="In whole units; all of it by default.")
]
Who = Annotated[
    str | None, typer.Option("--merchant", metavar="ID", help="With --to merchant: who.")
]
Reason = Annotated[str, typer.Option("--reason", help="Kept in the audit log.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    books = typer.Typer(help="Debts and suspense: an operator's postings.", no_args_is_help=True)
    books.command("debts")(debts)
    books.command("write-off")(write_off)
    books.command("suspense")(suspense)
    books.command("resolve-outflow")(resolve_outflow)
    books.command("resolve-inflow")(resolve_inflow)
    books.command("resolve-loss")(resolve_loss)
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


def suspense(ctx: typer.Context, as_json: Json = False) -> None:
    """List what nothing explains yet, and what was lost."""
    from bursar.actions.books import suspense as action

    invocation(ctx).run(lambda s, k: action(s, k, as_json=as_json))


def resolve_outflow(
    ctx: typer.Context,
    chain: Chain,
    token: Token,
    to: Annotated[
        Literal["loss", "owner", "merchant", "gas"],
        typer.Option("--to", help="A loss, the owner's, paid to a merchant, or gas."),
    ],
    reason: Reason,
    amount: Part = None,
    merchant: Who = None,
) -> None:
    """Say what an outflow in suspense was; payouts go on with ``holds release`` or ``resume``."""
    _resolve(ctx, "suspense_out", chain, token, to, reason, amount, merchant)


def resolve_inflow(
    ctx: typer.Context,
    chain: Chain,
    token: Token,
    to: Annotated[
        Literal["owner", "merchant", "fees", "outflow", "loss"],
        typer.Option("--to", help="The owner's, a merchant's, income, or making good a lack."),
    ],
    reason: Reason,
    amount: Part = None,
    merchant: Who = None,
) -> None:
    """Say whose a transfer straight to the treasury is."""
    _resolve(ctx, "suspense_in", chain, token, to, reason, amount, merchant)


def resolve_loss(
    ctx: typer.Context,
    chain: Chain,
    token: Token,
    to: Annotated[
        Literal["owner", "fees", "merchant"],
        typer.Option("--to", help="Who bears it: the owner, fees earned, or a merchant."),
    ],
    reason: Reason,
    amount: Part = None,
    merchant: Who = None,
) -> None:
    """Say who bears a loss."""
    _resolve(ctx, "token_loss", chain, token, to, reason, amount, merchant)


def _resolve(
    ctx: typer.Context,
    side: Literal["suspense_out", "suspense_in", "token_loss"],
    chain: str,
    token: str,
    to: Literal["loss", "owner", "merchant", "gas", "fees", "outflow"],
    reason: str,
    amount: str | None,
    merchant: str | None,
) -> None:
    from bursar.actions.books import resolve as action

    invocation(ctx).run(
        lambda s, k: action(
            s,
            k,
            side=side,
            chain=chain,
            token=token,
            to=to,
            amount=amount,
            merchant=merchant,
            reason=reason,
        )
    )
