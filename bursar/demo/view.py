"""The live view: one glance says what is happening and how everything stands.

Drawn anew from the board each time; it keeps nothing, so that a resized
terminal is filled as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from bursar.demo.board import BlockCell, Board
from bursar.demo.story import COINS, SHOPS, Scene

Json = Mapping[str, Any]
STYLES: Final = {
    "new": "dim",
    "partially_paid": "yellow",
    "processing": "cyan",
    "paid": "bold green",
    "expired": "magenta",
    "detected": "cyan",
    "confirming": "cyan",
    "confirmed": "green",
    "orphaned": "red strike",
    "ignored": "dim strike",
    "queued": "dim",
    "batched": "cyan",
    "submitted": "cyan",
    "on_hold": "bold red",
    "failed": "bold red",
}
_SIDE: Final = 22
_PAST_LINES: Final = 2
_FRAME_LINES: Final = 12
"""Header, blocks and story, and one line that the terminal keeps for its cursor."""
_INVOICE_LINES: Final = 3
_PAYOUT_LINES: Final = 9
_NARROW: Final = 96
_BLOCK_WIDTH: Final = 8


class View:
    """A renderable over a board.

    A low window shows either the invoices or, once there are any, the payouts.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._spinner = Spinner("dots", style="cyan")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        board, width = self._board, options.max_width
        room = options.size.height - _FRAME_LINES
        parts: list[RenderableType] = [_header(board), _blocks(board, width)]
        tall = room >= len(board.scenes) + _INVOICE_LINES + _PAYOUT_LINES
        if board.scenes and (tall or not board.payouts):
            parts.append(_invoices(board, width, room - _INVOICE_LINES))
        if board.scenes and (tall or board.payouts):
            parts.append(_below(board, width))
        parts.append(_story(board, self._spinner))
        yield Group(*parts)


def _header(board: Board) -> RenderableType:
    motto = "   stablecoins in, payouts out, every unit accounted for"
    title = Text.assemble(("bursar demo", "bold"), (motto, "dim"))
    if board.links is None:
        return Panel(Group(title, Text(), Text()), box=box.ROUNDED, border_style="dim")
    checkout = _links(("checkout", board.links.checkout))
    others = _links(
        ("api     ", f"{board.links.api}/docs"), ("metrics", f"{board.links.api}/metrics")
    )
    return Panel(Group(title, checkout, others), box=box.ROUNDED, border_style="dim")


def _links(*labelled: tuple[str, str]) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    for label, url in labelled:
        text.append(f"{label} ", style="dim")
        text.append(url, style=f"cyan link {url}")
        text.append("  ")
    return text


