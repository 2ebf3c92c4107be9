"""The hub of near-cache sessions: interest, pushes, leases, watermark. Pure: a clock in hand, no log, no event loop."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coherd.catalog.catalog import ResolvedKey
from coherd.catalog.load import builtin_catalog
from coherd.contract.tags import TagRef
from coherd_server.core.counters import Counters
from coherd_server.core.near.change_log import Change, LogPosition
from coherd_server.core.near.hub import Hub
from coherd_server.core.near.session import Extension, NearSession, Push
from coherd_server.core.near.terms import Terms

LOG = LogPosition(b"node-one", b"begun-00", 10)
DAILY = builtin_catalog().resolve("analytics:daily:user:u1:date:20250806")
OTHER = builtin_catalog().resolve("analytics:daily:user:u2:date:20250807")
EXTRA = (TagRef("content=c1", "analytics/content:c1"),)


class JoinedHub:
    """A hub that has joined at offset 10, with a clock to turn."""

    def __init__(self, terms: Terms | None = None) -> None:
        self.now_s = 1_000.0
        self.counters = Counters()
        self.hub = Hub(lambda: self.now_s, terms or Terms(lease_ms=3_000), self.counters, ["analytics"])
        self.hub.flush(LOG)
        self.hub.in_step_as_of_s = self.now_s

    def open(self) -> tuple[NearSession, list[Push]]:
        """A session with a running lease, and what it is told."""
        pushed: list[Push] = []
        session = self.hub.open(pushed.append)
        assert session.extend(0) is not None
        return session, pushed

    def change(self, *names: str) -> None:
        """The next entry of the log."""
        position = self.hub.position
        assert position is not None
        after = position._replace(offset=position.offset + 1)
        self.hub.apply([Change(position.generation, after.offset, names)], after)

    def pass_s(self, seconds: float, *, in_step: bool = True) -> None:
        self.now_s += seconds
        if in_step:
            self.hub.in_step_as_of_s = self.now_s
        self.hub.tick()

    @property
    def watermark(self) -> int:
        position = self.hub.watermark
        assert position is not None
        return position.offset


def read(session: NearSession, key: ResolvedKey = DAILY, extra: tuple[TagRef, ...] = ()) -> bool:
    """A read without anything in between; whether the reply may be kept."""
    return session.register(key, extra, session.read_started())


@pytest.mark.parametrize(
    ("name", "keys", "tags"),
    [
        ("k" + DAILY.text, (DAILY.text,), ()),
        ("tanalytics/user:u1", (), ("analytics/user:u1",)),
        ("tanalytics:daily", (), ("analytics:daily",)),
        ("tanalytics", (), ("analytics",)),
        ("tanalytics/content:c1", (), ("analytics/content:c1",)),
    ],
)
def test_a_change_is_pushed_to_those_who_hold_it_once(name: str, keys: tuple[str, ...], tags: tuple[str, ...]) -> None:
    stage = JoinedHub()
    session, pushed = stage.open()
    _, idle = stage.open()
    assert read(session, extra=EXTRA)
    stage.change(name)
    assert pushed == [Push(1, keys, tags)]
    assert idle == []
    stage.change(name)
    assert len(pushed) == 1, "a name is forgotten with its push"
    assert read(session, extra=EXTRA)
    stage.change(name)
    assert pushed[1] == Push(2, keys, tags)


def test_names_nobody_holds_are_not_pushed() -> None:
    stage = JoinedHub()
    session, pushed = stage.open()
    assert read(session)
    stage.change("k" + OTHER.text, "tanalytics/user:u2", "tpsychology")
    assert pushed == []
    assert stage.watermark == 11


def test_what_arrives_together_is_one_push() -> None:
    stage = JoinedHub()
    session, pushed = stage.open()
    assert read(session)
    assert read(session, OTHER)
    after = LOG._replace(offset=13)
    names: list[tuple[str, ...]] = [("k" + DAILY.text,), (), ("k" + OTHER.text, "tanalytics/user:u1")]
    stage.hub.apply([Change(b"begun-00", 11 + at, names) for at, names in enumerate(names)], after)
    assert pushed == [Push(1, (DAILY.text, OTHER.text), ("analytics/user:u1",))]
    assert stage.watermark == 10, "none of the entries is acknowledged"
    session.acknowledge(1)
    assert stage.watermark == 13


@pytest.mark.parametrize("name", ["k" + DAILY.text, "tanalytics/user:u1", "tanalytics/content:c1", "tanalytics"])
def test_a_reply_is_not_kept_if_something_changed_while_it_was_read(name: str) -> None:
    stage = JoinedHub()
    session, _ = stage.open()
    started = session.read_started()
    stage.change(name)
    assert not session.register(DAILY, EXTRA, started)
    assert session.register(DAILY, EXTRA, session.read_started())


def test_a_reply_is_kept_if_only_other_things_changed() -> None:
    stage = JoinedHub()
    session, _ = stage.open()
    started = session.read_started()
    stage.change("k" + OTHER.text, "tanalytics/user:u2")
    assert session.register(DAILY, (), started)


def test_a_read_older_than_what_is_remembered_is_not_kept() -> None:
    stage = JoinedHub(Terms(recent_names=2))
    session, _ = stage.open()
    started = session.read_started()
    stage.change("k" + DAILY.text)
    for number in range(3):
        stage.change(f"kother{number}")
    assert not session.register(DAILY, (), started)
    assert read(session)


def test_nothing_is_kept_before_the_first_join() -> None:
    hub = Hub(lambda: 0.0, Terms(), Counters(), [])
    session = hub.open(lambda push: None)
    started = session.read_started()
    assert session.extend(0) is None
    hub.flush(LOG)
    hub.in_step_as_of_s = 0.0
    assert session.extend(0) is not None
    assert not session.register(DAILY, (), started), "read before the member was registered"
    assert read(session)


def test_nothing_is_kept_without_a_running_lease() -> None:
    stage = JoinedHub()
    session = stage.hub.open(lambda push: None)
    assert not read(session)
    session.extend(0)
    assert read(session)
    stage.pass_s(3.05)
    assert not read(session, OTHER)


def test_an_extension_counts_from_when_the_member_was_in_step() -> None:
    stage = JoinedHub()
    session, _ = stage.open()
    assert session.extend(77) == Extension(77, 3_000)
    stage.pass_s(1.0, in_step=False)
    assert session.extend(78) == Extension(78, 2_000)
    assert session.extend(78, arrived_s=stage.now_s - 0.5) == Extension(78, 2_500)
    assert session.extend(78, arrived_s=stage.now_s - 5) == Extension(78, 3_000), "never more than the lease"
    stage.pass_s(2.5, in_step=False)
    assert session.extend(79) is None, "out of step for longer than a lease"
    stage.hub.in_step_as_of_s = None
    assert session.extend(79) is None


def test_who_does_not_acknowledge_is_not_extended() -> None:
    stage = JoinedHub()
    session, _ = stage.open()
    assert read(session)
    stage.change("k" + DAILY.text)
    stage.pass_s(0.9)
    assert session.extend(0) is not None
    stage.pass_s(0.2)
    assert session.extend(0) is None
    session.acknowledge(1)
    assert session.extend(0) is not None


def test_the_watermark_waits_for_the_slowest() -> None:
    stage = JoinedHub()
    one, _ = stage.open()
    two, _ = stage.open()
    assert read(one)
    assert read(two)
    assert read(two, OTHER)
    stage.change("k" + DAILY.text)
    stage.change("k" + OTHER.text)
    assert stage.watermark == 10
    one.acknowledge(1)
    assert stage.watermark == 10
    two.acknowledge(1)
    assert stage.watermark == 11
    two.acknowledge(2)
    assert stage.watermark == 12
    two.acknowledge(9)
    assert stage.watermark == 12


def test_a_lapsed_session_holds_nothing_back_and_is_flushed_before_it_serves_again() -> None:
    stage = JoinedHub()
    session, pushed = stage.open()
    assert read(session)
    stage.change("k" + DAILY.text)
    assert read(session)
    stage.pass_s(3.2)
    assert stage.watermark == 10, "its clock may run slower"
    stage.pass_s(0.2)
    assert stage.watermark == 11
    stage.change("k" + DAILY.text)
    assert pushed == [Push(1, (DAILY.text,))], "it holds nothing any more"
    assert session.extend(5) == Extension(5, 3_000)
    assert pushed[1] == Push(2, flush=True)
    assert stage.watermark == 12
    stage.change("k" + OTHER.text)
    assert stage.watermark == 12, "the flush is not acknowledged"
    session.acknowledge(2)
    assert stage.watermark == 13
    assert session.extend(6) is not None
    assert len(pushed) == 2


def test_rising_watermarks_are_told() -> None:
    stage = JoinedHub()
    session, _ = stage.open()
    assert read(session)
    risen: list[int] = []
    stage.hub.on_acknowledged = lambda: risen.append(stage.watermark)
    stage.change("k" + DAILY.text)
    session.acknowledge(1)
    assert risen[-1] == 11


@pytest.mark.parametrize("generation", [b"begun-00", b"begun-11"])
def test_a_flush_drops_everything_and_waits_for_everybody(generation: bytes) -> None:
    stage = JoinedHub()
    session, pushed = stage.open()
    started = session.read_started()
    assert read(session)
    stage.change("k" + DAILY.text)
    stage.hub.flush(LogPosition(b"node-one", generation, 20))
    assert pushed[1] == Push(2, flush=True)
    assert not session.register(DAILY, (), started)
    waits_at = stage.watermark
    assert waits_at == (10 if generation == b"begun-00" else 0)
    session.acknowledge(2)
    assert stage.watermark == 20
    assert read(session)
    stage.change("k" + DAILY.text)
    assert pushed[2] == Push(3, (DAILY.text,))
    assert stage.watermark == 20


def test_a_flush_is_not_pushed_to_a_lapsed_session_but_comes_with_its_next_lease() -> None:
    stage = JoinedHub()
    session, pushed = stage.open()
    assert read(session)
    stage.now_s += 3.4
    stage.hub.flush(LogPosition(b"node-two", b"begun-00", 3))
    assert pushed == []
    assert stage.watermark == 3
    stage.hub.in_step_as_of_s = stage.now_s
    assert session.extend(0) is not None
    assert pushed == [Push(1, flush=True)]


def test_too_much_interest_begins_anew() -> None:
    stage = JoinedHub(Terms(interest_names=6))
    session, pushed = stage.open()
    assert read(session)
    assert not read(session, OTHER), "more than six names"
    assert pushed == [Push(1, flush=True)]
    stage.change("k" + DAILY.text)
    assert stage.watermark == 10, "it may still serve what it holds"
    session.acknowledge(1)
    assert stage.watermark == 11
    assert read(session, OTHER)


@pytest.mark.parametrize("dropped", [True, False])
def test_a_closed_session_counts_until_its_lease_is_over_unless_it_is_known_to_be_empty(dropped: bool) -> None:
    stage = JoinedHub()
    session, pushed = stage.open()
    assert read(session)
    session.close(dropped=dropped)
    stage.change("k" + DAILY.text)
    assert pushed == []
    assert stage.watermark == (11 if dropped else 10)
    assert stage.hub.is_serving is not dropped
    assert session.extend(0) is None
    assert not read(session)
    stage.pass_s(3.4)
    assert stage.watermark == 11
    assert not stage.hub.is_serving


def test_closed_sessions_leave_nothing_behind() -> None:
    stage = JoinedHub()
    for _ in range(3):
        session, _ = stage.open()
        assert read(session, extra=EXTRA)
        session.close()
    stage.pass_s(3.4)
    hub = stage.hub
    held: list[Callable[[], int]] = [hub._sessions.__len__, lambda: hub.interest.names]
    assert [count() for count in held] == [0, 0]
    assert hub.unacknowledged.lowest is None


def test_hits_are_counted_for_domains_that_exist() -> None:
    stage = JoinedHub()
    stage.hub.count_hits({"analytics": 3, "nowhere": 5, "": 1})
    stage.hub.count_hits({"analytics": 2})
    stage.hub.count_hits({"analytics": -7})
    assert stage.counters.take() == {"analytics": {"near_cache_hits": 5}}
