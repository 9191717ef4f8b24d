"""Webhook endpoints as their owners know them, and a receiver that verifies what it is sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

OVERLAP = 86_400.0
"""Seconds for which a secret that was replaced signs beside the new one."""
ASTRAY = 120.0
"""Seconds by which a daemon's clock may be off, and then some."""
TOLERANCE = 300.0


@dataclass
class Secret:
    """One that an endpoint has or had; ``text`` is ``None`` where its answer was lost."""

    sealed: str
    text: str | None = None
    replaced_at: float | None = None


@dataclass
class Hook:
    """One endpoint.

    :param since: number of the newest event that there was before it.
    :param made_at: virtual seconds.
    """

    id: str
    merchant_id: str
    url: str
    types: frozenset[str] | None
    since: int
    made_at: float
    secrets: list[Secret] = field(default_factory=list)
    over: bool = False
    """Deleted, or disabled because it answered 410."""
    sent: Counter[str] = field(default_factory=Counter)
    under_way: Counter[str] = field(default_factory=Counter)
    """Attempts, by event, that had begun when it was last changed, and have not come in since."""

    def learn(self, text: str | None) -> None:
        """What the answer said of the newest secret."""
        self.secrets[-1].text = text

    def rotated(self, sealed: str, now: float) -> None:
        if self.secrets:
            self.secrets[-1].replaced_at = now
        self.secrets.append(Secret(sealed))

    def fault_in(
        self, body: bytes, headers: Mapping[str, str], now: datetime, seconds: float, *, late: bool
    ) -> str:
        """What is wrong with its signatures; empty: nothing.

        :param late: it was begun before the last change, and may be signed as was right then.
        """
        known = [s for s in self.secrets if s.text is not None]
        good = [s for s in known if verifies(s.text or "", body, headers, now)]
        if late:
            return "" if good or len(known) < len(self.secrets) else "no secret of ours signed it"
        for secret in known:
            age = 0.0 if secret.replaced_at is None else seconds - secret.replaced_at
            name = "the secret" if secret.replaced_at is None else f"the one of {age:.0f} s ago"
            if secret not in good and age < OVERLAP - ASTRAY:
                return f"{name} did not sign it"
            if secret in good and age > OVERLAP + ASTRAY:
                return f"{name} still signs"
        return ""


class _Receiver(Webhook):
    """The public library, but for its clock, which is the simulation's."""

    def __init__(self, secret: str, now: datetime) -> None:
        super().__init__(secret)
        self._now = now

    def _Webhook__verify_timestamp(self, text: str) -> datetime:  # noqa: N802 - the library's own
        if abs(self._now.timestamp() - float(text)) > TOLERANCE:
            raise WebhookVerificationError("too old or too new")
        return datetime.fromtimestamp(float(text), tz=UTC)


def verifies(secret: str, body: bytes, headers: Mapping[str, str], now: datetime) -> bool:
    """Whether a receiver with this secret takes it, by a right clock."""
    try:
        _Receiver(secret, now).verify(body, dict(headers), json_parse=False)
    except WebhookVerificationError:
        return False
    return True
