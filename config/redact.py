"""Keeping secrets out of logs: by value, by the name of the field, and by shape.

By value is the strong one: what was loaded as a secret is known and is
removed wherever it turns up. Names and shapes catch what came from elsewhere.
A bare 32-byte hexadecimal number is left alone: it is far more often a
transaction hash, which a log without would be useless.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import SecretBytes, SecretStr

from config.credentials import SECRET_NAMES, Secrets
from config.models import Settings

MASK: Final = "[redacted]"
_SHORTEST: Final = 6
"""Shorter secrets are not looked for: they would turn up inside ordinary words."""
_MAX_DEPTH: Final = 6
_FIELD: Final = re.compile(
    r"(?i)(?:^|[_.-])(?:secret|secrets|private_?key|privkey|mnemonic|seed|entropy|passphrase"
    r"|password|passwd|api_?key|admin_?key|data_?key|signing_?key|authorization|cookie)s?$"
)
_SHAPES: Final = (
    # URL credentials, RFC 3986 userinfo
    (re.compile(r"(?<=://)[^\s/@]+@"), f"{MASK}@"),
    # A path segment or query value of a URL that is long enough to be a provider's API key
    (
        re.compile(r"(?P<base>(?:https?|wss?)://[^\s/'\"]+[^\s'\"]*?[/=])(?!(?:inv|pay|po|mer|evt|we)_)"
                   r"[A-Za-z0-9_-]{20,}"),
        rf"\g<base>{MASK}",
    ),
    (re.compile(r"\bbk_[A-Za-z0-9_-]{20,}"), MASK),
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=_-]+"), MASK),
    (re.compile(r"\bxprv[1-9A-HJ-NP-Za-km-z]{20,}"), MASK),
    (re.compile(r"(?i)\b(?P<scheme>bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\g<scheme> {MASK}"),
    (
        re.compile(r"(?i)(?P<name>(?:private[ _-]?key|secret|seed|passphrase|password"
                   r"|api[ _-]?key)['\"]?\s*[:=]\s*['\"]?)[^\s'\",;)}]+"),
        rf"\g<name>{MASK}",
    ),
    # BIP-39 words are 3 to 8 letters; nothing else has twelve of them in a row
    (re.compile(r"\b(?:[a-z]{3,8}[ \n]){11,23}[a-z]{3,8}\b"), MASK),
)  # fmt: skip


def redact_url(url: str) -> str:
    """Scheme, host and port: what may be shown of an RPC or database URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return MASK
    if not host:
        return f"{parts.scheme}:" if parts.scheme else MASK
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port else "")


class Redactor:
    """Removes secrets from text and from log events; pure, safe to share."""

    def __init__(self, secrets: Iterable[str] = (), urls: Iterable[str] = ()) -> None:
        """:param urls: shown as scheme and host only, wherever they turn up."""
        known = {secret: MASK for secret in secrets if len(secret) >= _SHORTEST}
        for url in urls:
            shown = redact_url(url)
            if shown != url.rstrip("/"):
                known[url] = shown
        # Longest first, so that a secret that contains another one goes as a whole.
        self._known = sorted(known.items(), key=lambda item: -len(item[0]))

    def text(self, text: str) -> str:
        """``text`` without secrets."""
        for secret, shown in self._known:
            text = text.replace(secret, shown)
        for pattern, replacement in _SHAPES:
            text = pattern.sub(replacement, text)
        return text

    def value(self, value: Any, name: str = "", depth: int = 0) -> Any:
        """A log value without secrets; bytes become ``0x…``, deep structures end in ``…``.

        :param name: of the field that holds it; some names are masked whatever they hold.
        """
        if value is None:
            return None
        if isinstance(value, SecretStr | SecretBytes) or _FIELD.search(name):
            return MASK
        if isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            return self._container(value, depth) if depth < _MAX_DEPTH else "…"
        if isinstance(value, bytes | bytearray):
            return self.text("0x" + value.hex())
        return self.text(str(value))

    def _container(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return {str(key): self.value(item, str(key), depth + 1) for key, item in value.items()}
        return [self.value(item, "", depth + 1) for item in value]


def redactor_for(settings: Settings, secrets: Secrets) -> Redactor:
    """A redactor that knows this installation's secrets and endpoints."""
    held = [getattr(secrets, name) for name in SECRET_NAMES]
    urls = [settings.database.url]
    for chain in settings.chains:
        urls += [*chain.rpc_urls, *chain.head_urls]
    return Redactor([secret.get_secret_value() for secret in held if secret], urls)
