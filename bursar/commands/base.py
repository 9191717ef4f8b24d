"""What every command shares: global options, loading the configuration, running an action."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

if TYPE_CHECKING:
    from config.settings import Secrets, Settings

T = TypeVar("T")
_USUAL: Final = (700, 10, 10)
"""Python's thresholds (gc.set_threshold, 3.11)."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]
ChainOption = Annotated[
    str | None, typer.Option("--chain", metavar="NAME", help="One chain only; all without it.")
]
OneChain = Annotated[
    str, typer.Option("--chain", metavar="NAME", help="Name of a configured chain.")
]
MerchantOption = Annotated[
    str | None, typer.Option("--merchant", metavar="ID", help="One merchant only (mer_…).")
]


@dataclass(frozen=True)
class Invocation:
    """The global options, as they stand before the command's name."""

    config: Path | None = None
    debug: bool = False

    def load(self) -> tuple[Settings, Secrets]:
        """Configuration and secrets.

        :raises ConfigError: either is missing or wrong.
        """
        from config.settings import load_secrets, load_settings

        return load_settings(self.config, os.environ), load_secrets(os.environ)

    def run(
        self, action: Callable[[Settings, Secrets], Coroutine[Any, Any, T]], *, daemon: bool = False
    ) -> T:
        """Load the configuration and run an action to its end.

        :param daemon: log as configured; a command's own words are enough otherwise.
        """
        from config.clock import SystemClock
        from config.log import configure_logging
        from config.redact import redactor_for

        settings, secrets = self.load()
        level = settings.log.level if daemon else "error"
        log = settings.log.model_copy(update={"level": "debug" if self.debug else level})
        configure_logging(log, redactor_for(settings, secrets), SystemClock(), sys.stderr)
        _keep_what_is_loaded()
        return asyncio.run(action(settings, secrets))


def _keep_what_is_loaded() -> None:
    """No collection looks at modules again, nor does the one at exit; from now on as usual."""
    gc.freeze()
    gc.set_threshold(*_USUAL)


def invocation(ctx: typer.Context) -> Invocation:
    """The global options of the running command."""
    found = ctx.find_object(Invocation)
    return found if found is not None else Invocation()


def finish(good: bool) -> None:
    """End the command: exit status 1 where something did not hold."""
    if not good:
        raise typer.Exit(1)
