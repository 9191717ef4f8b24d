"""Names under which one process at a time leads."""

from __future__ import annotations


def lease_name(chain: str) -> str:
    """The lease under which a chain's settlement acts."""
    return f"settlement:{chain}"
