"""Webhook secrets that were replaced and still sign, each until its own end.

An endpoint's row holds them in one text: the one replaced last as it is, which ends at
``previous_secret_until``; behind it, each after a space, those before with ``@`` and their own end.
Rotating twice within a day is no rare thing: the answer that showed a secret may have been lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

MOST_REPLACED: Final = 10
"""Beyond them the oldest no longer signs: the header is no place for more."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """One of them, still encrypted."""

    sealed: str
    until: datetime


def still_signing(text: str | None, until: datetime | None, now: datetime) -> list[Replaced]:
    """Those whose end has not come, the newest first."""
    if text is None or until is None:
        return []
    newest, *before = text.split(" ")
    found = [Replaced(newest, until), *map(_parsed, before)]
    return [one for one in found if one.until > now]


def columns_of(kept: Sequence[Replaced]) -> dict[str, Any]:
    """As an endpoint's row holds them; the newest come first, and there are not too many."""
    if not kept:
        return {"previous_secret_encrypted": None, "previous_secret_until": None}
    newest, *before = kept[:MOST_REPLACED]
    texts = [newest.sealed, *(f"{one.sealed}@{one.until.timestamp():.0f}" for one in before)]
    return {
        "previous_secret_encrypted": " ".join(texts),
        "previous_secret_until": newest.until,
    }


def _parsed(text: str) -> Replaced:
    sealed, _, end = text.partition("@")
    return Replaced(sealed, datetime.fromtimestamp(int(end), UTC))
