"""Two ways to show a board: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.live import Live

from bursar.demo.board import Board
from bursar.demo.view import View
from config.clock import Clock

_FRAMES_PER_SECOND: Final = 8
_LEAST_WIDTH: Final = 72
_LEAST_HEIGHT: Final = 24


@contextmanager
def screen_for(console: Console, board: Board, clock: Clock) -> Iterator[bool]:
    """Show ``board`` while the context is open; whether it is a live view that somebody watches."""
    small = console.width < _LEAST_WIDTH or console.height < _LEAST_HEIGHT
    if not console.is_terminal or console.is_dumb_terminal or small:
        started = clock.monotonic()

        def say(line: str) -> None:
            seconds = f"{clock.monotonic() - started:5.1f} s  "
            console.print(seconds + line, markup=False, soft_wrap=True)

        board.listener = say
        try:
            yield False
        finally:
            board.listener = lambda _line: None
        return
    view = View(board)
    with Live(
        view,
        console=console,
        refresh_per_second=_FRAMES_PER_SECOND,
        vertical_overflow="crop",
        redirect_stdout=False,
        redirect_stderr=False,
    ):
        yield True
