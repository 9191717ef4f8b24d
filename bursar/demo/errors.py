"""What can go wrong in a demo, as one line."""

from __future__ import annotations

from config.errors import BursarError


class DemoError(BursarError):
    """The demo cannot go on: the daemon stopped, refused, or something took too long."""
