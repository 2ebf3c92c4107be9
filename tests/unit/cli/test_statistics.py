"""Quantiles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherd.cli.replay.report import latency_text
from coherd.cli.replay.statistics import Latencies, nearest_rank


def test_nothing_measured_is_zero() -> None:
    assert Latencies().quantiles() == (0, 0.0, 0.0, 0.0, 0.0)


def test_quantiles_in_milliseconds() -> None:
    latencies = Latencies()
    for number in range(100, 0, -1):
        latencies.add(number / 1000)
    assert latencies.quantiles() == pytest.approx((100, 50.0, 90.0, 99.0, 100.0))


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.001, 1))
def test_nearest_rank_is_the_smallest_that_covers_the_fraction(samples: list[float], q: float) -> None:
    ordered = sorted(samples)
    found = nearest_rank(ordered, q)
    covered = sum(sample <= found for sample in ordered)
    below = sum(sample < found for sample in ordered)
    assert covered >= q * len(ordered)
    assert below < q * len(ordered)


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [(0.0, "0.0 µs"), (0.0042, "4.2 µs"), (0.9, "900.0 µs"), (1.0, "1.00 ms"), (111.2, "111.20 ms")],
)
def test_a_latency_is_shown_with_a_unit_that_fits(time_ms: float, text: str) -> None:
    assert latency_text(time_ms) == text
