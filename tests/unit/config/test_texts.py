"""Durations and schedules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.durations import MAX_DURATION, format_duration, parse_duration
from config.schedules import parse_schedule


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("10s", 10), ("30m", 1800), ("24h", 86400), ("1d", 86400), ("0s", 0)],
)
def test_duration__each_unit__is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "10", "s", "-1s", "1.5h", "1 s", "01s", "1S", "1h30m", "١s", "1s\n", "9999999999s", "3651d"]
)  # fmt: skip
def test_duration__anything_else__is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


@given(st.integers(0, MAX_DURATION // timedelta(milliseconds=1)))
def test_duration__written_and_read__is_the_same(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)
    if milliseconds < 10**9:
        assert parse_duration(format_duration(duration)) == duration


def due(text: str, moment: str) -> str:
    result = parse_schedule(text).next_after(datetime.fromisoformat(moment).replace(tzinfo=UTC))
    assert result is not None
    assert result.tzinfo is UTC
    return result.strftime("%Y-%m-%dT%H:%M:%S")


@pytest.mark.parametrize(
    ("text", "moment", "expected"),
    [
        ("0 2 * * *", "2026-01-01T01:59:59", "2026-01-01T02:00:00"),
        ("0 2 * * *", "2026-01-01T02:00:00", "2026-01-02T02:00:00"),
        ("every 10s", "2026-01-01T00:00:10", "2026-01-01T00:00:20"),
        ("every 10s", "2026-01-01T00:00:11.5", "2026-01-01T00:00:20"),
        # 2026-01-01 is a Thursday; crontab's 0 and 7 are Sunday, 1 is Monday
        ("0 0 * * 0", "2026-01-01T00:00:00", "2026-01-04T00:00:00"),
        ("0 0 * * 7", "2026-01-01T00:00:00", "2026-01-04T00:00:00"),
        ("0 0 * * 1-5", "2026-01-02T00:00:00", "2026-01-05T00:00:00"),
        ("0 0 * * */2", "2026-01-01T00:00:00", "2026-01-03T00:00:00"),
        ("0 0 * * mon", "2026-01-01T00:00:00", "2026-01-05T00:00:00"),
    ],
)
def test_schedule__next_after__is_strictly_later(text: str, moment: str, expected: str) -> None:
    assert due(text, moment) == expected


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        # 1 January 2026 is a Thursday. crontab(5): both days given, either will do.
        ("0 2 15 * 1", ["05", "12", "15", "19", "26"]),
        ("0 2 1,15 * mon-tue", ["01", "05", "06", "12", "13", "15", "19", "20", "26", "27"]),
        ("0 2 31 2 1", []),  # all in February
        # One of them begins with a star: both must fit.
        ("0 2 */2 * 1", ["05", "19"]),
        ("0 2 1-7 * */2", ["01", "03", "04", "06"]),
        ("0 2 15 * *", ["15"]),
        ("0 2 * * 1", ["05", "12", "19", "26"]),
    ],
)
def test_schedule__day_of_month_and_of_week__as_crontab_reads_them(
    text: str, runs: list[str]
) -> None:
    schedule, moment = parse_schedule(text), datetime(2026, 1, 1, tzinfo=UTC)
    found = []
    while (due_at := schedule.next_after(moment)) is not None and due_at.month == 1:
        found.append(f"{due_at:%d}")
        moment = due_at
    assert found == runs


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-01-10T12:00:00", "2026-01-11T01:30:00"),
        ("2026-07-10T12:00:00", "2026-07-11T00:30:00"),
        # 02:30 does not exist on 29 March 2026 in Berlin, and is there twice on 25 October
        ("2026-03-28T12:00:00", "2026-03-29T01:30:00"),
        ("2026-10-24T12:00:00", "2026-10-25T00:30:00"),
    ],
)
def test_f26_schedule__zone_with_daylight_saving__once_a_day(moment: str, expected: str) -> None:
    assert due("30 2 * * * Europe/Berlin", moment) == expected


@pytest.mark.parametrize("moment", ["2026-10-25T00:55:00", "2026-10-25T01:05:00"])
def test_f26_schedule__in_the_repeated_hour__never_in_the_past(moment: str) -> None:
    assert due("*/10 * * * * Europe/Berlin", moment) == "2026-10-25T02:00:00"


def test_f26_schedule__a_year_in_a_zone__365_runs() -> None:
    schedule = parse_schedule("30 2 * * * Europe/Berlin")
    moment: datetime | None = datetime(2026, 1, 1, tzinfo=UTC)
    runs = []
    while moment is not None and moment.year == 2026:
        moment = schedule.next_after(moment)
        assert moment is not None
        runs.append(moment)
    days = {run.date() for run in runs}
    assert len(runs) == len(days) == 366  # and the first of 2027


@pytest.mark.parametrize(
    "text",
    ["", "daily", "every", "every 0s", "every 10ms", "every -1s", "* * * *", "60 * * * *",
     "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "* * * * 5-1", "* * * * 1-", "a * * * *",
     "0 2 * * * Mars/Base", "0 2 * * * Europe", "0 2 * * * ../etc", "*/0 * * * *", "0 2 * * *" * 40],
)  # fmt: skip
def test_schedule__nonsense__is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_schedule(text)


@given(st.text(max_size=40) | st.text("0123456789*/-, ", max_size=20))
def test_schedule__any_text__is_read_or_refused(text: str) -> None:
    try:
        parse_schedule(text)
    except ValueError as error:
        assert str(error)
