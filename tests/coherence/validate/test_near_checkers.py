"""Each check of P2 finds a tiny history that breaks its promise, and passes its neighbour that does not."""

from __future__ import annotations

from typing import Any

import pytest

from coherence.history import History, Operation, Traced
from coherence.validate.checkers import check_no_resurrection
from coherence.validate.near_checkers import (
    BOUNDS,
    check_near_cache_bound,
    check_own_changes_seen,
    check_strict,
    delays_of,
    judged_reads,
)
from coherence.validate.rates import NEAR_RATES, Void, figures_of, require_rates
from coherence.validate.written import op

PUSHED = "analytics:daily:user:u1:date:20250101"
STRICT = "psychology:profile:user:u1"
SESSION = "session:data:id:s1"
BOUND_MS = BOUNDS.bound_s * 1000


def read_after(
    change: Operation, *, at: float, key: str = PUSHED, near: bool = True, tags: tuple[str, ...] = ()
) -> History:
    """A value whose source was read at 1 ms, a change by ``b``, and a read by ``a``."""
    value = Traced(key, 1, "load@0", "load", 1_000_000, tags)
    return History.of(
        [
            op("load", 0, 2, key=key, value=value),
            change,
            op("client_get", at, at + 0.01, "hit", key=key, value=value, near=near),
        ]
    )


def changed(path: str = "delete", outcome: str = "done", **fields: Any) -> Operation:
    """A change acknowledged at 20 ms."""
    fields.setdefault("process", "b")
    return op(path, 10, 20, outcome, **fields)


class TestBound:
    @pytest.mark.parametrize(
        "change",
        [
            changed(key=PUSHED),
            changed("set", "stored", key=PUSHED),
            changed("invalidate", tags=("analytics/user:u1",)),
            changed("invalidate", tags=("analytics",)),
        ],
        ids=["delete", "set", "tag", "domain"],
    )
    def test_a_near_read_after_the_bound(self, change: Operation) -> None:
        assert check_near_cache_bound(read_after(change, at=21 + BOUND_MS))
        assert not check_near_cache_bound(read_after(change, at=19 + BOUND_MS))

    def test_only_near_reads_may_be_late_at_all(self) -> None:
        assert not check_no_resurrection(read_after(changed(key=PUSHED), at=30))
        assert check_no_resurrection(read_after(changed(key=PUSHED), at=30, near=False))
        assert not check_near_cache_bound(read_after(changed(key=PUSHED), at=21 + BOUND_MS, near=False))

    def test_what_was_not_acknowledged_binds_nobody(self) -> None:
        change = changed(outcome="lost:OutcomeUnknown", key=PUSHED)
        assert not check_near_cache_bound(read_after(change, at=21 + BOUND_MS))


class TestOwnChanges:
    def test_the_clients_own_change(self) -> None:
        assert check_own_changes_seen(read_after(changed(key=PUSHED, process="a"), at=20.1))
        assert check_own_changes_seen(read_after(changed(key=PUSHED, process="a"), at=20.1, near=False))

    def test_what_is_allowed(self) -> None:
        assert not check_own_changes_seen(read_after(changed(key=PUSHED), at=20.1))
        assert not check_own_changes_seen(read_after(changed(key=PUSHED, process="a"), at=19.9))
        lost = changed(outcome="lost:OutcomeUnknown", key=PUSHED, process="a")
        assert not check_own_changes_seen(read_after(lost, at=20.1))

    def test_a_value_another_client_set(self) -> None:
        value = Traced(PUSHED, 1, "b-1", "set", 0)
        put = op("set", 1, 2, "stored", id="b-1", key=PUSHED, value=value, process="b")
        read = op("client_get", 30, 30.1, "hit", key=PUSHED, value=value, near=True)
        assert check_own_changes_seen(History.of([put, changed(key=PUSHED, process="a"), read]))
        late = op("set", 11, 12, "stored", id="b-1", key=PUSHED, value=value, process="b")
        assert not check_own_changes_seen(History.of([late, changed(key=PUSHED, process="a"), read]))


class TestStrict:
    @pytest.mark.parametrize("near", [True, False])
    def test_a_strict_domain(self, *, near: bool) -> None:
        assert check_strict(read_after(changed(key=STRICT), at=20.1, key=STRICT, near=near))
        assert not check_strict(read_after(changed(key=STRICT), at=19.9, key=STRICT, near=near))

    def test_an_extra_tag(self) -> None:
        change = changed("invalidate", tags=("session/user:u1",))
        assert check_strict(read_after(change, at=20.1, key=SESSION, tags=("session/user:u1",)))
        assert not check_strict(read_after(change, at=20.1, key=SESSION, tags=("session/user:u2",)))

    def test_a_change_that_waited(self) -> None:
        user = ("analytics/user:u1",)
        assert check_strict(read_after(changed("invalidate", tags=user, waits=True), at=20.1))
        assert not check_strict(read_after(changed("invalidate", tags=user), at=20.1))

    def test_one_change_of_both_kinds(self) -> None:
        user = ("analytics/user:u1", "psychology/user:u1")
        assert check_strict(read_after(changed("invalidate", tags=user), at=20.1, key=STRICT))
        assert not check_strict(read_after(changed("invalidate", tags=user), at=20.1))


def test_what_is_measured() -> None:
    change = changed("invalidate", tags=("analytics/user:u1",))
    history = read_after(change, at=24)
    pushed = op("push", 24.8, 25, tags=("analytics/user:u1",))
    own = op("push", 26, 27, tags=("analytics/user:u1",), process="b")
    delays = delays_of(History.of([*history.operations, pushed, own]))
    assert delays.pushes == pytest.approx((5.0,))
    assert delays.oldest_read == pytest.approx(4.0)
    fault = op("fault", 22, 23, key="cut_streams")
    assert not delays_of(History.of([*history.operations, pushed, fault])).pushes


def test_a_run_with_few_near_hits_is_void() -> None:
    assert judged_reads(read_after(changed(key=STRICT, process="a"), at=30, key=STRICT)) == (1, 1)
    figures = figures_of(read_after(changed(key=STRICT), at=30, key=STRICT))
    assert (figures.near_hits, figures.pushes, figures.awaited) == (1, 0, 1)
    enough = figures._replace(seconds=1, operations=100, invalidations=10, hits=100, near_hits=50, pushes=10)
    require_rates(enough, NEAR_RATES)
    for name in ("operations", "invalidations", "near_hits", "pushes"):
        with pytest.raises(Void, match=name):
            require_rates(enough._replace(**{name: 0}), NEAR_RATES)
