"""Near caches without gRPC: members over a real store, and clients that hold, drop and acknowledge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import pytest

from coherd._clock import boottime_s
from coherd.catalog.catalog import ResolvedKey
from coherd.catalog.declared import DomainSpec
from coherd.catalog.load import builtin_catalog
from coherd.contract.near_cache import NearCacheMode
from coherd_server.core.cache import Cache, build_cache
from coherd_server.core.counters import Counters
from coherd_server.core.failure import Failure
from coherd_server.core.near.change_log import DIGEST_BYTES, ChangeNotice
from coherd_server.core.near.hub import Hub
from coherd_server.core.near.member import Member
from coherd_server.core.near.publish import ChangePublisher, distinct
from coherd_server.core.near.session import Push
from coherd_server.core.near.terms import Terms
from coherd_server.redis.store import RedisStore
from rig.fixtures import HASTY, Backend, Opener
from rig.waiting import until

LEASE_MS = 800
STRICT = builtin_catalog().resolve("psychology:profile:user:u1")
PUSHED = builtin_catalog().resolve("analytics:daily:user:u1:date:20250806")
assert STRICT.domain.near_cache is NearCacheMode.STRICT
assert PUSHED.domain.near_cache is NearCacheMode.PUSH


class LeaseClock:
    """The clock of leases, which a test may stop: then no lease ends, and what returns has waited for none to."""

    def __init__(self) -> None:
        self._ahead_s = 0.0
        self._stopped_s: float | None = None

    def __call__(self) -> float:
        return boottime_s() + self._ahead_s if self._stopped_s is None else self._stopped_s

    def stop(self) -> None:
        """It stands, until it goes on or is advanced."""
        self._stopped_s = self()

    def advance(self, seconds: float) -> None:
        """While it stands."""
        assert self._stopped_s is not None, "it runs"
        self._stopped_s += seconds

    def go_on(self) -> None:
        """From where it stands."""
        self._ahead_s = self() - boottime_s()
        self._stopped_s = None


class Silence(ChangePublisher):
    """Tells nobody, as if no domain had near caches."""

    def _of(self, names: Iterable[tuple[str, DomainSpec]], wait: bool) -> list[ChangeNotice | None]:
        return [None for _ in names]


def cache_over(store: RedisStore, *, max_value_bytes: int = 1_000) -> Cache:
    """The verbs over a store, without near caches."""
    near = NearMember(store)
    publisher = Silence(near.log, near.member, near.terms, boottime_s)
    return build_cache(store, publisher, Counters(), max_value_bytes=max_value_bytes)


class NearMember:
    """The near-cache part of one server."""

    def __init__(
        self,
        store: RedisStore,
        *,
        lease_ms: int = LEASE_MS,
        clock: Callable[[], float] = boottime_s,
        domains: bytes = bytes(DIGEST_BYTES),
    ) -> None:
        self.clock = clock
        self.terms = Terms(lease_ms=lease_ms)
        self.store = store
        self.log = store.log
        self.hub = Hub(clock, self.terms, Counters(), builtin_catalog().domains)
        self.member = Member(self.log, self.hub, domains)
        self.publisher = ChangePublisher(self.log, self.member, self.terms, clock)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Join; returns when it is in step."""
        self._task = asyncio.create_task(self.member.run())
        await until("in step", lambda: self.hub.in_step_as_of_s is not None)

    async def publish(self, key: ResolvedKey, *, wait: bool = False) -> Failure | None:
        """The key changed."""
        return await self.publisher.finish(distinct(self.publisher.of_keys([key], wait=wait)))

    async def publish_tags(self, *tags: str, wait: bool = False) -> Failure | None:
        """Tags of the domain of `PUSHED` were invalidated."""
        notices = self.publisher.of_tags(dict.fromkeys(tags, PUSHED.domain), wait=wait)
        return await self.publisher.finish(distinct(notices))

    async def die(self) -> None:
        """Stop like a process that is killed: nobody is told."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.log.close()

    async def stop(self) -> None:
        """Stop in order."""
        await self.die()
        await self.member.leave()


class NearClient:
    """A near cache of names: keeps what it may, drops what it is told, and acknowledges unless told not to."""

    def __init__(self, member: NearMember) -> None:
        self._hub = member.hub
        self._now_s = member.clock
        self._every_s = member.terms.lease_s / 8
        self.acknowledges = True
        self.delay_s = 0.01
        """What a push takes to be applied; pushes stay in order."""
        self.pushed: list[Push] = []
        self.held: dict[str, ResolvedKey] = {}
        self.valid_until_s = 0.0
        self.session = member.hub.open(self._push)
        self._task = asyncio.create_task(self._keep())

    def _push(self, push: Push) -> None:
        asyncio.get_running_loop().call_later(self.delay_s, self._apply, push)

    def _apply(self, push: Push) -> None:
        if not self.acknowledges:
            return  # stuck: it neither drops nor says so
        self.pushed.append(push)
        tags = set(push.tags)
        for text, key in list(self.held.items()):
            if push.flush or text in push.keys or tags & {tag for _, tag in key.tags}:
                del self.held[text]
        self.session.acknowledge(push.sequence)

    async def _keep(self) -> None:
        while True:
            now_s = self._now_s()
            extension = self.session.extend(int(now_s * 1000))
            if extension is not None:
                if now_s > self.valid_until_s:
                    self.held.clear()
                self.valid_until_s = (extension.counted_from_ms + extension.lease_ms) / 1000
            await asyncio.sleep(self._every_s)

    async def hold(self, key: ResolvedKey) -> None:
        """Read a key, and keep it."""
        await until("the lease runs", lambda: self.valid_until_s > self._now_s())
        assert self.session.register(key, (), self.session.read_started())
        self.held[key.text] = key

    def serves(self, key: ResolvedKey) -> bool:
        """Whether a get would be answered from here."""
        return self._now_s() < self.valid_until_s and key.text in self.held

    @property
    def flushes(self) -> int:
        return sum(push.flush for push in self.pushed)

    async def cut(self) -> None:
        """It hears and says nothing any more, and goes on serving while its lease runs."""
        self.acknowledges = False
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


NearOpener = Callable[..., Awaitable[NearMember]]


@pytest.fixture
def lease_clock() -> LeaseClock:
    """That of all members and near caches of the test. It runs until the test stops it."""
    return LeaseClock()


@pytest.fixture
async def members(opener: Opener, lease_clock: LeaseClock) -> AsyncIterator[NearOpener]:
    """``await members(url, prefix, lease_ms=…, domains=…)``: one more member, in step."""
    made: list[NearMember] = []

    async def make(
        url: str, prefix: str = "", *, lease_ms: int = LEASE_MS, domains: bytes = bytes(DIGEST_BYTES)
    ) -> NearMember:
        store = await opener(url, prefix, **HASTY)
        made.append(NearMember(store, lease_ms=lease_ms, clock=lease_clock, domains=domains))
        await made[-1].start()
        return made[-1]

    yield make
    for one in made:
        await one.die()


def log_names(backend: Backend) -> tuple[str, str]:
    """Full names of log and registry."""
    log = f"{backend.prefix}coherd:log"
    return log, f"{backend.prefix}coherd:replicas:{{{log}}}"
