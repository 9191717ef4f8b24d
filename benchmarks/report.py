"""Figures for people and for programs."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, rounded


def table(figures: Sequence[Figure]) -> Table:
    """One row a figure."""
    made = Table(title="Benchmarks", title_justify="left")
    for column in ("figure", "value", "unit", "baseline", "ratio", "CPU ratio", "target", "met"):
        right = column in ("value", "ratio", "CPU ratio")
        made.add_column(column, justify="right" if right else "left", overflow="fold")
    for figure in figures:
        other = f" ({number(figure.baseline_value)})" if figure.baseline_value is not None else ""
        made.add_row(
            figure.name,
            "not built" if figure.value is None else number(figure.value),
            figure.unit,
            figure.baseline + other,
            number(figure.ratio),
            number(figure.details.get("ratio_of_cpu")),
            "" if figure.target is None else str(figure.target),
            {True: "[green]yes", False: "[red]NO", None: ""}[figure.met],
        )
    return made


def number(value: float | None) -> str:
    """Four significant digits, thousands apart."""
    short = rounded(value)
    if short is None:
        return ""
    return f"{short:,.0f}" if abs(short) >= 1_000 else f"{short:.10g}"


def show(figures: Sequence[Figure]) -> None:
    """The table on standard output."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(table(figures))


def write(path: Path, sizes: str, figures: Sequence[Figure]) -> None:
    """All figures of this run, replacing those of the same name in the file.

    A run of some of the figures leaves the others as they were; another size starts anew.
    """
    old: list[dict[str, Any]] = []
    if path.exists():
        document = msgspec.json.decode(path.read_bytes())
        old = document["figures"] if document["sizes"] == sizes else []
    new = {_key(made): made for made in (figure.as_json() for figure in figures)}
    kept = [new.pop(_key(entry), entry) for entry in old]
    document = {"sizes": sizes, "machine": machine(), "figures": [*kept, *new.values()]}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


def _key(entry: dict[str, Any]) -> tuple[str, str]:
    return entry["name"], entry["baseline"]


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
