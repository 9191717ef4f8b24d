"""The commented configuration that ``bursar init`` writes."""

from __future__ import annotations

from importlib.resources import files


def example_toml() -> str:
    """Text of ``bursar.example.toml``; valid as it stands."""
    return files("config").joinpath("example.toml").read_text(encoding="utf-8")
