"""What the door tells metrics; labels come from small closed sets only."""

from __future__ import annotations

from typing import Protocol


class HttpObserver(Protocol):
    """Called once per answer and once per webhook attempt."""

    def on_request(self, route: str, code: int, seconds: float) -> None:
        """``route`` is a pattern such as ``/v1/invoices/{id}``, or ``unmatched``."""
        ...

    def on_delivery(self, outcome: str) -> None:
        """One of ``delivered``, ``retry``, ``dead``, ``disabled``."""
        ...


class SilentObserver:
    """Tells nobody."""

    def on_request(self, route: str, code: int, seconds: float) -> None: ...

    def on_delivery(self, outcome: str) -> None: ...
