"""What of a provider's URL may be shown, and how the rest is kept out of words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote, urlsplit

MESSAGE_CHARS: Final = 300
_SECRET_CHARS: Final = 6
"""Shorter path segments (``v2``, ``rpc``) are no keys."""


def label_of(url: str) -> str:
    """Host and, where given, port: the only part of a URL that is shown."""
    parts = urlsplit(url)
    host = parts.hostname or "?"
    return f"{host}:{parts.port}" if parts.port else host


def labels_of(urls: Sequence[str]) -> list[str]:
    """A label per URL; the second of a host is ``host#2``."""
    seen: dict[str, int] = {}
    labels = []
    for url in urls:
        label = label_of(url)
        seen[label] = seen.get(label, 0) + 1
        labels.append(label if seen[label] == 1 else f"{label}#{seen[label]}")
    return labels


def secrets_of(url: str) -> tuple[str, ...]:
    """Parts of a URL that may be a key, longest first: user, password, path, query."""
    parts = urlsplit(url)
    texts = [parts.username or "", parts.password or "", *parts.path.split("/")]
    texts += [pair.partition("=")[2] or pair for pair in parts.query.split("&")]
    texts += [unquote(text) for text in texts]
    found = {url, *(text for text in texts if len(text) >= _SECRET_CHARS)}
    return tuple(sorted(found, key=len, reverse=True))


def clean(message: str, secrets: Sequence[str]) -> str:
    """A provider's words on one line, at most 300 characters, without ``secrets``."""
    text = message[:2000]
    for secret in secrets:
        text = text.replace(secret, "***")
    return " ".join(text.split())[:MESSAGE_CHARS]
