"""What the gateway tells, as metrics."""

from __future__ import annotations

from bursar.metrics.families import Families


class HttpMetrics:
    """A :class:`gateway.observer.HttpObserver`."""

    def __init__(self, families: Families) -> None:
        self._families = families

    def on_request(self, route: str, code: int, seconds: float) -> None:
        self._families.http_duration.labels(route, str(code)).observe(seconds)

    def on_delivery(self, outcome: str) -> None:
        self._families.webhook_deliveries.labels(outcome).inc()
