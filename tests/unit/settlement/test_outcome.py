"""What a receipt proves about a payout batch: never the status alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from chain.abi import topic
from chain.model import TRANSFER_TOPIC, Log, Receipt
from config.units import Address, BlockNumber, Hash32
from settlement.outcome import PayoutBatch, judge_payouts

TOKEN, TREASURY, OTHER = (Address(bytes([n]) * 20) for n in (1, 2, 3))
A, B = Address(b"\xaa" * 20), Address(b"\xbb" * 20)
CONTENT = Hash32(b"\xcc" * 32)
BATCH = PayoutBatch(TREASURY, TOKEN, 0, 5, CONTENT, ((A, 10), (B, 20)))
ZERO = Hash32(bytes(32))


def log(address: Address, topics: Sequence[bytes], data: bytes) -> Log:
    return Log(address, tuple(topics), data, BlockNumber(1), ZERO, ZERO, 0, 0)


def word(value: int) -> bytes:
    return value.to_bytes(32)


def moved(to: Address, amount: int, sender: Address = TREASURY, token: Address = TOKEN) -> Log:
    topics = (TRANSFER_TOPIC, sender.rjust(32, b"\0"), to.rjust(32, b"\0"))
    return log(token, topics, word(amount))


def ran(content: bytes = CONTENT, batch_id: int = 5, by: Address = TREASURY) -> Log:
    name = topic("BatchExecuted(uint64,uint256,address,bytes32,uint256)")
    topics = (name, word(0), word(batch_id), TOKEN.rjust(32, b"\0"))
    return log(by, topics, content + word(0))


def receipt(*logs: Log, status: int = 1) -> Receipt:
    return Receipt(ZERO, ZERO, BlockNumber(1), 0, status, 1, 1, 0, OTHER, TREASURY, None, logs)


@pytest.mark.parametrize(
    ("found", "executed", "surprise"),
    [
        pytest.param(receipt(moved(A, 10), moved(B, 20), ran()), True, None, id="as_planned"),
        pytest.param(receipt(ran(), status=0), False, None, id="reverted"),
        pytest.param(receipt(moved(A, 10), moved(B, 20)), False, "no BatchExecuted",
                     id="call_to_nothing_succeeds"),
        pytest.param(receipt(moved(A, 10), moved(B, 20), ran(by=OTHER)), False,
                     "no BatchExecuted", id="somebody_elses_event"),
        pytest.param(receipt(moved(A, 10), moved(B, 20), ran(batch_id=6)), False,
                     "no BatchExecuted", id="another_batch"),
        pytest.param(receipt(moved(A, 10), moved(B, 20), ran(content=bytes(32))), True,
                     "another content", id="another_content_under_our_id"),
        pytest.param(receipt(moved(A, 10), ran()), True, "no Transfer log for entry 1",
                     id="one_log_is_missing"),
        pytest.param(receipt(moved(A, 10), moved(B, 20, token=OTHER), ran()), True,
                     "no Transfer log for entry 1", id="another_tokens_log_proves_nothing"),
        pytest.param(receipt(moved(A, 10), moved(B, 20, sender=OTHER), ran()), True,
                     "no Transfer log for entry 1", id="paid_by_another"),
        pytest.param(receipt(moved(A, 10), moved(B, 20), moved(OTHER, 1), ran()), True,
                     "31 base units left the treasury where 30 were planned", id="more_left"),
        pytest.param(receipt(moved(A, 30), ran()), True, "no Transfer log for entry 0",
                     id="right_sum_to_the_wrong_one"),
        pytest.param(receipt(moved(A, 9), moved(OTHER, 1), moved(B, 20), ran()), True, None,
                     id="token_keeps_a_fee"),
        pytest.param(receipt(moved(A, 7), ran(batch_id=4), moved(A, 10), moved(B, 20), ran(),
                             moved(B, 20), ran(batch_id=6)), True, None,
                     id="other_batches_ran_before_and_after_it"),
        pytest.param(receipt(moved(A, 10), moved(B, 20), ran(batch_id=4), ran()), True,
                     "0 base units left", id="what_another_batch_paid_proves_nothing"),
        pytest.param(receipt(moved(A, 10), moved(OTHER, 0), moved(B, 20), ran()), True, None,
                     id="nothing_was_moved_besides"),
    ],
)  # fmt: skip
def test_judge_payouts__named_cases(found: Receipt, executed: bool, surprise: str | None) -> None:
    outcome = judge_payouts(BATCH, found)
    assert outcome.executed is executed
    assert (surprise is not None) == bool(outcome.surprises), outcome.surprises
    assert surprise is None or any(surprise in s for s in outcome.surprises), outcome.surprises
