"""The end of a round: every amount from both sides, the cost, and the verdict."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bursar.demo.board import Board
from bursar.demo.measure import Gas, Verdict
from bursar.demo.summary import Line, Sheet, exact


def show(console: Console, verdict: Verdict, board: Board, seconds: float) -> None:
    """Print the table, what the payouts cost, and whether all agrees."""
    console.print()
    console.print(amounts(verdict.sheets), crop=False)
    console.print()
    console.print(_gas_line(verdict.gas))
    console.print(_webhook_line(board))
    console.print(_verdict_line(verdict, seconds))
    for problem in verdict.problems:
        console.print(Text(f"  ✗ {problem}", style="red"), soft_wrap=True)


def show_staying(console: Console, board: Board) -> None:
    """Where to look while it stays."""
    assert board.links is not None, "a round was played"
    console.print()
    for label, url in (
        ("checkout page", board.links.checkout),
        ("API, to try", f"{board.links.api}/docs"),
        ("metrics", f"{board.links.api}/metrics"),
        ("chain (JSON-RPC)", board.links.rpc),
        ("daemon's log", board.links.log),
    ):
        line = Text(f"  {label:18}", style="dim")
        line.append(url, style=f"cyan link {url}" if url.startswith("http") else "cyan")
        console.print(line, soft_wrap=True)
    console.print()
    console.print("Everything stays as it is. [bold]Ctrl-C[/] ends it and leaves nothing behind.")


def amounts(sheets: tuple[Sheet, ...]) -> Table:
    """Every amount, ledger against chain, to the unit.

    Fits into 80 columns while all agrees; where it does not fit it is wider, never cut.
    """
    table = Table(
        title="Every amount, ledger against chain",
        title_style="bold",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        header_style="dim",
        pad_edge=False,
    )
    rows = [(sheet, line, _cells(sheet, line)) for sheet in sheets for line in sheet.lines]
    for position, header in enumerate(("", "ledger", "chain", "off by")):
        table.add_column(
            header,
            justify="right" if position else "left",
            no_wrap=True,
            min_width=max(len(header), *(len(cells[position]) for _, _, cells in rows)),
        )
    for sheet, line, cells in rows:
        if line is sheet.lines[0]:
            table.add_row(Text(sheet.coin.symbol, style="bold"))
        style = "bold red" if line.difference else "green"
        table.add_row(
            *cells[:-1], Text(cells[-1], style=style), end_section=line is sheet.lines[-1]
        )
    return table


def _cells(sheet: Sheet, line: Line) -> tuple[str, str, str, str]:
    decimals = sheet.coin.decimals
    off_by = exact(line.difference, decimals) if line.difference else "0"
    return f"  {line.label}", exact(line.ledger, decimals), exact(line.chain, decimals), off_by


def _gas_line(gas: Gas) -> Text:
    return Text(
        f"{gas.payouts} payouts in {gas.batches} batches took {gas.batched:,} gas; "
        f"one by one about {gas.separate:,}. "
        f"{gas.swept} deposit addresses were swept in {gas.sweeps} "
        f"transaction{'' if gas.sweeps == 1 else 's'}.",
        style="dim",
    )


def _webhook_line(board: Board) -> Text:
    repeated = f", {board.webhooks_repeated} repeated" if board.webhooks_repeated else ""
    return Text(
        f"{sum(board.webhooks.values())} webhooks delivered, every signature verified{repeated}."
        if not board.webhooks_refused
        else f"{board.webhooks_refused} webhooks did not verify.",
        style="dim",
    )


def _verdict_line(verdict: Verdict, seconds: float) -> Text:
    if verdict.problems:
        return Text(f"✗ {len(verdict.problems)} differences ({seconds:.0f} s):", style="bold red")
    return Text(
        f"✓ ledger and chain agree to the unit, and every payment ended as it must "
        f"({seconds:.0f} s)",
        style="bold green",
    )
