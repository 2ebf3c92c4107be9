"""All sessions of a process: they are told of changes, and what all of them have acknowledged is known.

Nothing here reads the log; `coherd_server.core.near.follower` decides what is applied and calls `Hub.apply` and
`Hub.flush`. One event loop, no awaits: each method is one step.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from coherd_server.core.counters import Counters
from coherd_server.core.near.change_log import Change, Clock, LogPosition
from coherd_server.core.near.interest import Interest
from coherd_server.core.near.session import NearSession, Push, Unacknowledged
from coherd_server.core.near.terms import Terms


class Hub:
    """Sessions with near caches.

    Args:
        clock: see `Clock`.
        terms: times and bounds.
        counters: that reported hits are added to.
        domains: names of the domains whose hits are counted.
    """

    def __init__(self, clock: Clock, terms: Terms, counters: Counters, domains: Collection[str]) -> None:
        self.now_s = clock
        self.terms = terms
        self._counters = counters
        self._domains = frozenset(domains)
        self._sessions: dict[NearSession, None] = {}
        self.interest: Interest[NearSession] = Interest(terms.recent_names)
        """Who holds what."""
        self.unacknowledged = Unacknowledged()
        self.position: LogPosition | None = None
        """Up to where the log is applied; None before the first join."""
        self.in_step_as_of_s: float | None = None
        """When a log script was sent whose answer is applied [in-step-lease]; None while out of step."""
        self.is_paused = False
        """Nothing may be kept near: some server of the store does not tell of all that this one's near caches hold."""
        self.on_acknowledged: Callable[[], None] = lambda: None
        """Called when `watermark` may have risen."""
        self.on_opened: Callable[[], None] = lambda: None
        """Called with each session that opens."""

    # What the session rpc calls.

    def open(self, push: Callable[[Push], None]) -> NearSession:
        """A session with a near cache. ``push`` only queues: it never blocks, awaits or raises."""
        session = NearSession(self, push)
        self._sessions[session] = None
        self.on_opened()
        return session

    def count_hits(self, hits: Mapping[str, int]) -> None:
        """Hits of a client's near cache, by domain; names that are no domain are left out."""
        for domain, by in hits.items():
            if domain in self._domains and by > 0:
                self._counters.counts[domain]["near_cache_hits"] += by

    # What the follower calls.

    @property
    def next_offset(self) -> int:
        """The offset the next change will have."""
        return 1 if self.position is None else self.position.offset + 1

    @property
    def watermark(self) -> LogPosition | None:
        """Up to where all sessions have acknowledged; those with nothing to acknowledge count as having done so
        [published-after-acknowledged]."""
        if self.position is None:
            return None
        lowest = self.unacknowledged.lowest
        if lowest is None or lowest > self.position.offset:
            return self.position
        return self.position._replace(offset=lowest - 1)

    def apply(self, changes: Iterable[Change], position: LogPosition) -> None:
        """The next changes, up to a position; each session that holds one of the names is told once."""
        first = self.next_offset
        self.position = position
        for session, (keys, tags) in self.interest.take(changes).items():
            session.push_names(first, keys, tags)
        self.acknowledged()

    def flush(self, position: LogPosition) -> None:
        """Something was missed, or the log is another one, or went back: all drop everything, and follow from there."""
        same = self.position is not None and position.reaches(self.position)
        first = self.next_offset if same else 1
        if not same:
            self.unacknowledged = Unacknowledged()
        self.position = position
        self.interest.forget(self._sessions)
        for session in self._sessions:
            session.flushed(first, keep=same)
        self.acknowledged()

    def pause(self, paused: bool) -> None:
        """Let nobody keep or serve anything near, or go on. Either way all drop what they have: it may have changed
        untold."""
        if paused is not self.is_paused:
            self.is_paused = paused
            if self.position is not None:
                self.flush(self.position)

    def tick(self) -> None:
        """Sessions whose leases are over count no more. To be called a few times within a lease."""
        now_s = self.now_s()
        for session in [session for session in self._sessions if session.is_over(now_s)]:
            session.expire()

    @property
    def has_sessions(self) -> bool:
        """Some session is open, or its near cache may still serve."""
        return bool(self._sessions)

    @property
    def is_serving(self) -> bool:
        """Some near cache may still serve."""
        now_s = self.now_s()
        return any(not session.is_over(now_s) for session in self._sessions)

    # What sessions call.

    def remove(self, session: NearSession) -> None:
        """It is closed, and its lease is over."""
        self._sessions.pop(session, None)

    def acknowledged(self) -> None:
        """Something is not waited for any more."""
        self.on_acknowledged()
