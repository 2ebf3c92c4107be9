"""Following the log: what is applied, what counts as missed, and since when the member is in step. Pure."""

from __future__ import annotations

import pytest

from coherd.catalog.load import builtin_catalog
from coherd_server.core.counters import Counters
from coherd_server.core.near.change_log import Change, Changes, LogPosition
from coherd_server.core.near.follower import Follower
from coherd_server.core.near.hub import Hub
from coherd_server.core.near.session import Push
from coherd_server.core.near.terms import Terms

NODE, OTHER_NODE = b"node-one", b"node-two"
GENERATION, NEXT = b"begun-00", b"begun-11"
TAIL = LogPosition(NODE, GENERATION, 10)
KEY = builtin_catalog().resolve("analytics:daily:user:u1:date:20250806")


class JoinedFollower:
    """A follower that joined at offset 10 at second 100, and one session that holds `KEY`."""

    def __init__(self) -> None:
        self.hub = Hub(lambda: 100.5, Terms(), Counters(), [])
        self.follower = Follower(self.hub)
        assert self.follower.joined(TAIL, asked_s=100.0, applied=None)
        self.pushed: list[Push] = []
        session = self.hub.open(self.pushed.append)
        assert session.extend(0)
        assert session.register(KEY, (), session.read_started())

    def read(self, *changes: Change, identity: bytes = NODE) -> bool:
        position = self.follower.position
        assert position is not None
        return self.follower.read(Changes(identity, changes), position)

    @property
    def flushed(self) -> bool:
        return any(push.flush for push in self.pushed)


def change(offset: int, *names: str, generation: bytes = GENERATION, awaited: bool = False) -> Change:
    return Change(generation, offset, names, awaited)


def test_entries_in_order_are_applied() -> None:
    stage = JoinedFollower()
    assert stage.read(change(11, "kx"), change(12, "k" + KEY.text))
    assert stage.pushed == [Push(1, (KEY.text,))]
    assert stage.follower.position == TAIL._replace(offset=12)
    assert stage.read()
    assert stage.follower.position == TAIL._replace(offset=12)


def test_an_entry_that_says_more_than_is_known_flushes() -> None:
    stage = JoinedFollower()
    assert stage.read(change(11, "kx"), change(12, "k" + KEY.text)._replace(is_known=False), change(13, "ky"))
    assert stage.flushed
    assert stage.follower.position == TAIL._replace(offset=13)


@pytest.mark.parametrize(
    "entries",
    [
        [change(12)],
        [change(11), change(13)],
        [change(11, generation=NEXT)],
        [change(12, generation=NEXT), change(13, generation=NEXT)],
        [change(11), change(12, generation=NEXT)],
    ],
    ids=["trimmed", "one missing", "new generation", "new generation and trimmed", "new generation in between"],
)
def test_a_gap_flushes_everybody_and_goes_on_from_there(entries: list[Change]) -> None:
    stage = JoinedFollower()
    assert stage.read(*entries)
    assert stage.flushed
    last = entries[-1]
    assert stage.follower.position == LogPosition(NODE, last.generation, last.offset)
    pushes = len(stage.pushed)
    assert stage.read(change(last.offset + 1, generation=last.generation))
    assert len(stage.pushed) == pushes, "no further flush"


def test_entries_nobody_of_us_wrote_are_not_applied() -> None:
    stage = JoinedFollower()
    assert not stage.read(change(11, generation=b""))
    assert stage.follower.position == TAIL


def test_entries_of_another_node_or_read_from_elsewhere_are_not_applied() -> None:
    stage = JoinedFollower()
    assert not stage.read(change(11, "k" + KEY.text), identity=OTHER_NODE)
    assert not stage.follower.read(Changes(NODE, [change(10)]), TAIL._replace(offset=9))
    assert stage.follower.position == TAIL
    assert not stage.pushed


@pytest.mark.parametrize(
    "tail",
    [TAIL._replace(identity=OTHER_NODE), TAIL._replace(generation=NEXT, offset=30), TAIL._replace(offset=9)],
    ids=["another node", "another generation", "went back"],
)
def test_another_log_flushes_everybody(tail: LogPosition) -> None:
    stage = JoinedFollower()
    assert stage.follower.joined(tail, asked_s=101.0, applied=TAIL)
    assert stage.flushed
    assert stage.follower.position == tail
    assert stage.hub.in_step_as_of_s == 101.0
    watermark = stage.hub.watermark
    assert watermark == tail._replace(offset=0), "the flush is not acknowledged"


def test_in_step_once_the_tail_that_was_found_is_applied() -> None:
    stage = JoinedFollower()
    assert not stage.follower.joined(TAIL, asked_s=101.0, applied=TAIL)
    assert stage.hub.in_step_as_of_s == 101.0
    assert not stage.follower.joined(TAIL._replace(offset=12), asked_s=102.0, applied=TAIL)
    assert not stage.follower.joined(TAIL._replace(offset=13), asked_s=103.0, applied=TAIL)
    assert stage.hub.in_step_as_of_s == 101.0
    stage.read(change(11))
    assert stage.hub.in_step_as_of_s == 101.0
    stage.read(change(12))
    assert stage.hub.in_step_as_of_s == 102.0
    stage.read(change(13), change(14))
    assert stage.hub.in_step_as_of_s == 103.0


def test_an_answer_that_was_overtaken_by_reading_is_no_step_back() -> None:
    stage = JoinedFollower()
    stage.read(change(11), change(12))
    assert not stage.follower.joined(TAIL._replace(offset=11), asked_s=101.0, applied=TAIL)
    assert not stage.flushed
    assert stage.hub.in_step_as_of_s == 101.0


def test_another_generation_is_out_of_step_until_a_join_says_so() -> None:
    stage = JoinedFollower()
    stage.follower.joined(TAIL._replace(offset=11), asked_s=101.0, applied=TAIL)
    stage.read(change(11, generation=NEXT))
    assert stage.hub.in_step_as_of_s is None
    assert not stage.follower.joined(LogPosition(NODE, NEXT, 11), asked_s=102.0, applied=None)
    assert stage.hub.in_step_as_of_s == 102.0


def test_what_somebody_waits_for_is_noted() -> None:
    stage = JoinedFollower()
    known: list[int] = []
    stage.hub.on_acknowledged = lambda: known.append(stage.follower.awaited_offset)
    stage.read(change(11, awaited=True), change(12))
    assert known == [11], "known when the hub says that all have it, or nobody publishes that at once"
    stage.read(change(13))
    stage.read(change(15, awaited=True))
    assert known[-1] == 15
    stage.follower.joined(LogPosition(NODE, NEXT, 1), asked_s=102.0, applied=None)
    assert stage.follower.awaited_offset == 0
