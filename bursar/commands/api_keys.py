"""``api-keys``."""

from __future__ import annotations

from typing import Annotated

import typer

from bursar.commands.base import Json, invocation

OneMerchant = Annotated[
    str, typer.Option("--merchant", metavar="ID", help="Whose (mer_…); see: bursar merchants list.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Merchants' API keys: a new one, and an end to old ones.")
    group.callback(no_args_is_help=True)(_group)
    group.command("create")(create)
    group.command("list")(show_all)
    group.command("revoke")(revoke)
    app.add_typer(group, name="api-keys")


def _group() -> None:
    pass


def create(
    ctx: typer.Context,
    merchant: OneMerchant,
    name: Annotated[
        str | None, typer.Option("--name", metavar="N", help="What people call the key.")
    ] = None,
    revoke_others: Annotated[
        bool,
        typer.Option(
            "--revoke-others",
            help="Refuse every key that the merchant had until now: one is in wrong hands.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Give a merchant that lost its API key a new one, and print it, once."""
    from bursar.actions.api_keys import create as action

    invocation(ctx).run(
        lambda s, k: action(
            s, k, merchant_id=merchant, name=name, revoke_others=revoke_others, as_json=as_json
        )
    )


def show_all(ctx: typer.Context, merchant: OneMerchant, as_json: Json = False) -> None:
    """List a merchant's API keys, without the keys."""
    from bursar.actions.api_keys import show_all as action

    invocation(ctx).run(lambda s, k: action(s, k, merchant_id=merchant, as_json=as_json))


def revoke(
    ctx: typer.Context,
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the key (key_…).")],
) -> None:
    """Refuse an API key from now on."""
    from bursar.actions.api_keys import revoke as action

    invocation(ctx).run(lambda s, k: action(s, k, key_id=key_id))
