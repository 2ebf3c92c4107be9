"""Durations as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherd.contract.durations import format_duration, parse_duration_ms


@pytest.mark.parametrize(
    ("text", "duration_ms"),
    [
        ("500ms", 500),
        ("90s", 90_000),
        ("30m", 1_800_000),
        ("12h", 43_200_000),
        ("7d", 604_800_000),
        ("1h30m", 5_400_000),
        ("1d2h3m4s5ms", 93_784_005),
        ("0", 0),
        ("0s", 0),
        ("007s", 7_000),
    ],
)
def test_parses(text: str, duration_ms: int) -> None:
    assert parse_duration_ms(text) == duration_ms


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not a duration"),
        ("30", "has no unit"),
        ("-5s", "is not a duration"),
        ("1.5h", "is not a duration"),
        ("5 m", "is not a duration"),
        ("5M", "is not a duration"),
        ("5s\n", "is not a duration"),
        ("٣s", "is not a duration"),
        ("30m1h", "largest first"),
        ("1s1s", "largest first"),
        ("9" * 16 + "s", "is not a duration"),
    ],
)
def test_refuses_in_one_line(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        parse_duration_ms(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_bounds_are_named() -> None:
    assert parse_duration_ms("1s", low_ms=1_000, high_ms=1_000) == 1_000
    with pytest.raises(ValueError, match=r"in 1s\.\.1m"):
        parse_duration_ms("61s", low_ms=1_000, high_ms=60_000)
    with pytest.raises(ValueError, match="at least 1ms"):
        parse_duration_ms("0s", low_ms=1)


@given(st.integers(min_value=0, max_value=10**14))
def test_format_is_read_back(duration_ms: int) -> None:
    assert parse_duration_ms(format_duration(duration_ms)) == duration_ms


def test_formats_the_way_people_write() -> None:
    assert format_duration(0) == "0s"
    assert format_duration(5_400_000) == "1h30m"
    assert format_duration(-90_000) == "-1m30s"
