"""Observers of the process itself: RPC requests and the daemon's tasks."""

from __future__ import annotations

from bursar.metrics.families import Families
from chain.rpc.health import ProviderState


class RpcMetrics:
    """A :class:`chain.rpc.observer.RpcObserver`."""

    def __init__(self, families: Families) -> None:
        self._families = families

    def on_request(
        self, chain: str, provider: str, method: str, outcome: str, seconds: float
    ) -> None:
        self._families.rpc_requests.labels(chain, provider, method, outcome).inc()
        self._families.rpc_duration.labels(chain, provider).observe(seconds)
        if outcome == "ok" and method != "eth_chainId":
            # A state that has worn off is not announced: an answer proves it. Not one that only
            # says which chain it is: what follows from that is announced.
            self._families.rpc_up.labels(chain, provider).set(1)

    def on_calls(self, chain: str, provider: str, method: str, count: int) -> None:
        self._families.rpc_calls.labels(chain, provider, method).inc(count)

    def on_hedge(self, chain: str, provider: str, method: str, outcome: str) -> None:  # noqa: ARG002
        self._families.rpc_hedges.labels(chain, provider, outcome).inc()

    def on_provider_state(self, chain: str, provider: str, state: str) -> None:
        up = state in (ProviderState.alive, ProviderState.rate_limited, ProviderState.out_of_sync)
        self._families.rpc_up.labels(chain, provider).set(int(up))


class TaskMetrics:
    """A :class:`bursar.supervision.TaskObserver`."""

    def __init__(self, families: Families) -> None:
        self._families = families

    def on_task_died(self, task: str) -> None:
        self._families.task_deaths.labels(task).inc()

    def on_task_state(self, task: str, up: bool) -> None:
        self._families.task_deaths.labels(task)
        self._families.task_up.labels(task).set(int(up))
