"""What a session does for the near cache of its event loop: keeps what it brings, drops what is pushed or changed here,
asks for the lease, and reports hits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from coherd._clock import boottime_s
from coherd._near import NearCache, NearDomain, PendingRead
from coherd._rpc.columns import Reads
from coherd._rpc.frames import HIT_NEAR, GetAnswers
from coherd._rpc.methods import Method, Request, Response
from coherd._rpc.send_queue import SendQueue
from coherd.contract.near_cache import NearCacheMode
from coherd.v1 import annotations_pb2, session_pb2
from coherd.v1 import cache_service_pb2 as pb

IDLE_ROUNDS: Final = 10
"""Thirds of a lease without any use after which it is left to lapse: idle clients cost the server nothing."""
_MODES: Final = {
    annotations_pb2.NEAR_CACHE_PUSH: NearCacheMode.PUSH,
    annotations_pb2.NEAR_CACHE_STRICT: NearCacheMode.STRICT,
}
_NO_TAGS: Final[dict[str, str]] = {}


class SessionNear:
    """The near cache's side of one session. Takes over the server's rules: the near cache begins empty.

    Args:
        cache: the near cache.
        welcome: of the session.
        queue: what the session sends.
    """

    def __init__(self, cache: NearCache, welcome: session_pb2.Welcome, queue: SendQueue) -> None:
        self.cache = cache
        self._queue = queue
        self._serving = True
        """Whether the session keeps the near cache coherent: it was not lost, closed, or asked to move."""
        self._lease_s = welcome.near_cache_lease_ms / 1000
        self._asked_s = 0.0
        """When a longer lease was last asked for."""
        self._pushed = 0
        """Sequence of the last push."""
        self.keeps_lease = False
        """Whether a longer lease is asked for again and again: the near cache is used."""
        self._used = asyncio.Event()
        cache.configure(
            {
                domain.domain: NearDomain(_MODES[domain.mode], frozenset(domain.tags), frozenset(domain.any_tags))
                for domain in welcome.near_caches
                if domain.mode in _MODES
            }
        )

    def leave(self, *, lost: bool) -> None:
        """The near cache is the next session's: this one keeps nothing in it any more, but still drops from it.

        Args:
            lost: nothing can be sent; else the last hits are, and then that the near cache is empty.
        """
        self._serving = False
        self.cache.disconnect()
        if not lost:
            if hits := self.cache.take_hits():
                self._report(hits)
            self._queue.goodbye()  # only now: it is said to be empty

    # Requests.

    def begin_read(self, key: str) -> PendingRead | None:
        """A key is about to be asked for [mark-before-asking]."""
        self._used.set()
        return self.cache.begin_read(key, boottime_s())

    def begin_reads(self, keys: Sequence[str]) -> Reads:
        """As `begin_read`, of many keys."""
        self._used.set()
        begin, now_s = self.cache.begin_read, boottime_s()
        return [begin(key, now_s) for key in keys]

    def begin(self, method: Method[Request, Any], request: Request) -> Reads:
        """An operation is about to be sent."""
        self._used.set()
        return begin_reads(self.cache, method, request, boottime_s())

    def got(self, reads: Reads, at: int, answers: GetAnswers) -> None:
        """Gets are answered, those whose pending reads begin at a place: what may be kept is."""
        if reads is not None:
            keep_columns(self.cache, reads, at, answers, serving=self._serving)

    def got_one(self, reads: Reads, at: int, answer: pb.GetResponse | pb.LeaseResponse | None) -> None:
        """One get, or lease, is answered by itself; None: it failed, or nobody waits for it any more."""
        if reads is not None and (read := reads[at]) is not None:
            reads[at] = None
            keep_one(self.cache, read, pb.Hit() if answer is None else answer.hit, serving=self._serving)

    def changed(self, keys: Sequence[str]) -> None:
        """Sets of these keys were done, failed, or may have been done [own-changes-drop]."""
        drop_keys(self.cache, keys)

    def answered(self, method: Method[Request, Response], request: Request, reads: Reads, answer: Response) -> None:
        """An operation is answered."""
        if reads is not None:
            self.got_one(reads, 0, answer)  # type: ignore[arg-type] # `keeps` says that it is a lease
        else:
            drop_changed(self.cache, method, request, answer)

    def failed(self, method: Method[Request, Any], request: Request, reads: Reads) -> None:
        """An operation has no answer: it may have been done, or may be still."""
        for read in reads or ():
            if read is not None:
                self.cache.release(read)
        drop_changed(self.cache, method, request, None)

    # Pushes.

    def take_push(self, push: session_pb2.PushFrame) -> None:
        """Drop what is pushed, or everything after a gap, and then acknowledge it [acknowledge-after-dropping]."""
        self.drop_pushed(push)
        self._pushed = push.sequence
        if self._serving:
            self._queue.acknowledge(push.sequence)

    def drop_pushed(self, push: session_pb2.PushFrame) -> None:
        """Drop what is pushed, or everything after a gap."""
        if push.flush or push.sequence != self._pushed + 1:
            self.cache.flush()
        else:
            self.cache.drop_keys(push.keys)
            self.cache.drop_tags(push.tags)

    # The lease.

    def take_extension(self, extension: session_pb2.LeaseExtension) -> None:
        """The lease is longer, counted from when that was asked for [lease-from-sending]."""
        if self._serving:
            until_s = (extension.counted_from_ms + extension.lease_ms) / 1000
            self.cache.extend(until_s, boottime_s())

    def asked_at_ms(self) -> int:
        """What a message that is about to be sent asks for a longer lease with; 0: it is not time to."""
        if self._serving:
            now_s = boottime_s()
            if now_s - self._asked_s >= self._lease_s / 3:
                self._asked_s = now_s
                return max(1, int(now_s * 1000))
        return 0

    async def keep_lease(self) -> None:
        """While the near cache is used, ask for a longer lease a few times within it, and report its hits."""
        idle_rounds = 0
        while self._serving and self._lease_s > 0:
            hits = self.cache.take_hits()
            idle_rounds = 0 if hits or self._used.is_set() else idle_rounds + 1
            self._used.clear()
            self.keeps_lease = idle_rounds <= IDLE_ROUNDS
            if self.keeps_lease:
                self._report(hits)
                await asyncio.sleep(self._lease_s / 3)
            else:
                await self._used.wait()

    def _report(self, hits: dict[str, int]) -> None:
        heartbeat = session_pb2.Heartbeat(near_cache_hits=hits)
        if not self._queue.say(session_pb2.SessionRequest(heartbeat=heartbeat)):
            self.cache.restore_hits(hits)


def begin_reads(near: NearCache, method: Method[Request, Any], request: Request, now_s: float) -> Reads:
    """The pending read of the key that an operation asks for, begun before it is sent [mark-before-asking].

    Args:
        near: the near cache.
        method: the rpc.
        request: to it.
        now_s: now, on the clock of leases.
    """
    if method.keeps is None or not (key := method.keeps(request)):
        return None
    return [near.begin_read(key, now_s)]


def keep_columns(
    near: NearCache, reads: list[PendingRead | None], at: int, answers: GetAnswers, *, serving: bool
) -> None:
    """End the pending reads of gets with their answers.

    Args:
        near: the near cache.
        reads: of the gets of a record. Those that end are taken out.
        at: place of the first that is answered.
        answers: to some of them.
        serving: whether the session that brought them still keeps the near cache coherent.
    """
    _, outcomes, values, remaining_ttl_ms, _ = answers
    for place, outcome in enumerate(outcomes, at):
        if not outcome or (read := reads[place]) is None:
            continue
        reads[place] = None
        if outcome == HIT_NEAR and serving:
            near.keep(
                read,
                payload=values[place - at],
                negative=False,
                expires_s=read.begun_s + remaining_ttl_ms[place - at] / 1000,
                extra_tags=_NO_TAGS,
            )
        else:
            near.release(read)


def keep_one(near: NearCache, read: PendingRead, hit: pb.Hit, *, serving: bool) -> None:
    """End one pending read with an answer; an empty one has nothing to keep.

    Args:
        near: the near cache.
        read: begun before the key was asked for.
        hit: what was answered.
        serving: as in `keep_columns`.
    """
    if not serving or not hit.near_cacheable or hit.stale:
        near.release(read)
        return
    near.keep(
        read,
        payload=hit.value,
        negative=hit.negative,
        expires_s=read.begun_s + hit.remaining_ttl_ms / 1000,
        extra_tags=dict(hit.extra_tags) if hit.extra_tags else _NO_TAGS,
    )


def drop_changed(near: NearCache, method: Method[Request, Response], request: Request, answer: Response | None) -> None:
    """Drop what a request changes, if it is not a read [own-changes-drop]; the client's near caches in other event
    loops drop everything.

    Args:
        near: the near cache.
        method: the rpc.
        request: to it.
        answer: None: it failed, or was given up: it may have been done, or may be still.
    """
    if method.changes is None:
        return
    changed = method.changes(request, answer)
    if changed is None:
        for other in near.elsewhere():
            other.revoke()
        near.flush()
    else:
        drop_keys(near, changed.keys, changed.tags)


def drop_keys(near: NearCache, keys: Sequence[str], tags: Sequence[str] = ()) -> None:
    """Drop these keys, and what carries these tags; the client's near caches in other event loops drop everything."""
    for other in near.elsewhere():
        other.revoke()
    near.drop_tags(tags)
    near.drop_keys(keys)
