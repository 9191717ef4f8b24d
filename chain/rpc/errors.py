"""What can go wrong when asking a provider; each class says when it is raised.

``elsewhere``: another provider may answer the same request.
``again``: the same provider may answer it a moment later.
A class with neither is the chain's own answer and goes straight to the caller.
``outcome`` is the label in ``rpc_requests_total``.
"""

# ruff: noqa: N818 - named for reading: "except TooLarge", "raise RateLimited"

from __future__ import annotations

from typing import ClassVar

from config.errors import BursarError


class RpcError(BursarError):
    """A provider's request failed. ``provider`` is its label (host), never its URL."""

    outcome: ClassVar[str] = "error"
    elsewhere: ClassVar[bool] = True
    again: ClassVar[bool] = False

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.provider = ""


class TooLarge(RpcError):
    """The answer or the range is over the provider's limit: ask for less.

    :param suggested: (first, last) block that the message said would work.
    :param max_blocks: number of blocks per request that the message named.
    """

    outcome = "too_large"
    elsewhere = False

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        suggested: tuple[int, int] | None = None,
        max_blocks: int | None = None,
    ) -> None:
        super().__init__(what, where=where, remedy="ask for a smaller range")
        self.suggested = suggested
        self.max_blocks = max_blocks

    @property
    def blocks(self) -> int | None:
        """How many blocks a request may take, by the provider's own words."""
        if self.suggested is not None:
            first, last = self.suggested
            return last - first + 1
        return self.max_blocks


class RateLimited(RpcError):
    """The provider said 429, or its own words for it. ``retry_after`` in seconds, if told."""

    outcome = "rate_limited"
    again = True

    def __init__(self, what: str, *, where: str = "", retry_after: float | None = None) -> None:
        super().__init__(what, where=where, remedy="slow down, or raise the plan's limit")
        self.retry_after = retry_after


class Timeout(RpcError):
    """No answer within the method's time. Whether the node acted on it is unknown."""

    outcome = "timeout"


class Unreachable(RpcError):
    """No connection, connection dropped, 5xx, or the provider refuses us (401, 403)."""

    outcome = "unreachable"
    again = True


class BadReply(RpcError):
    """The reply is no JSON-RPC, truncated, another request's, or contradicts what was asked."""

    outcome = "bad_reply"
    again = True


class WrongChain(RpcError):
    """The provider serves another chain id than configured: it is never used for anything."""

    outcome = "wrong_chain"


class NodeBehind(RpcError):
    """The node does not have that block or state (yet, or any more)."""

    outcome = "behind"
    again = True


class CallReverted(RpcError):
    """The simulated call reverted. ``data`` is the raw revert data, maybe empty."""

    outcome = "reverted"
    elsewhere = False

    def __init__(self, what: str, *, where: str = "", data: bytes = b"") -> None:
        super().__init__(what, where=where)
        self.data = data


class MethodNotSupported(RpcError):
    """The provider does not offer this method (or not on this plan)."""

    outcome = "unsupported"


class BatchRefused(RpcError):
    """The provider takes no batches, or smaller ones; ``max_items`` if it said how many."""

    outcome = "batch_refused"

    def __init__(self, what: str, *, where: str = "", max_items: int | None = None) -> None:
        super().__init__(what, where=where)
        self.max_items = max_items


class NodeError(RpcError):
    """Any other error that a node returned: ``code`` and ``message`` as it gave them."""

    outcome = "node_error"

    def __init__(
        self, what: str, *, where: str = "", code: int | None = None, message: str = ""
    ) -> None:
        super().__init__(what, where=where)
        self.code = code
        self.message = message


class ProofFailed(RpcError):
    """A block's header, transactions or receipts do not hash to what they should.

    Either the provider (``provider``) lies, or the chain commits to something that is
    not understood here; both mean that nothing of the block may be believed from it.
    """

    outcome = "unproven"
