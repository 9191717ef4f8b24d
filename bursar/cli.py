"""The console script ``bursar``: global options, commands, and errors as one line.

Importing this module is cheap (no database, no crypto, no web3), so that
``bursar --help`` answers at once; commands import what they need when they run.

Exit status: 0 done, 1 failed or something does not hold, 2 wrong usage,
130 interrupted.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated, Final

import typer
from typer.main import get_command

from bursar.commands import (
    api_keys,
    books,
    chains,
    contracts,
    daemon,
    demo,
    invoices,
    merchants,
    payouts,
    setup,
    switches,
    wallets,
)
from bursar.commands.base import Invocation
from config.errors import BursarError

INTERRUPTED = 130
WHILE_LOADING: Final = 200_000
"""Objects between two collections until a command runs; Python's own number is 700 (3.11)."""


def build_app() -> typer.Typer:
    """All commands, in the order in which a newcomer needs them."""
    app = typer.Typer(
        name="bursar",
        help="Stablecoin payments on EVM chains: deposits confirmed, books kept, payouts once.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_global_options)
    for module in (
        demo,
        setup,
        daemon,
        wallets,
        contracts,
        merchants,
        api_keys,
        invoices,
        payouts,
        chains,
        switches,
        books,
    ):
        module.register(app)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"bursar {version('bursar')}")
        raise typer.Exit


def _global_options(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help="Configuration; else BURSAR_CONFIG, else ./bursar.toml.",
        ),
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="Tracebacks and the log of every part.")
    ] = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and end.", is_eager=True, callback=_show_version
        ),
    ] = False,
) -> None:
    ctx.obj = Invocation(config, debug)


def main() -> None:
    """Entry point of the console script."""
    sys.excepthook = _unexpected
    threading.excepthook = _in_thread
    # What modules make as they load stays: looking for garbage among it took a sixth of the start.
    gc.set_threshold(WHILE_LOADING)
    status = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone (a pager, head): the interpreter must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; its exit status."""
    debug = "--debug" in arguments
    try:
        # Not by calling the app itself: that would install an excepthook over ours.
        command = get_command(build_app())
        result = command.main(list(arguments), prog_name="bursar", standalone_mode=False)
    except typer.TyperException as error:
        return _usage(error)
    except (KeyboardInterrupt, typer.Abort):
        _complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        return 1
    except BursarError as error:
        if debug:
            traceback.print_exc()
        for line in str(error).splitlines():
            _complain(line)
        return 1
    if result == INTERRUPTED:  # typer makes an exit status of Ctrl-C, and says nothing
        _complain("interrupted")
    return result if isinstance(result, int) else 0


def _usage(error: typer.TyperException) -> int:
    """One line for a wrong command line; a group without a command shows its help instead."""
    text = error.format_message()
    if text.count("\n") > 2:
        sys.stderr.write(text + "\n")
    elif text:
        context = getattr(error, "ctx", None)
        where = "bursar" if context is None else context.command_path
        _complain(f"{_one_line(text)} (see: {where} --help)")
    return error.exit_code


def _one_line(text: str) -> str:
    return " ".join(text.replace("Value error, ", "").split()).rstrip(".")


def _complain(text: str) -> None:
    sys.stderr.write(f"bursar: {text}\n")


def _unexpected(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """A bug: one line for people, the traceback for those who asked."""
    if "--debug" in sys.argv:
        traceback.print_exception(kind, error, trace)
        return
    # Only the kind: the text of an unknown error may hold what must not be shown.
    _complain(f"internal error ({kind.__name__}); run again with --debug for the traceback")


def _in_thread(args: threading.ExceptHookArgs) -> None:
    """Not a database's thread that had something to tell when nobody listened any more."""
    late = isinstance(args.exc_value, RuntimeError) and "loop is closed" in str(args.exc_value)
    if not late or "--debug" in sys.argv:
        threading.__excepthook__(args)
