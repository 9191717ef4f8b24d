"""``pause``, ``resume``, ``holds``, ``chain clear``."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from bursar.commands.base import ChainOption, Json, invocation

OnlyOption = Annotated[
    Literal["payouts", "sweeps"] | None,
    typer.Option("--only", help="This alone; both without it."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("pause")(pause)
    app.command("resume")(resume)
    holds = typer.Typer(help="What waits for a person.", no_args_is_help=True)
    holds.command("list")(show_holds)
    holds.command("release")(release)
    app.add_typer(holds, name="holds")
    chain = typer.Typer(help="Decisions about one chain.")
    chain.callback(no_args_is_help=True)(_group)
    chain.command("clear")(clear)
    app.add_typer(chain, name="chain")


def _group() -> None:
    pass


def pause(
    ctx: typer.Context,
    chain: ChainOption = None,
    only: OnlyOption = None,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Kept with the pause and in the audit log.")
    ] = None,
) -> None:
    """Stop paying and sweeping within one tick; kept over restarts. Crediting goes on."""
    from bursar.actions.switches import pause as action

    invocation(ctx).run(lambda s, k: action(s, k, chain=chain, only=only or "all", reason=reason))


def resume(ctx: typer.Context, chain: ChainOption = None, only: OnlyOption = None) -> None:
    """Let what was paused go on."""
    from bursar.actions.switches import resume as action

    invocation(ctx).run(lambda s, k: action(s, k, chain=chain, only=only or "all"))


def show_holds(ctx: typer.Context, as_json: Json = False) -> None:
    """List what is on hold, and why."""
    from bursar.actions.switches import holds as action

    invocation(ctx).run(lambda s, k: action(s, k, as_json=as_json))


def release(
    ctx: typer.Context,
    hold_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the hold (hold_…).")],
) -> None:
    """Let one thing on hold go on: the payout is queued again, the lane or chain reopened."""
    from bursar.actions.switches import release as action

    invocation(ctx).run(lambda s, k: action(s, k, hold_id=hold_id))


def clear(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the halted chain.")],
    to_block: Annotated[
        int | None,
        typer.Option(
            "--to-block",
            metavar="N",
            min=0,
            help="Last block that the books and the chain share: everything above it is taken "
            "back and read again. Without it: the chain was repaired.",
        ),
    ] = None,
) -> None:
    """Go on with a chain that was halted by a finality violation. Read the runbook first."""
    from bursar.actions.switches import clear_chain as action

    invocation(ctx).run(lambda s, k: action(s, k, chain=name, to_block=to_block))
