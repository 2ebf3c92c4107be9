"""Operations over the session under the transport protocol, and as unary calls where there is none."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from coherd._clock import boottime_s
from coherd._near import Kept, NearCache
from coherd._rpc.batch_tries import has_failed_items
from coherd._rpc.calls import BATCHES, attempts_of
from coherd._rpc.connection import open_channel
from coherd._rpc.connection_events import ConnectionEventKind
from coherd._rpc.endpoint import bearer_metadata
from coherd._rpc.failure_policy import FailurePolicy
from coherd._rpc.forks import ConnectedPerLoop
from coherd._rpc.guard import Guard
from coherd._rpc.methods import Method, Request, Response
from coherd._rpc.protocol import MAX_CALL_ITEMS
from coherd._rpc.retries import repeat
from coherd._rpc.session_link import SessionLink
from coherd._rpc.session_near import drop_changed
from coherd._rpc.session_opening import new_client_id
from coherd._rpc.tls import TlsConfig
from coherd._rpc.unary import UnaryTransport
from coherd.contract.limits import whole_number
from coherd.contract.reasons import Retry
from coherd.errors import CacheError, ClientClosed, DeadlineExceeded
from coherd.v1.errors_pb2 import ErrorReason

CALLS_AT_ONCE: Final = 4
"""Into so many calls a batch is split, so that client and server work on it at the same time; but into calls of at
least `LEAST_READS` or `LEAST_SETS`, and at most `MOST_ITEMS`: each costs a frame either way."""
LEAST_READS: Final = 50
LEAST_SETS: Final = 128
"""More: each part costs the store a script and an append."""
MOST_ITEMS: Final = 250


@dataclass(frozen=True, slots=True)
class NearCacheBounds:
    """How much is kept near, per event loop.

    Raises:
        ValueError: a bound is no whole number, or out of its range.
    """

    max_entries: int = 20_000
    """More make a push that drops all of them block the event loop: about 80 ms for 20,000. Range: 1..2**31 - 1."""
    max_bytes: int = 64 << 20
    """Reckoned memory of values, keys and what is kept beside them. Range: 1..2**63 - 1."""

    def __post_init__(self) -> None:
        whole_number("max_entries", self.max_entries, 1, 2**31 - 1)
        whole_number("max_bytes", self.max_bytes, 1, 2**63 - 1)


class SessionTransport:
    """Operations share frames on one stream; what it cannot carry, and all while there is none, goes as unary calls.

    Usable from any number of event loops and, in forked children, again.
    """

    def __init__(
        self,
        target: str,
        *,
        tls: TlsConfig | None = None,
        token: str | None = None,
        near_cache: NearCacheBounds | None,
        failures: FailurePolicy | None = None,
        on_event: Callable[[Any], object] | None = None,
    ) -> None:
        """Does no I/O.

        Args:
            target: ``host:port``, or any gRPC target.
            tls: None: plain text.
            token: sent as bearer token; without ``tls`` it crosses the network readable.
            near_cache: bounds of the near cache of each event loop; None: none is kept.
            failures: what is done about a service that fails. Default: ``FailurePolicy()``.
            on_event: called with each `ConnectionEvent`.

        Raises:
            ValueError: as `UnaryTransport`.
        """
        policy = FailurePolicy() if failures is None else failures
        self._unary = UnaryTransport(target, tls=tls, token=token, failures=policy, on_event=on_event)
        self.service = self._unary.service
        """See `Transport.service`."""
        self._closed = False
        metadata = bearer_metadata(token)

        def make() -> SessionLink:
            near: NearCache | None = None
            if near_cache is not None:
                near = NearCache(max_entries=near_cache.max_entries, max_bytes=near_cache.max_bytes)
                near.elsewhere = functools.partial(self._others_of, near)
            return SessionLink(
                lambda: open_channel(target, tls),
                metadata,
                new_client_id(),
                near,
                policy.silence_ms,
                self._fell_silent,
                Guard(policy, self._unary.events),
            )

        self._links = ConnectedPerLoop(make)
        self._by_loop = self._links.by_loop

    def lookup_near(self, key: str, loop: asyncio.AbstractEventLoop | None = None) -> Kept | None:
        link = self._by_loop.get(loop or asyncio.get_running_loop())
        if link is None or (near := link.near) is None:
            return None
        now_s = boottime_s()
        if loop is None and now_s >= link.turns.due_s and link.turns.owed(now_s):
            return None
        return near.lookup(key, now_s)

    peek_near = lookup_near

    def owes_turn(self) -> bool:
        link = self._by_loop.get(asyncio.get_running_loop())
        return link is not None and link.near is not None and link.turns.owed(boottime_s())

    def items_at_once(self, items: int, *, reads: bool) -> int:
        link = self._by_loop.get(asyncio.get_running_loop())
        if link is None or link.stream is None:
            return MAX_CALL_ITEMS
        least = LEAST_READS if reads else LEAST_SETS
        share = min(max(least, -(-items // CALLS_AT_ONCE)), MOST_ITEMS)
        return min(share, link.stream.most_items)

    def _others_of(self, near: NearCache) -> Iterable[NearCache]:
        """Near caches of the other event loops."""
        by_loop = self._links.by_loop
        if len(by_loop) < 2:
            return ()
        return [link.near for link in list(by_loop.values()) if link.near is not None and link.near is not near]

    async def call(
        self, method: Method[Request, Response], request: Request, timeout_ms: int, has_fallback: bool = False
    ) -> Response:
        if not (method.field or method.is_columns):
            return await self._unary.call(method, request, timeout_ms, has_fallback)
        deadline_s = time.monotonic() + timeout_ms / 1_000
        first: Response | CacheError | None = None
        link = self._by_loop.get(asyncio.get_running_loop())
        if (
            link is not None
            and not link.guard.is_open
            and (stream := link.stream) is not None
            and (begun := stream.begin(method, request, timeout_ms)) is not None
        ):
            asked, answer = begun
            try:
                result = await answer
            except asyncio.CancelledError:
                stream.give_up(asked, answer)
                raise
            except CacheError as error:
                first = error
            else:
                if method.rpc in BATCHES and has_failed_items(result):
                    first = result
                else:
                    if link.guard.is_troubled:
                        link.guard.answered(result, timeout_ms)
                    return result  # type: ignore[no-any-return]
        elif self._closed:
            raise ClientClosed("the client is closed")
        link = self._links.current()
        call = attempts_of(functools.partial(self._attempt, link), method, request, timeout_ms, has_fallback)
        return await repeat(call, link.guard, deadline_s, first)

    @property
    def counts(self) -> Mapping[ConnectionEventKind, int]:
        return self._unary.counts

    def _fell_silent(self) -> None:
        self._unary.events.happened(ConnectionEventKind.SERVER_SILENT)
        self._unary.leave()

    async def close(self) -> None:
        self._closed = True
        own, others = self._links.take_all()
        for loop, link in others.items():
            with contextlib.suppress(RuntimeError):  # the loop is closed, and its session with it
                loop.call_soon_threadsafe(link.close_soon)
        if own is not None:
            await own.guard.close()
            await own.close()
        await self._unary.close()

    async def _attempt(
        self, link: SessionLink, method: Method[Request, Response], request: Request, deadline_s: float
    ) -> Response:
        """One attempt, over the session if there is one, at most until a moment of `time.monotonic`."""
        if self._closed:
            raise ClientClosed("the client was closed during the call")
        remaining_s = deadline_s - time.monotonic()
        if remaining_s <= 0:
            raise DeadlineExceeded(
                "the time limit passed", reason=ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, retry=Retry.IDEMPOTENT
            )
        stream = await link.ready(remaining_s)
        if stream is not None and stream.carries(method, request):
            left_ms = max(1, int((deadline_s - time.monotonic()) * 1_000))
            return await stream.ask(method, request, left_ms)
        answer: Response | None = None
        try:
            answer = await self._unary.send(method, request, deadline_s)
            return answer
        finally:
            if link.near is not None:
                drop_changed(link.near, method, request, answer)
