"""A transport that needs no server: the requests of a client answered from memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Final, NamedTuple

from google.protobuf.message import Message

from coherd._near import Kept
from coherd._rpc.connection_events import ConnectionEventKind
from coherd._rpc.methods import Method, Request, Response
from coherd._rpc.protocol import MAX_CALL_ITEMS
from coherd.catalog import requests
from coherd.catalog.catalog import Catalog, ResolvedKey
from coherd.contract.reasons import REASONS, Refusal
from coherd.errors import CacheError, ClientClosed, error_of
from coherd.testing.clock import FakeClock
from coherd.testing.counts import Counts
from coherd.testing.faults import Faults
from coherd.testing.memory import Memory
from coherd.testing.near import NearReads
from coherd.testing.rpcs import Rpcs
from coherd.testing.verbs import Verbs
from coherd.testing.waiting import Changes, Watch
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1 import keys_pb2

RPCS: Final = tuple(method.name for method in pb.DESCRIPTOR.services_by_name["CacheService"].methods)
"""Names of the rpcs of CacheService."""
MAX_VALUE_BYTES: Final = 1 << 20


class Call(NamedTuple):
    """One request, as the client sent it."""

    rpc: str
    """``Get``, ``BatchSet``, ``Invalidate``: its name in CacheService."""
    request: Message

    @property
    def keys(self) -> tuple[str, ...]:
        """Texts of the keys in it."""
        return tuple(_keys_in(self.request))


class MemoryTransport:
    """Implements `coherd._rpc.protocol.Transport` in memory. Usable from any thread and any event loop.

    Args:
        catalog: what the service would run.
        clock: its time.
        draw: source of random numbers in ``[0, 1)``, for jitter and early refresh.
        max_value_bytes: longest payload accepted.
    """

    def __init__(
        self,
        catalog: Catalog,
        clock: FakeClock,
        *,
        draw: Callable[[], float],
        max_value_bytes: int = MAX_VALUE_BYTES,
    ) -> None:
        self.calls: list[Call] = []
        self.catalog = catalog
        self._clock = clock
        self._changes = Changes()
        self.memory = Memory(clock, self._changes.wake)
        counts = Counts()
        self._verbs = Verbs(catalog, self.memory, counts, clock, draw=draw, max_value_bytes=max_value_bytes)
        self._rpcs = Rpcs(catalog, self._verbs, counts)
        self._near = NearReads(catalog, self.memory, counts)
        self._faults = Faults(RPCS)
        self._closed = False
        self.lock = threading.RLock()
        clock.on_advance(self._changes.wake)

    def failing(self, error: CacheError, *rpcs: str, takes_effect: bool = False) -> AbstractContextManager[None]:
        """See `coherd.testing.FakeCache.failing`."""
        return self._faults.failing(error, rpcs, takes_effect=takes_effect)

    @property
    def service(self) -> object:
        """See `Transport.service`: itself."""
        return self

    @property
    def counts(self) -> Mapping[ConnectionEventKind, int]:
        return {}

    def lookup_near(self, key: str, loop: asyncio.AbstractEventLoop | None = None) -> Kept | None:
        return None  # so that each read is a call that a test can see

    def peek_near(self, key: str, loop: asyncio.AbstractEventLoop | None = None) -> Kept | None:
        with self.lock:
            return None if self._closed else self._near.lookup(str(key))

    def owes_turn(self) -> bool:
        return False

    def items_at_once(self, items: int, *, reads: bool) -> int:
        return MAX_CALL_ITEMS

    async def call(
        self, method: Method[Request, Response], request: Request, timeout_ms: int, has_fallback: bool = False
    ) -> Response:
        answer = await self.answer(method.rpc, method.message_of(request))
        assert isinstance(answer, method.response)
        return method.answer_of(answer)

    async def answer(self, rpc: str, request: Message) -> Message:
        """As `call`, in messages.

        Args:
            rpc: its name.
            request: to it.
        """
        if isinstance(request, pb.LeaseRequest):
            leased = await self._lease(request)
            with self.lock:
                self._near.note(request, leased)
            return leased
        with self._serving(rpc, request):
            answer = self._rpcs.by_name[rpc](request)
            self._near.note(request, answer)
            return answer

    async def _lease(self, request: pb.LeaseRequest) -> pb.LeaseResponse:
        with self._changes.watch() as watch:
            with self._serving("Lease", request):
                item = requests.lease_item(self.catalog, request)
                if request.renew:
                    return self._verbs.renew(item)
                answer = self._verbs.lease(item)
                if not (item.wait_ms and _holds_back(answer)):
                    self._verbs.count_lease(item, answer, waited=False)
                    return answer
            return await self._wait(item, watch)

    async def _wait(self, item: requests.LeaseItem, watch: Watch) -> pb.LeaseResponse:
        """Look again at every change, until there is another answer than that somebody else loads, or the wait is over:
        by the cache's clock, or by real time where that stands still."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + item.wait_ms / 1000
        end_ms = self._clock.now_ms + item.wait_ms
        while True:
            await watch.change(max(0.0, min(end_s - loop.time(), self._lease_ends_in_s(item.key))))
            with self.lock:
                self._check_open("the client was closed during the call")
                answer = self._verbs.lease(item)
                if not _holds_back(answer) or self._clock.now_ms >= end_ms or loop.time() >= end_s:
                    self._verbs.count_lease(item, answer, waited=True)
                    return answer

    def _lease_ends_in_s(self, key: ResolvedKey) -> float:
        """Real time until the lease that is waited for ends by itself."""
        with self.lock:
            ends_at_ms = self.memory.lease_ends_at_ms(key)
        if ends_at_ms is None or not self._clock.runs:
            return float("inf")
        return (ends_at_ms - self._clock.now_ms) / 1000 + 0.001

    async def close(self) -> None:
        self._closed = True
        self._changes.wake()

    @contextmanager
    def _serving(self, rpc: str, request: Message) -> Iterator[None]:
        """Note the call, fail it where a test asks for that, and turn refusals into errors."""
        with self.lock:
            self._check_open("the client is closed")
            self.calls.append(Call(rpc, request))
            self._faults.before(rpc)
            try:
                yield
            except Refusal as refusal:
                rule = REASONS[refusal.reason]
                raise error_of(
                    refusal.reason, str(refusal), field=refusal.field, retry_after_ms=rule.retry_after_ms
                ) from None
            self._faults.after(rpc)

    def _check_open(self, otherwise: str) -> None:
        if self._closed:
            raise ClientClosed(otherwise)


def _holds_back(answer: pb.LeaseResponse) -> bool:
    """Whether a caller that can wait does."""
    return answer.HasField("held") and not answer.held.HasField("stale")


def _keys_in(message: Message) -> Iterator[str]:
    """Texts of the keys anywhere in a request, in order."""
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None or descriptor.message_type.GetOptions().map_entry:
            continue
        for each in value if isinstance(value, Sequence) else (value,):
            if isinstance(each, keys_pb2.Key):
                yield each.text
            else:
                yield from _keys_in(each)
