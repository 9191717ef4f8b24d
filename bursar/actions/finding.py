"""One line of the doctor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """``subject`` names what was looked at, ``text`` says what was found."""

    good: bool
    subject: str
    text: str
