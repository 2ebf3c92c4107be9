"""TTL policy: order of precedence, bounds, jitter, negative values, early refresh."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherd.catalog.declared import CatalogError
from coherd.catalog.load import builtin_catalog
from coherd.catalog.overrides import OverrideError, TtlOverride, with_overrides
from coherd.contract.reasons import Refusal
from coherd.contract.ttl import DAY_MS, MAX_TTL_MS, PolicySource, TtlPolicy, choose_ttl_ms, refresh_early
from coherd.v1.errors_pb2 import ErrorReason

HOUR_MS = 3_600_000
POLICY = TtlPolicy(HOUR_MS, DAY_MS, jitter=0.5)
spreads = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, DAY_MS), spreads)
def test_the_calls_own_ttl_wins_and_has_no_jitter(requested_ms: int, spread: float) -> None:
    assert choose_ttl_ms(POLICY, requested_ms, spread=spread) == requested_ms


@pytest.mark.parametrize("requested_ms", [0, -1, DAY_MS + 1])
def test_the_calls_own_ttl_is_bounded(requested_ms: int) -> None:
    with pytest.raises(Refusal, match=r"1ms\.\.1d") as refused:
        choose_ttl_ms(POLICY, requested_ms)
    assert refused.value.reason == ErrorReason.ERROR_REASON_TTL_INVALID
    assert refused.value.field == "ttl_ms"


@given(st.integers(1, MAX_TTL_MS), st.floats(0, 0.5), spreads)
def test_jitter_only_shortens_and_never_below_one(ttl_ms: int, jitter: float, spread: float) -> None:
    chosen_ms = choose_ttl_ms(TtlPolicy(ttl_ms, MAX_TTL_MS, jitter=jitter), None, spread=spread)
    assert max(1, int(ttl_ms * (1 - jitter)) - 1) <= chosen_ms <= ttl_ms


def test_jitter_spreads() -> None:
    assert choose_ttl_ms(POLICY, None, spread=0.0) == HOUR_MS
    assert choose_ttl_ms(POLICY, None, spread=0.5) == HOUR_MS * 3 // 4


def test_nothing_is_remembered_for_its_own_time_or_refused() -> None:
    remembers = TtlPolicy(HOUR_MS, DAY_MS, negative_ms=30_000)
    assert choose_ttl_ms(remembers, None, negative=True) == 30_000
    assert choose_ttl_ms(POLICY, 5_000, negative=True) == 5_000
    with pytest.raises(Refusal, match="remember"):
        choose_ttl_ms(POLICY, None, negative=True)


@pytest.mark.parametrize(
    "change",
    [
        {"ttl_ms": 0},
        {"ttl_ms": MAX_TTL_MS + 1},
        {"max_ttl_ms": HOUR_MS - 1},
        {"stale_ms": -1},
        {"stale_ms": 30 * DAY_MS + 1},
        {"negative_ms": DAY_MS + 1},
        {"jitter": 0.51},
        {"jitter": float("nan")},
        {"early_refresh": 10.1},
    ],
)
def test_policies_out_of_range(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be in"):
        TtlPolicy(**({"ttl_ms": HOUR_MS, "max_ttl_ms": DAY_MS} | change)).check()


def test_an_override_replaces_what_it_names_and_raises_the_maximum() -> None:
    changed = TtlOverride(ttl_ms=2 * DAY_MS, stale_ms=5).apply(POLICY)
    assert (changed.ttl_ms, changed.max_ttl_ms, changed.stale_ms) == (2 * DAY_MS, 2 * DAY_MS, 5)
    assert changed.jitter == POLICY.jitter
    assert changed.source is PolicySource.OPERATOR
    assert TtlOverride(stale_ms=5).apply(POLICY).source is PolicySource.DOMAIN


def test_overrides_of_a_catalog_resource_before_domain() -> None:
    catalog = with_overrides(
        builtin_catalog(), {"analytics:daily": TtlOverride(ttl_ms=1_000), "analytics": TtlOverride(ttl_ms=2_000)}
    )
    assert catalog.resolve("analytics:daily:user:u:date:20250806").policy.ttl_ms == 1_000
    assert catalog.resolve("analytics:mood_trends:user:u:range:7d").policy.ttl_ms == 2_000
    assert catalog.resolve("analytics:undeclared:user:u").policy.ttl_ms == 2_000
    assert catalog.resolve("psychology:profile:user:u").policy.ttl_ms == DAY_MS
    assert builtin_catalog().resolve("analytics:daily:user:u:date:20250806").policy.ttl_ms == HOUR_MS


def test_overrides_that_name_nothing_or_lead_out_of_range_are_all_told() -> None:
    wrong = {
        "nowhere": TtlOverride(ttl_ms=1),
        "analytics:nothing": TtlOverride(ttl_ms=1),
        "analytics": TtlOverride(ttl_ms=0),
    }
    with pytest.raises(CatalogError) as refused:
        with_overrides(builtin_catalog(), wrong)
    assert len(refused.value.problems) == 3
    assert {name for name in wrong if any(repr(name) in problem for problem in refused.value.problems)} == set(wrong)


def test_an_override_of_a_domain_and_those_of_its_resources_are_judged_together() -> None:
    """analytics:daily has 1 h: a lower maximum of its domain needs its own TTL to be lower, too."""
    low = TtlOverride(ttl_ms=60_000, max_ttl_ms=1_200_000)
    catalog = with_overrides(builtin_catalog(), {"analytics": low})
    assert catalog.resolve("analytics:daily:user:u:date:20250806").policy.max_ttl_ms == 1_200_000
    only_max = TtlOverride(max_ttl_ms=1_200_000)
    with pytest.raises(OverrideError, match=r"'analytics': max must be in 1h\.\.366d, not 20m") as refused:
        with_overrides(builtin_catalog(), {"analytics": only_max})
    assert refused.value.names == ("analytics",)
    long = TtlOverride(ttl_ms=600_000)
    domain = builtin_catalog().domains["maintenance"]
    policies = {f"maintenance:{one}": long for one in domain.resources}
    catalog = with_overrides(
        builtin_catalog(), {"maintenance": TtlOverride(ttl_ms=300_000, max_ttl_ms=1_200_000), **policies}
    )
    assert {spec.policy.ttl_ms for spec in catalog.domains["maintenance"].resources.values()} == {600_000}
    with pytest.raises(OverrideError, match=r"'maintenance:\w+': ttl must be in 1ms\.\.366d") as refused:
        with_overrides(builtin_catalog(), {next(iter(policies)): TtlOverride(ttl_ms=0), "maintenance": long})
    assert refused.value.names == (next(iter(policies)),)


@given(st.integers(1, DAY_MS), st.integers(0, DAY_MS), st.floats(0, 1, exclude_min=True))
def test_without_beta_or_load_time_nobody_refreshes_early(remaining_ms: int, load_ms: int, draw: float) -> None:
    assert not refresh_early(POLICY, remaining_ms=remaining_ms, load_ms=load_ms, draw=draw)
    eager = TtlPolicy(HOUR_MS, DAY_MS, early_refresh=1)
    assert not refresh_early(eager, remaining_ms=remaining_ms, load_ms=0, draw=draw)


def test_early_refresh_is_more_probable_near_the_end_and_after_long_loads() -> None:
    eager = TtlPolicy(HOUR_MS, DAY_MS, early_refresh=1)

    def limit(remaining_ms: int, load_ms: int) -> float:
        """Share of draws that refresh."""
        draws = [n / 1000 for n in range(1, 1001)]
        return sum(refresh_early(eager, remaining_ms=remaining_ms, load_ms=load_ms, draw=d) for d in draws) / 1000

    assert limit(60_000, 1_000) < limit(1_000, 1_000) < limit(100, 1_000) < limit(100, 10_000)
    assert limit(0, 1_000) == 1
