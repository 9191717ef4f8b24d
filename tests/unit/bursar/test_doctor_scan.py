"""What the doctor says of a scan that is behind."""

from __future__ import annotations

import pytest

from bursar.actions.doctor_scan import duration, tell
from watcher.progress import Progress

BEGAN = Progress(100.0, 1_000)


@pytest.mark.parametrize(
    ("cursor", "head", "expected"),
    [
        (1_000, 1_003, "block 1000, 3 behind the head"),
        (1_000, 999, "block 1000, 0 behind the head"),
        (1_000, 5_000, "block 1000, 4000 behind the head, and not moving (is bursar run at work?)"),
        (1_200, 7_200, "block 1200, 6000 behind the head, 100 blocks a second: 1 min 0 s still"),
    ],
    ids=["at_head", "head_shrank", "stands", "catching_up"],
)
def test_scan__table(cursor: int, head: int, expected: str) -> None:
    assert tell(BEGAN, 102.0, cursor, head) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.2, "1 s"), (59.4, "59 s"), (61, "1 min 1 s"), (7_260, "2 h 1 min"), (180_000, "2 d 2 h")],
)
def test_duration__table(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected
