"""Reading what a call of a known contract answers: another answer is the provider's fault. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from chain.rpc.errors import BadReply, CallReverted

R = TypeVar("R")


def read_answer(answer: bytes | CallReverted, decode: Callable[[bytes], R]) -> R:
    """The value.

    :raises BadReply: these bytes are no such value. None at all come from a node whose state is
        older than the contract.
    :raises CallReverted: the call reverted.
    """
    if isinstance(answer, CallReverted):
        raise answer
    try:
        return decode(answer)
    except ValueError as error:
        raise BadReply(f"not an answer of this contract: {error}") from error
