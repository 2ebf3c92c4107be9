"""Random sequences of verbs get the same answers, errors and counts from a fake and from a real server."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple, TypeAlias

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from coherd import BatchError, CacheClient, CacheError, Domain, Key, OpenKey, Refusal, Resource, Selector, Tag
from coherd.domains import analytics, celery, content, crisis, maintenance, psychology, session
from coherd.domains.celery.v1 import celery_pb2
from coherd.domains.tags import Content, Date, User
from coherd.testing import FakeCache
from coherd.transport.protocol import Transport
from coherd.transport.unary import UnaryTransport
from coherd.v1 import cache_service_pb2 as wire
from coherd.v1 import keys_pb2
from rig.server import CoherdServer

CLOSE_MS: Final = 20_000
"""How far times of a real server may be from those of a fake whose clock stands still."""
COUNTS: Final = (
    "hits",
    "stale_hits",
    "misses",
    "sets",
    "fills",
    "rejected_fills",
    "loads_avoided",
    "invalidations",
    "deletes",
    "read_bytes",
    "written_bytes",
    "foreign",
    "dead",
)


class Side(NamedTuple):
    """One of the two, and the names of one example."""

    cache: CacheClient
    transport: Transport
    mark: str

    @property
    def day(self) -> datetime.date:
        """A day no other example uses."""
        return datetime.date.fromordinal(int(self.mark, 16) % datetime.date.max.toordinal() + 1)

    def key(self, index: int) -> Key[Any]:
        """The keys a sequence is about; the last two are refused."""
        mark = self.mark
        keys: list[Callable[[], Key[Any]]] = [
            lambda: content.Topics(user=mark),
            lambda: psychology.Profile(user=mark),
            lambda: psychology.Insights(user=mark, type="a:b %"),
            lambda: session.Data(id=mark),
            lambda: analytics.Daily(user=mark, date=self.day),
            lambda: analytics.ContentEngagement(content=mark),
            lambda: maintenance.CleanupReport(date=self.day),
            lambda: crisis.UserRisk(user=mark),
            lambda: OpenKey("content", "drafts", {"user": mark}, suffix="list"),
            lambda: OpenKey("nowhere", "drafts", {"user": mark}),
            lambda: OpenKey.parse(f"analytics:daily:user:{mark}:date:19990230"),
        ]
        return keys[index]()

    def token(self, index: int) -> bytes:
        """16 bytes, or too few."""
        return hashlib.md5(f"{self.mark}{index}".encode()).digest()[: 15 if index == 3 else 16]

    def selector(self, index: int) -> Selector:
        """What a sequence invalidates."""
        selectors: list[Selector] = [
            User(self.mark),
            Content(self.mark),
            Date(self.day),
            Tag("user", self.mark),
            Tag("user", self.mark, "psychology"),
            Tag("date", "*", "maintenance"),
            Resource.of(psychology.Profile),
            Resource("content", "drafts"),
            Domain("session"),
            self.key(0),
            self.key(3),
            self.key(9),
            Domain("nowhere"),
            Tag("user", self.mark, "celery"),
        ]
        return selectors[index]

    def tags(self, index: int) -> Mapping[str, str] | None:
        """Extra tags."""
        return (None, {"user": self.mark}, {"user": "somebody", "content": "c"}, {"nothing": "x"}, {"user": ""})[index]


Step: TypeAlias = Callable[[Side], Awaitable[Any]]

KEYS: Final = st.integers(0, 10)
GOOD: Final = st.integers(0, 8)
VALUES: Final = st.sampled_from([None, 0, "", {}, {"a": [1]}, "x" * 300])
TTLS: Final = st.sampled_from([None] * 4 + [timedelta(minutes=5), timedelta(days=3), timedelta(0), timedelta(days=999)])
VERSIONS: Final = st.sampled_from([None, None, 1, 2, 3, 2**63 - 1, 0])
TOKENS: Final = st.sampled_from([0, 0, 0, 1, 2, 3])
TAGS: Final = st.sampled_from([0, 0, 0, 1, 2, 3, 4])
SELECTORS: Final = st.lists(st.integers(0, 13), min_size=1, max_size=3)


def keyed(side: Side, index: int) -> keys_pb2.Key:
    return keys_pb2.Key(text=side.key(index))


@st.composite
def steps(draw: st.DrawFn, pool: list[int]) -> tuple[str, Step]:
    """One verb with its arguments, mostly about the keys of a pool, so that they meet."""
    index = draw(st.one_of(st.sampled_from(pool), st.sampled_from(pool), st.sampled_from(pool), KEYS))
    value, ttl, version, tags, flag = draw(VALUES), draw(TTLS), draw(VERSIONS), draw(TAGS), draw(st.booleans())
    token, number = draw(TOKENS), draw(st.integers(0, 60_000))
    many = draw(st.lists(st.one_of(st.sampled_from(pool), KEYS), max_size=4, unique=True))
    chosen = draw(SELECTORS)

    def set_request(side: Side) -> wire.SetRequest:
        ttl_ms = None if ttl is None else ttl // timedelta(milliseconds=1)
        return wire.SetRequest(key=keyed(side, index), value=b"\x0a\x012", ttl_ms=ttl_ms, version=version)

    def fill_request(side: Side) -> wire.FillRequest:
        return wire.FillRequest(set=set_request(side), token=side.token(token), load_ms=number)

    def abandon_request(side: Side) -> wire.FillRequest:
        cooldown_ms = 60_000 if flag else 0
        key = wire.SetRequest(key=keyed(side, index))
        return wire.FillRequest(set=key, token=side.token(token), abandon=True, cooldown_ms=cooldown_ms)

    def lease_request(side: Side, *, renew: bool = False) -> wire.LeaseRequest:
        return wire.LeaseRequest(
            key=keyed(side, index),
            token=side.token(token),
            lease_ms=number + 60_000,
            extra_tags=side.tags(tags) or {},
            renew=renew,
        )

    verbs: dict[str, Step] = {
        "get": lambda s: s.cache.get(s.key(index), default="a miss", accept_stale=flag),
        "get_entry": lambda s: s.cache.get_entry(s.key(index)),
        "get_many": lambda s: s.cache.get_many([s.key(each) for each in many], accept_stale=flag),
        "get of another type": lambda s: s.cache.get(celery.TaskMetrics._of(str(s.key(index)))),
        "set": lambda s: s.cache.set(
            s.key(index), value, ttl=ttl, tags=s.tags(tags), only_if_absent=flag, version=version
        ),
        "set_nothing": lambda s: s.cache.set_nothing(s.key(index), ttl=ttl, tags=s.tags(tags), version=version),
        "set_many": lambda s: s.cache.set_many({s.key(each): value for each in many}, ttl=ttl, tags=s.tags(tags)),
        "set a message": lambda s: s.cache.set(
            celery.TaskMetrics._of(str(s.key(index))), celery_pb2.TaskMetrics(retries=3)
        ),
        "set too much": lambda s: s.cache.set(s.key(index), "x" * (1 << 20)),
        "delete": lambda s: s.cache.delete(s.key(index)),
        "touch": lambda s: s.cache.touch(s.key(index), ttl),
        "invalidate": lambda s: s.cache.invalidate(*(s.selector(each) for each in chosen)),
        "get_raw": lambda s: s.transport.get(wire.GetRequest(key=keyed(s, index), accept_stale=flag), 5_000),
        "lease": lambda s: s.transport.lease(lease_request(s), 5_000),
        "renew": lambda s: s.transport.lease(lease_request(s, renew=True), 5_000),
        "fill": lambda s: s.transport.fill(fill_request(s), 5_000),
        "abandon": lambda s: s.transport.fill(abandon_request(s), 5_000),
        "batch_lease": lambda s: s.transport.batch_lease(wire.BatchLeaseRequest(items=[lease_request(s)]), 5_000),
        "batch_fill": lambda s: s.transport.batch_fill(wire.BatchFillRequest(items=[fill_request(s)]), 5_000),
    }
    name = draw(st.sampled_from([*verbs, "set", "lease", "fill", "get_raw", "invalidate"]))
    return f"{name}(key {index}, many {many}, selectors {chosen}, token {token}, {ttl}, v{version}, {flag})", verbs[name]


SEQUENCES: Final = st.lists(GOOD, min_size=1, max_size=2, unique=True).flatmap(
    lambda pool: st.lists(steps(pool), min_size=1, max_size=40)
)


def outcome_of(error: BaseException) -> Any:
    """What a caller is told."""
    if isinstance(error, BatchError):
        return ("batch", list(error.results.items()), {key: outcome_of(each) for key, each in error.errors.items()})
    if isinstance(error, CacheError):
        return (type(error), error.reason, error.retry, error.retry_after_ms, error.field, str(error))
    return (type(error), str(error))


async def answer_of(step: Step, side: Side) -> Any:
    try:
        return await step(side)
    except (CacheError, Refusal, ValueError, TypeError) as error:
        return outcome_of(error)


def times_in(text: str) -> tuple[str, list[int]]:
    """The text of an answer without its times, and its times."""
    pattern = re.compile(r"(age_ms|remaining_ttl_ms)[=:] ?(-?\d+)")
    bare = re.sub(r"\s+", " ", pattern.sub("", text))
    return bare, [int(number) for name, number in pattern.findall(text) if name == "remaining_ttl_ms"]


def same(real: Any, fake: Any) -> bool:
    (real_text, real_times), (fake_text, fake_times) = times_in(repr(real)), times_in(repr(fake))
    return real_text == fake_text and all(
        abs(one - other) <= CLOSE_MS for one, other in zip(real_times, fake_times, strict=True)
    )


async def counts_of(cache: CacheClient) -> dict[str, list[float]]:
    return {
        name: [
            *(getattr(each, count) for count in COUNTS),
            each.read_latency.count,
            each.write_latency.count,
        ]
        for name, each in (await cache.metrics()).items()
    }


async def compare(real: Side, sequence: list[tuple[str, Step]]) -> None:
    cache = FakeCache()
    fake = Side(cache, cache.transport, real.mark)
    before = await counts_of(real.cache)
    for at, (text, step) in enumerate(sequence):
        expected, got = await answer_of(step, real), await answer_of(step, fake)
        assert same(expected, got), f"step {at}, {text}: the server answers {expected!r}, the fake {got!r}"
    after = await counts_of(real.cache)
    counted = {name: [new - old for new, old in zip(after[name], before[name], strict=True)] for name in after}
    assert await counts_of(cache) == counted


def test_a_fake_answers_as_a_server_does(server: CoherdServer) -> None:
    with asyncio.Runner() as runner:
        transport = UnaryTransport(server.target)
        client = CacheClient(transport, timeout_ms=10_000)

        @settings(
            max_examples=250,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
        )
        @given(SEQUENCES)
        def check(sequence: list[tuple[str, Step]]) -> None:
            runner.run(compare(Side(client, transport, uuid.uuid4().hex), sequence))

        check()
        runner.run(client.close())


async def test_a_fake_describes_the_catalog_as_a_server_does(server: CoherdServer) -> None:
    async with CacheClient.connect(server.target) as real:
        fake = FakeCache()
        assert await fake.describe_catalog() == await real.describe_catalog()
        assert await fake.describe_catalog("crisis", "content") == await real.describe_catalog("crisis", "content")