def _blocks(board: Board, width: int) -> RenderableType:
    """The newest blocks; one that has left the chain stays, struck through."""
    room = max((width - 4) // _BLOCK_WIDTH, 1)
    line = Text(no_wrap=True)
    for cell in list(board.blocks)[-room:]:
        line.append_text(_block(cell))
    return Panel(line, title="blocks", title_align="left", box=box.ROUNDED, border_style="dim")


def _block(cell: BlockCell) -> Text:
    if cell.gone:
        style = "red strike"
    elif cell.transactions:
        style = "bold cyan"
    else:
        style = "dim"
    mark = "✗" if cell.gone else "■" if cell.transactions else "□"
    return Text.assemble(
        (f"{mark} {cell.number}", style), " " * (_BLOCK_WIDTH - 2 - len(str(cell.number)))
    )


def _invoices(board: Board, width: int, room: int) -> RenderableType:
    """As many as there is room for; those that are through make room for those that are not."""
    narrow = width < _NARROW
    table = _grid()
    table.add_column("customer", width=21, no_wrap=True)
    if not narrow:
        table.add_column("shop", width=11, no_wrap=True)
    table.add_column("asked", width=6, justify="right")
    table.add_column("came in", width=14, justify="right", no_wrap=True)
    table.add_column("status", width=15 if narrow else 16, no_wrap=True, overflow="ellipsis")
    table.add_column("payments", ratio=1, no_wrap=True, overflow="ellipsis")
    rows = [(scene, board.invoices[i]) for i, scene in board.scenes.items() if i in board.invoices]
    hidden = max(len(rows) - room, 0)
    through = [row for row in rows if row[1]["status"] == "paid"][:hidden]
    shown = [row for row in rows if row not in through][:room]
    for scene, invoice in shown:
        cells = _invoice(scene, invoice)
        table.add_row(*(cells[:1] + cells[2:] if narrow else cells))
    title = "invoices" if len(shown) == len(rows) else f"invoices ({len(shown)} of {len(rows)})"
    return Panel(table, title=title, title_align="left", box=box.ROUNDED, border_style="dim")


def _invoice(scene: Scene, invoice: Json) -> tuple[RenderableType, ...]:
    status = _status(invoice["status"])
    if invoice["exceptions"]:
        labels = ", ".join(invoice["exceptions"]).replace("_", " ")
        status.append(f" {labels}", style="yellow not bold")
    settled = invoice["settlement"]["status"]
    payments = Text(" ").join(_payment(p) for p in invoice["payments"])
    if settled in ("scheduled", "paid"):
        mark, style = ("→ paid out", "green") if settled == "paid" else ("→ leaving", "cyan")
        payments = Text(mark, style=style)
    return (
        Text(scene.title),
        Text(SHOPS[scene.shop], style="dim"),
        Text(f"${scene.amount}"),
        _came_in(invoice),
        status,
        payments,
    )


def _came_in(invoice: Json) -> Text:
    got = [f"{short(o['amount_received'])} {o['token']}" for o in invoice["options"] if _some(o)]
    return Text(", ".join(got), style="bold" if got else "dim")


def _some(option: Json) -> bool:
    return str(option["amount_received"]).strip("0.") != ""


def short(amount: str, decimals: int = 6) -> str:
    """An amount cut to a few decimals for a narrow column; an ellipsis says that it was cut."""
    whole, _, fraction = amount.partition(".")
    return amount if len(fraction) <= decimals else f"{whole}.{fraction[:decimals]}…"


def _payment(payment: Json) -> Text:
    text = _status(payment["status"])
    if payment["status"] in ("detected", "confirming"):
        text.append(f" {payment['confirmations']}", style="cyan")
    elif payment["status"] == "ignored" and payment["reason"]:
        text = Text(f"✗ {payment['reason'].replace('_', ' ')}", style="dim")
    return text


def _status(status: str) -> Text:
    return Text(status.replace("_", " "), style=STYLES.get(status, ""))


def _below(board: Board, width: int) -> RenderableType:
    grid = Table.grid(expand=True, padding=(0, 0))
    grid.add_column(ratio=1)
    grid.add_column(width=_SIDE)
    grid.add_row(_payouts(board, width), _webhooks(board))
    return grid


def _payouts(board: Board, width: int) -> RenderableType:
    table = _grid()
    table.add_column("to", width=12, no_wrap=True)
    table.add_column("amount", width=15, justify="right", no_wrap=True)
    table.add_column("status", width=9, no_wrap=True)
    table.add_column("batch", width=8, no_wrap=True)
    if width >= _NARROW:
        table.add_column("transaction", ratio=1, no_wrap=True)
    symbols = [coin.symbol for coin in COINS]
    ordered = sorted(
        board.payouts.values(), key=lambda item: (symbols.index(item[1]["token"]), item[0])
    )
    most = len(SHOPS) * len(COINS)
    for shop, payout in ordered[:most]:
        cells = (
            Text(SHOPS[shop]),
            Text(f"{short(payout['amount'])} {payout['token']}", style="bold"),
            _status(payout["status"]),
            Text((payout["batch"] or "").replace("_", " "), style="dim"),
            Text((payout["tx_hash"] or "")[:10], style="dim"),
        )
        table.add_row(*cells[: len(table.columns)])
    for _ in range(most - len(ordered)):
        table.add_row("")
    return Panel(table, title="payouts", title_align="left", box=box.ROUNDED, border_style="dim")


def _webhooks(board: Board) -> RenderableType:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column()
    table.add_column(justify="right")
    families = ("invoice", "payment", "payout")
    shown = 0
    for family in families:
        count = sum(n for kind, n in board.webhooks.items() if kind.startswith(f"{family}."))
        shown += count
        table.add_row(Text(f"{family}.*", style="dim"), Text(str(count), style="bold"))
    others = sum(board.webhooks.values()) - shown
    table.add_row(Text("other", style="dim"), Text(str(others), style="bold"))
    table.add_row()
    verified = sum(board.webhooks.values())
    good = not board.webhooks_refused
    table.add_row(
        Text("verified" if good else "refused", style="green" if good else "bold red"),
        Text(str(verified if good else board.webhooks_refused), style="bold"),
    )
    table.add_row()
    return Panel(table, title="webhooks", title_align="left", box=box.ROUNDED, border_style="dim")


def _story(board: Board, spinner: Spinner) -> RenderableType:
    past = [Text(f" ✓ {line}", style="dim", no_wrap=True) for line in board.past[-_PAST_LINES:]]
    now = Table.grid(padding=(0, 1))
    done = board.now == "done"
    now.add_row("", Text("✓", style="green") if done else spinner, Text(board.now, style="bold"))
    return Group(*past, now)


def _grid() -> Table:
    """Columns of fixed widths: nothing jumps when something changes."""
    return Table(box=None, expand=True, padding=(0, 1), pad_edge=False, header_style="dim")
