"""Errors a person can see: each says what happened, where, and the remedy.

Subclasses say when to raise them. :class:`BursarError` itself is never raised
by a bug; a bug is an ``AssertionError`` or any other exception, and shows a
traceback to the supervisor's log.
"""

from __future__ import annotations


class BursarError(Exception):
    """Root of all expected errors.

    :param what: what happened, one sentence without a full stop.
    :param where: file, key, URL host, chain or object concerned; may be empty.
    :param remedy: what the reader can do; may be empty.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        remedy = f" ({self.remedy})" if self.remedy else ""
        return f"{place}{self.what}{remedy}"


class ConfigError(BursarError):
    """Configuration is missing, malformed, or disagrees with the chain."""


class DatabaseError(BursarError):
    """The database cannot be reached, is not migrated, or refused a change."""


class ConflictError(BursarError):
    """The stored state no longer allows what was asked; nothing was changed."""


class NotFoundError(BursarError):
    """No such object, or it belongs to someone else."""


class InvalidInputError(BursarError):
    """A caller's value is not acceptable; ``where`` names the field."""


class LeaseLostError(BursarError):
    """Another process holds the lease: this one must stop acting at once."""


class WalletError(BursarError):
    """A key is missing, a keystore cannot be opened, or a signer refused."""
