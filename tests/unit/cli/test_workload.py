"""The synthetic workload: seeded, and of the shape it promises."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coherd.cli.replay.workload import MAX_VALUE_BYTES, MIN_VALUE_BYTES, ZipfWorkload, pareto_size_bytes


def test_the_same_seed_gives_the_same_requests() -> None:
    assert ZipfWorkload(1_000, seed=1).ids() == ZipfWorkload(1_000, seed=1).ids()
    assert ZipfWorkload(1_000, seed=1).ids() != ZipfWorkload(1_000, seed=2).ids()


@settings(max_examples=50)
@given(st.integers(1, 300), st.integers(1, 300), st.floats(0, 5), st.integers())
def test_requests_ask_for_objects_there_are(requests: int, objects: int, alpha: float, seed: int) -> None:
    ids = ZipfWorkload(requests, objects, alpha, seed).ids()
    assert len(ids) == requests
    assert all(0 <= item < objects for item in ids)


@pytest.mark.parametrize("alpha", [0.0, 0.8, 1.2, 2.0])
def test_frequencies_follow_the_law(alpha: float) -> None:
    requests, objects = 200_000, 1_000
    counts = Counter(ZipfWorkload(requests, objects, alpha).ids())
    weights = [rank**-alpha for rank in range(1, objects + 1)]
    total = sum(weights)
    for item in (0, 1, 2, 9, 99):
        share = weights[item] / total
        sigma = math.sqrt(requests * share * (1 - share))
        assert abs(counts[item] - requests * share) < 5 * sigma + 1


def test_more_skew_means_fewer_different_objects() -> None:
    distinct = [len(set(ZipfWorkload(5_000, 5_000, alpha).ids())) for alpha in (0.5, 1.0, 1.5, 2.0)]
    assert distinct == sorted(distinct, reverse=True)


def test_value_sizes_have_the_published_median() -> None:
    # Median of the generalized Pareto distribution: scale * (2 ** shape - 1) / shape.
    assert pareto_size_bytes(0.5) == round(214.476 * (2**0.348238 - 1) / 0.348238) == 168
    assert pareto_size_bytes(0.0) == MIN_VALUE_BYTES
    assert pareto_size_bytes(math.nextafter(1, 0)) == MAX_VALUE_BYTES


def test_an_object_keeps_its_size() -> None:
    workload = ZipfWorkload()
    assert workload.value_bytes(7) == workload.value_bytes(7)
    assert len({workload.value_bytes(item) for item in range(100)}) > 50
