"""Each check finds a tiny history that breaks its promise, and passes its neighbour that does not."""

from __future__ import annotations

from typing import Any

import pytest

from coherence.history import History, Operation, Traced
from coherence.validate.checkers import (
    check_no_crossing,
    check_no_resurrection,
    check_nothing_silent,
    check_one_load,
    check_safe_under_loss,
)
from coherence.validate.rates import Rates, Void, figures_of, require_rates
from coherence.validate.written import op

KEY = "analytics:daily:user:u1:date:20250101"
OTHER = "analytics:daily:user:u2:date:20250101"
PROBE = "content:topics:user:p0"
USER = ("analytics/user:u1",)


def loaded(at: float, key: str = KEY, nonce: str = "load@0", tags: tuple[str, ...] = ()) -> Traced:
    """A value that was read from the source at a time."""
    return Traced(key, 1, nonce, "load", int(at * 1e6), tags)


def put(nonce: str, key: str = KEY) -> Traced:
    """A value that was set."""
    return Traced(key, 1, nonce, "set", 0)


def load_and_get(*between: Operation, get_at: float = 50, path: str = "get") -> History:
    """A value read from the source at 1 ms, and a read that returns it."""
    value = loaded(1)
    return History.of(
        [
            op("load", 0, 2, key=KEY, value=value),
            *between,
            op(path, get_at, get_at + 2, "hit", key=KEY, value=value),
        ]
    )


class TestNoResurrection:
    @pytest.mark.parametrize(
        "change",
        [
            op("invalidate", 10, 20, tags=USER),
            op("invalidate", 10, 20, tags=("analytics",)),
            op("delete", 10, 20, key=KEY),
            op("invalidate", 10, 20, key=KEY),
        ],
    )
    @pytest.mark.parametrize("path", ["get", "batch_get", "lease", "get_or_load"])
    def test_a_value_from_before_an_acknowledged_change(self, change: Operation, path: str) -> None:
        assert check_no_resurrection(load_and_get(change, path=path))

    @pytest.mark.parametrize(
        "change",
        [
            op("invalidate", 10, 20, tags=("analytics/user:u2",)),
            op("delete", 10, 20, key=OTHER),
            op("invalidate", 10, 20, "error:OUTCOME_UNKNOWN", tags=USER),
            op("invalidate", 10, 51, tags=USER),
            op("invalidate", 0.5, 20, tags=USER),
            op("delete", 10, None, "", key=KEY),
        ],
        ids=["other tag", "other key", "not acknowledged", "read began before", "loaded after it began", "killed"],
    )
    def test_what_is_allowed(self, change: Operation) -> None:
        assert not check_no_resurrection(load_and_get(change))

    def test_the_change_that_began_last_counts(self) -> None:
        long = op("invalidate", 0.1, 40, tags=USER, id="long")
        short = op("invalidate", 10, 20, tags=USER, id="short")
        assert check_no_resurrection(load_and_get(long, short))

    def test_extra_tags_of_the_value(self) -> None:
        value = loaded(1, "session:data:id:s1", tags=("session/user:u1",))
        read = op("get", 50, 52, "hit", key=value.key, value=value)
        assert check_no_resurrection(History.of([op("invalidate", 10, 20, tags=("session/user:u1",)), read]))

    @pytest.mark.parametrize(
        ("outcome", "end", "broken"),
        [
            ("stored", 5, True),
            ("error:OUTCOME_UNKNOWN", 5, True),
            ("lost:UNAVAILABLE", 5, False),
            ("lost:CANCELLED", 5, False),
            ("given_up", 5, True),
            ("given_up", 15, False),
            ("stored", 15, False),
        ],
    )
    def test_a_set_counts_from_when_it_was_settled(self, outcome: str, end: float, broken: bool) -> None:
        value = put("set@0")
        history = History.of(
            [
                op("set", 0, end, outcome, key=KEY, value=value),
                op("delete", 10, 20, key=KEY),
                op("get", 50, 52, "hit", key=KEY, value=value),
            ]
        )
        assert bool(check_no_resurrection(history)) is broken

    def test_a_set_ends_older_values(self) -> None:
        assert check_no_resurrection(load_and_get(op("set", 10, 20, "stored", key=KEY, value=put("set@10"))))
        assert not check_no_resurrection(load_and_get(op("set", 10, 20, "older", key=KEY, value=put("set@10"))))


class TestNoCrossing:
    def test_a_value_of_another_key(self) -> None:
        assert check_no_crossing(History.of([op("get", 0, 1, "hit", key=KEY, value=loaded(0, OTHER))]))

    def test_bytes_nobody_stored(self) -> None:
        assert check_no_crossing(History.of([op("get", 0, 1, "hit", key=KEY, garbled=True)]))

    def test_the_right_value(self) -> None:
        assert not check_no_crossing(load_and_get())


def lease(start: float, end: float, token: str, outcome: str = "granted", lease_ms: int = 1000) -> Operation:
    """A lease of the key."""
    return op("lease", start, end, outcome, key=KEY, token=token, lease_ms=lease_ms)


