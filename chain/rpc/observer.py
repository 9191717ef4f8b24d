"""Where the pool reports what it did; metrics are made of it elsewhere."""

from __future__ import annotations

from typing import Protocol


class RpcObserver(Protocol):
    """Called once per HTTP request, per change of a provider's state and per hedge."""

    def on_request(
        self, chain: str, provider: str, method: str, outcome: str, seconds: float
    ) -> None:
        """``outcome``: ``ok`` or the ``outcome`` of an :class:`~chain.rpc.errors.RpcError`."""
        ...

    def on_calls(self, chain: str, provider: str, method: str, count: int) -> None:
        """JSON-RPC calls sent in one HTTP request, as a provider bills them."""
        ...

    def on_hedge(self, chain: str, provider: str, method: str, outcome: str) -> None:
        """``provider`` was slow, so that another one was asked as well.

        ``outcome``: ``won`` (the other answered first), ``lost``, or ``failed`` (neither).
        """
        ...

    def on_provider_state(self, chain: str, provider: str, state: str) -> None:
        """``state``: a :class:`~chain.rpc.health.ProviderState`."""
        ...


class SilentObserver:
    """Reports to nobody."""

    def on_request(
        self, chain: str, provider: str, method: str, outcome: str, seconds: float
    ) -> None: ...

    def on_calls(self, chain: str, provider: str, method: str, count: int) -> None: ...

    def on_hedge(self, chain: str, provider: str, method: str, outcome: str) -> None: ...

    def on_provider_state(self, chain: str, provider: str, state: str) -> None: ...
