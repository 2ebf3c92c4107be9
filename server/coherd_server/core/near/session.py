"""One session as near-cache coherence sees it: what the client holds, what it was told, until when it may serve."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from coherd.catalog.catalog import ResolvedKey
from coherd.contract.tags import TagRef
from coherd_server.core.near.change_log import Clock
from coherd_server.core.near.interest import Interest
from coherd_server.core.near.terms import Terms


class Push(NamedTuple):
    """What a near cache must drop. The session stream carries pushes in order, before any answer that is sent later."""

    sequence: int
    """Number of the push in its session, from 1, without gaps."""
    keys: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    flush: bool = False
    """True: drop everything, and keep no reply to what is being asked for."""


class Extension(NamedTuple):
    """The near cache may serve until ``counted_from_ms + lease_ms`` on its own clock."""

    counted_from_ms: int
    lease_ms: int


class _Outstanding(NamedTuple):
    sequence: int
    first: int
    """The first offset of the log it answers for."""
    sent_s: float


class Unacknowledged:
    """The lowest offset of the log that some session has not acknowledged.

    Pushes are counted by the first offset they answer for, in constant time; offsets are added in rising order.
    """

    def __init__(self) -> None:
        self._order: deque[int] = deque()
        self._counts: dict[int, int] = {}

    def add(self, offset: int) -> None:
        """One more push waits for its acknowledgement."""
        if offset in self._counts:
            self._counts[offset] += 1
        else:
            self._order.append(offset)
            self._counts[offset] = 1

    def remove(self, offset: int) -> None:
        """One push waits no more. An offset that is not known, as of a generation that is over, is no error."""
        count = self._counts.get(offset)
        if count is not None:
            self._counts[offset] = count - 1

    @property
    def lowest(self) -> int | None:
        """The lowest offset; None where no push waits for its acknowledgement."""
        order, counts = self._order, self._counts
        while order and not counts[order[0]]:
            del counts[order.popleft()]
        return order[0] if order else None


class Sessions(Protocol):
    """What a session needs of the sessions of its process; the `Hub` has it."""

    now_s: Clock
    terms: Terms
    interest: Interest[NearSession]
    unacknowledged: Unacknowledged
    in_step_as_of_s: float | None
    is_paused: bool

    @property
    def next_offset(self) -> int:
        """The offset of the log the next change will have."""
        ...

    def acknowledged(self) -> None:
        """Something is not waited for any more."""
        ...

    def remove(self, session: NearSession) -> None:
        """It is closed, and its lease is over."""
        ...


class NearSession:
    """One session with a near cache. `Hub.open` makes it; nothing here blocks or awaits."""

    def __init__(self, hub: Sessions, push: Callable[[Push], None]) -> None:
        self._hub = hub
        self._push: Callable[[Push], None] | None = push
        self._sequence = 0
        self._outstanding: deque[_Outstanding] = deque()
        self._lease_until_s = float("-inf")
        self._must_flush = False
        self.keys: set[str] = set()
        """Keys the session is told of; only `Interest` changes them."""
        self.tags: set[str] = set()
        """Tags the session is told of; only `Interest` changes them."""

    # What the session rpc calls.

    def read_started(self) -> int:
        """What to give to `register`; to be taken before a read is issued."""
        return self._hub.interest.revision

    def register(self, key: ResolvedKey, extra: Iterable[TagRef], started: int) -> bool:
        """Tell this session of changes of a key and its tags from now on; at reply time, in one step with queueing it
        [registered-with-the-reply].

        Args:
            key: what was read.
            extra: its tags beyond those that follow from the key.
            started: what `read_started` gave before the read was issued.

        Returns:
            Whether the near cache may keep the reply. Not if something it depends on changed since the read was
            issued, if that is no longer known, or if the session has no running lease.
        """
        hub = self._hub
        if started < hub.interest.floor or hub.now_s() > self._lease_until_s or self._push is None or hub.is_paused:
            return False
        tags = [tag for _, tag in key.tags]
        tags.extend(tag for _, tag in extra)
        if hub.interest.has_changed(key.text, tags, started):
            return False
        if len(self.keys) + len(self.tags) + 1 + len(tags) > hub.terms.interest_names:
            hub.interest.drop(self)
            self.push_flush(hub.next_offset)
            return False
        hub.interest.note(self, key.text, tags)
        return True

    def acknowledge(self, sequence: int) -> None:
        """The near cache has applied this push and all before it."""
        waiting = self._outstanding
        done = False
        while waiting and waiting[0].sequence <= sequence:
            self._hub.unacknowledged.remove(waiting.popleft().first)
            done = True
        if done:
            self._hub.acknowledged()

    def extend(self, asked_at_ms: int, *, arrived_s: float | None = None) -> Extension | None:
        """Let the near cache serve for longer [in-step-lease]; None: not now.

        Args:
            asked_at_ms: the client's clock when it asked.
            arrived_s: when that message arrived, on the hub's clock; default: now.
        """
        hub = self._hub
        now_s = hub.now_s()
        if hub.in_step_as_of_s is None or self._push is None or hub.is_paused:
            return None
        lease_s = hub.terms.lease_s
        arrived_s = now_s if arrived_s is None else arrived_s
        lease_ms = int(1000 * min(lease_s, hub.in_step_as_of_s + lease_s - arrived_s))
        if lease_ms <= 0 or (self._outstanding and now_s - self._outstanding[0].sent_s > hub.terms.overdue_s):
            return None
        if self.is_over(now_s):
            self.expire()
        if self._must_flush:
            self._must_flush = False
            self.push_flush(hub.next_offset)
        self._lease_until_s = max(self._lease_until_s, arrived_s + lease_ms / 1000)
        return Extension(asked_at_ms, lease_ms)

    def close(self, *, dropped: bool = False) -> None:
        """The stream ended.

        Args:
            dropped: the near cache is known to be empty now, as when the client ended the stream itself. Else it may
                go on serving until its lease is over, and changes count as unacknowledged until then
                [closed-sessions-count].
        """
        self._push = None
        if dropped or self.is_over(self._hub.now_s()):
            self._lease_until_s = float("-inf")
            self.expire()

    # What the hub calls.

    @property
    def is_closed(self) -> bool:
        return self._push is None

    def is_over(self, now_s: float) -> bool:
        """Whether its lease has surely ended, also on a clock that runs slower."""
        return now_s > self._lease_until_s + self._hub.terms.margin_s

    def expire(self) -> None:
        """It serves nothing any more: forget what it holds and was told; it is flushed before it serves again
        [flush-after-a-lapse]."""
        held = bool(self.keys or self.tags or self._outstanding)
        self._must_flush = self._must_flush or held
        self._hub.interest.drop(self)
        self.forget_outstanding()
        if self.is_closed:
            self._hub.remove(self)
        if held:
            self._hub.acknowledged()

    def forget_outstanding(self) -> None:
        """What it was told so far is not waited for any more."""
        for push in self._outstanding:
            self._hub.unacknowledged.remove(push.first)
        self._outstanding.clear()

    def flushed(self, first: int, *, keep: bool) -> None:
        """All sessions are flushed; what they were told before still counts only if the log is the same (``keep``)."""
        if not keep:
            self._outstanding.clear()
        if self.is_over(self._hub.now_s()):
            self._must_flush = True
            self.forget_outstanding()
        else:
            self.push_flush(first)

    def push_flush(self, first: int) -> None:
        """Tell it to drop everything; ``first``: the first offset of the log this answers for."""
        self._send(first, Push(self._sequence + 1, flush=True))

    def push_names(self, first: int, keys: Iterable[str], tags: Iterable[str]) -> None:
        """Tell it what changed."""
        self._send(first, Push(self._sequence + 1, tuple(keys), tuple(tags)))

    def _send(self, first: int, push: Push) -> None:
        self._sequence = push.sequence
        self._outstanding.append(_Outstanding(push.sequence, first, self._hub.now_s()))
        self._hub.unacknowledged.add(first)
        if self._push is not None:
            self._push(push)