class TestOneLoad:
    @pytest.mark.parametrize("second", [lease(10, 11, "b"), lease(1.5, 11, "b"), lease(0.5, 1.5, "b")])
    def test_two_live_leases(self, second: Operation) -> None:
        assert check_one_load(History.of([lease(1, 2, "a"), second]))

    @pytest.mark.parametrize(
        "others",
        [
            [lease(10, 11, "b", "held")],
            [op("fill", 5, 30, "stored", key=KEY, token="a"), lease(10, 11, "b")],
            [op("abandon", 5, 30, key=KEY, token="a"), lease(10, 11, "b")],
            [lease(1002, 1003, "b")],
            [op("invalidate", 3, 4, tags=USER), lease(10, 11, "b")],
            [op("invalidate", 3, 4, "lost:UNAVAILABLE", tags=USER), lease(10, 11, "b")],
            [op("set", 3, 4, "stored", key=KEY, value=put("x")), lease(10, 11, "b")],
            [op("set", 0, 0.5, "given_up", key=KEY, value=put("x")), lease(10, 11, "b")],
            [op("fault", 3, 4, key="flush_all"), lease(10, 11, "b")],
        ],
        ids=[
            "held",
            "filled",
            "released",
            "expired",
            "invalidated",
            "perhaps invalidated",
            "set",
            "set late",
            "forgotten",
        ],
    )
    def test_what_is_allowed(self, others: list[Operation]) -> None:
        assert not check_one_load(History.of([lease(1, 2, "a"), *others]))


class TestNothingSilent:
    def test_a_call_without_end(self) -> None:
        slow = op("get", 0, 9_000, "miss", key=KEY)
        assert check_nothing_silent(History.of([slow]))
        stopped = op("fault", 100, 8_000, key="stop_client", tags=("a",))
        assert not check_nothing_silent(History.of([slow, stopped]))

    @pytest.mark.parametrize("outcome", ["rejected", "older", "error:STORE_UNAVAILABLE"])
    def test_answered_as_not_stored_and_read(self, outcome: str) -> None:
        assert check_nothing_silent(load_and_get(op("fill", 5, 6, outcome, key=KEY, value=loaded(1), token="a")))

    def test_answered_as_unknown_and_read(self) -> None:
        unknown = op("fill", 5, 6, "error:OUTCOME_UNKNOWN", key=KEY, value=loaded(1), token="a")
        assert not check_nothing_silent(load_and_get(unknown))

    def test_answered_as_stored_and_gone(self) -> None:
        store = op("set", 0, 1, "stored", key=PROBE, value=put("set@0", PROBE))
        gone = op("get", 5, 6, "miss", key=PROBE)
        assert check_nothing_silent(History.of([store, gone]))
        for excuse in (
            op("fault", 2, 3, key="flush_all"),
            op("delete", 2, 3, key=PROBE),
            op("invalidate", 2, 9, tags=("content",)),
            op("set", 0.5, 3, "lost:UNAVAILABLE", key=PROBE, value=put("y", PROBE)),
        ):
            assert not check_nothing_silent(History.of([store, excuse, gone]))
        assert not check_nothing_silent(History.of([store, op("get", 5, 6, "error:STORE_UNAVAILABLE", key=PROBE)]))


class TestSafeUnderLoss:
    def test_a_value_nobody_stored(self) -> None:
        assert check_safe_under_loss(History.of([op("get", 5, 6, "hit", key=KEY, value=loaded(0, nonce="nobody"))]))

    def test_a_value_from_the_future(self) -> None:
        value = loaded(60)
        assert check_safe_under_loss(
            History.of(
                [
                    op("get", 50, 52, "hit", key=KEY, value=value),
                    op("load", 59, 61, key=KEY, value=value),
                ]
            )
        )

    def test_a_defect(self) -> None:
        assert check_safe_under_loss(History.of([op("get", 0, 1, "error:INTERNAL", key=KEY)]))

    def test_misses_and_errors_are_no_violation(self) -> None:
        gone = op("get", 60, 61, "miss", key=KEY)
        down = op("get", 62, 63, "error:STORE_UNAVAILABLE", key=KEY)
        assert not check_safe_under_loss(load_and_get(op("fault", 10, 20, key="flush_all"), gone, down))


def test_a_history_is_read_back_as_it_was_written(tmp_path: Any) -> None:
    value = loaded(1, tags=("session/user:u1",))
    begun = op("fill", 0, None, "", key=KEY, value=value, token="a")
    ended = op("fill", 0, 3, "stored", key=KEY, value=value, token="a")
    (tmp_path / "p.jsonl").write_bytes(begun.line() + ended.line() + b'{"cut off')
    assert History.load(tmp_path).operations == [ended]
    assert Traced.of(value.encode()) == value


@pytest.mark.parametrize(
    ("change", "read_at", "undone"),
    [
        (op("delete", 10, 20, key=KEY), 30, 1),
        (op("invalidate", 10, 20, tags=("analytics/content:new",)), 30, 1),
        (op("set", 10, 20, "stored", key=KEY, value=put("set@10")), 30, 1),
        (op("delete", 10, 20, key=KEY), 15, 0),
        (op("delete", 10, 20, "lost:UNAVAILABLE", key=KEY), 30, 0),
        (op("delete", 4, 20, key=KEY), 30, 0),
        (op("delete", 10, 20, key=OTHER), 30, 0),
    ],
)
def test_a_set_that_was_given_up_counts_where_it_was_ended_and_looked_for(
    change: Operation, read_at: float, undone: int
) -> None:
    value = Traced(KEY, 1, "set@0", "set", 0, ("analytics/content:new",))
    given_up = op("set", 0, 5, "given_up", key=KEY, value=value)
    figures = figures_of(History.of([given_up, change, op("get", read_at, read_at + 1, "miss", key=KEY)]))
    assert (figures.given_up, figures.undone_sets) == (1, undone)


def test_a_thin_run_is_void() -> None:
    history = History.of([op("get", 0, 1, "miss", key=KEY), op("get", 999, 1000, "miss", key=KEY)])
    require_rates(figures_of(history), Rates(operations=1, invalidations=0, hits=0))
    with pytest.raises(Void, match="invalidations"):
        require_rates(figures_of(history), Rates(operations=1, invalidations=1, hits=0))
