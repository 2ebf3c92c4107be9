"""Steps with arguments drawn at random, done before two services: a fake and a real server must answer alike."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple, TypeAlias

from hypothesis import strategies as st

from coherd import CacheClient, Domain, Key, OpenKey, Resource, Selector, Tag
from coherd._rpc.methods import BATCH_FILL, BATCH_LEASE, FILL, GET, LEASE, KeyRead
from coherd._rpc.protocol import Transport
from coherd.domains import analytics, celery, content, crisis, maintenance, psychology, session
from coherd.domains.celery.v1 import celery_pb2
from coherd.domains.tags import Content, Date, User
from coherd.v1 import cache_service_pb2 as wire
from coherd.v1 import keys_pb2

BAD_GRANT: Final = 9
"""A grant that is no grant."""


class Side(NamedTuple):
    """One of the two, and the names of one example."""

    cache: CacheClient
    transport: Transport
    mark: str
    grants: dict[tuple[str, bytes], list[bytes]]
    """What this side granted, by key and token, in order."""

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

    def grant(self, key: str, token: bytes, back: int) -> bytes:
        """What a key and token were granted so many grants ago; what nobody was granted, or too few bytes."""
        granted = self.grants.get((key, token), [])
        return granted[-1 - back] if back < len(granted) else bytes(7 if back == BAD_GRANT else 8)

    def note(self, request: wire.LeaseRequest, answer: wire.LeaseResponse) -> wire.LeaseResponse:
        """Remember a grant. Its random bytes are replaced by whether this side granted them before."""
        if answer.HasField("granted"):
            granted = self.grants.setdefault((request.key.text, request.token), [])
            known = answer.granted.grant in granted
            if not known:
                granted.append(answer.granted.grant)
            answer.granted.grant = b"known" if known else b"new"
        return answer

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

VALUES: Final[tuple[Any, ...]] = (None, 0, "", {}, {"a": [1]}, "x" * 300)
TTLS: Final = (*(None, timedelta(minutes=5), timedelta(days=3)) * 8, timedelta(0), timedelta(days=999))
VERSIONS: Final = (*(None, 1, 2, 3) * 6, 2**63 - 1, 0)
MS: Final = timedelta(milliseconds=1)


class Arguments:
    """Draws the arguments of one verb, mostly about the keys of a pool, so that they meet."""

    def __init__(self, draw: st.DrawFn, pool: list[int]) -> None:
        self._draw = draw
        self._pool = pool
        self.text = ""

    def _drawn(self, name: str, value: Any) -> Any:
        self.text += f" {name}={value}"
        return value

    def among(self, name: str, choices: Sequence[Any]) -> Any:
        """One of them, the first ones easiest."""
        return self._drawn(name, self._draw(st.sampled_from(choices)))

    def key(self) -> int:
        """A key of the pool, or once in a while any."""
        return int(self.among("key", [*self._pool * 20, *range(11)]))

    def many(self, name: str, choices: Sequence[int], least: int = 0) -> list[int]:
        """Some of them."""
        some = st.lists(st.sampled_from(choices), min_size=least, max_size=4, unique=True)
        return list(self._drawn(name, self._draw(some)))

    def flag(self, name: str) -> bool:
        """Yes or no."""
        return bool(self.among(name, (False, True)))

    def tags(self) -> int:
        """Which extra tags."""
        return int(self.among("tags", (*(0, 1) * 12, 2, 3, 4)))

    def token(self) -> int:
        """Which token; the last is none."""
        return int(self.among("token", (*(0, 0, 0, 1) * 5, 2, 3)))

    def grant(self) -> int:
        """Which grant, counted back from the last."""
        return int(self.among("grant", (*(0,) * 12, 1, 1, 2, BAD_GRANT)))

    def set_request(self) -> Callable[[Side], wire.SetRequest]:
        """What a set or fill stores."""
        key, ttl, version = self.key(), self.among("ttl", TTLS), self.among("version", VERSIONS)
        ttl_ms = None if ttl is None else ttl // MS
        return lambda s: wire.SetRequest(key=wire_key(s, key), value=b"\x0a\x012", ttl_ms=ttl_ms, version=version)

    def fill_request(self) -> Callable[[Side], wire.FillRequest]:
        """A fill."""
        request, token, back = self.set_request(), self.token(), self.grant()

        def fill(s: Side) -> wire.FillRequest:
            put, named = request(s), s.token(token)
            return wire.FillRequest(set=put, token=named, grant=s.grant(put.key.text, named, back), load_ms=5)

        return fill

    def lease_request(self, *, renew: bool = False) -> Callable[[Side], wire.LeaseRequest]:
        """A lease that asks at once."""
        key, token, tags = self.key(), self.token(), self.tags()
        lease_ms = self.among("lease_ms", (*(60_000, 0) * 10, 5, 600_001))
        back = self.grant() if renew else None

        def lease(s: Side) -> wire.LeaseRequest:
            named, wanted = wire_key(s, key), s.token(token)
            grant = None if back is None else s.grant(named.text, wanted, back)
            extra = s.tags(tags) or {}
            return wire.LeaseRequest(
                key=named, token=wanted, lease_ms=lease_ms, extra_tags=extra, renew=renew, grant=grant
            )

        return lease


def wire_key(side: Side, index: int) -> keys_pb2.Key:
    return keys_pb2.Key(text=side.key(index))


def get(a: Arguments) -> Step:
    key, stale = a.key(), a.flag("accept_stale")
    return lambda s: s.cache.get(s.key(key), default="a miss", accept_stale=stale)


def get_entry(a: Arguments) -> Step:
    key = a.key()
    return lambda s: s.cache.get_entry(s.key(key))


def get_many(a: Arguments) -> Step:
    keys = a.many("keys", range(11))
    return lambda s: s.cache.get_many([s.key(each) for each in keys])


def get_another_type(a: Arguments) -> Step:
    key = a.key()
    return lambda s: s.cache.get(celery.TaskMetrics._of(str(s.key(key))))


def get_raw(a: Arguments) -> Step:
    key = a.key()
    return lambda s: s.transport.call(GET, KeyRead(wire_key(s, key).text, whole=True), 10_000)


def set_(a: Arguments) -> Step:
    key, value, ttl, tags = a.key(), a.among("value", VALUES), a.among("ttl", TTLS), a.tags()
    absent, version = a.flag("only_if_absent"), a.among("version", VERSIONS)
    return lambda s: s.cache.set(s.key(key), value, ttl=ttl, tags=s.tags(tags), only_if_absent=absent, version=version)


def set_nothing(a: Arguments) -> Step:
    key, ttl, tags = a.key(), a.among("ttl", TTLS), a.tags()
    return lambda s: s.cache.set_nothing(s.key(key), ttl=ttl, tags=s.tags(tags))


def set_many(a: Arguments) -> Step:
    keys, value, tags = a.many("keys", range(11)), a.among("value", VALUES), a.tags()
    return lambda s: s.cache.set_many({s.key(each): value for each in keys}, tags=s.tags(tags))


def set_another_type(a: Arguments) -> Step:
    key = a.key()
    return lambda s: s.cache.set(celery.TaskMetrics._of(str(s.key(key))), celery_pb2.TaskMetrics(retries=3))


def set_too_much(a: Arguments) -> Step:
    key = a.key()
    return lambda s: s.cache.set(s.key(key), "x" * (1 << 20))


def delete(a: Arguments) -> Step:
    key = a.key()
    return lambda s: s.cache.delete(s.key(key))


def touch(a: Arguments) -> Step:
    key, ttl = a.key(), a.among("ttl", TTLS)
    return lambda s: s.cache.touch(s.key(key), ttl)


def invalidate(a: Arguments) -> Step:
    chosen = a.many("selectors", range(14), least=1)
    return lambda s: s.cache.invalidate(*(s.selector(each) for each in chosen))


def invalidate_one(a: Arguments) -> Step:
    chosen = a.among("selector", [0] * 11 + list(range(11)))
    return lambda s: s.cache.invalidate(s.selector(chosen))


async def leased(side: Side, request: wire.LeaseRequest) -> wire.LeaseResponse:
    return side.note(request, await side.transport.call(LEASE, request, 10_000))


def lease(a: Arguments) -> Step:
    request = a.lease_request()
    return lambda s: leased(s, request(s))


def renew(a: Arguments) -> Step:
    request = a.lease_request(renew=True)
    return lambda s: leased(s, request(s))


def fill(a: Arguments) -> Step:
    request = a.fill_request()
    return lambda s: s.transport.call(FILL, request(s), 10_000)


def abandon(a: Arguments) -> Step:
    key, token, cooldown_ms = a.key(), a.token(), a.among("cooldown_ms", (*(0, 60_000) * 8, 600_001))
    return lambda s: s.transport.call(
        FILL,
        wire.FillRequest(
            set=wire.SetRequest(key=wire_key(s, key)), token=s.token(token), abandon=True, cooldown_ms=cooldown_ms
        ),
        10_000,
    )


def batch_lease(a: Arguments) -> Step:
    requests = [a.lease_request(), a.lease_request()]

    async def step(s: Side) -> list[Any]:
        # Items are concurrent: of two about one key, which comes first is anybody's guess.
        items = list({item.key.text: item for item in (each(s) for each in requests)}.values())
        answer = await s.transport.call(BATCH_LEASE, wire.BatchLeaseRequest(items=items), 10_000)
        return [
            one.error if one.HasField("error") else s.note(item, one.lease)
            for item, one in zip(items, answer.results, strict=True)
        ]

    return step


def batch_fill(a: Arguments) -> Step:
    request = a.fill_request()
    return lambda s: s.transport.call(BATCH_FILL, wire.BatchFillRequest(items=[request(s)]), 10_000)


READS: Final = (get, get_entry, get_many, get_another_type, get_raw)
CHANGES: Final = (
    *(set_, set_, set_, set_, set_nothing, set_many, set_another_type, set_too_much, delete, touch),
    *(invalidate, invalidate_one, invalidate_one),
    *(lease, lease, lease, lease, fill, fill, fill, fill, renew, abandon, batch_lease, batch_fill),
)


@st.composite
def steps(draw: st.DrawFn, pool: list[int]) -> tuple[str, Step]:
    """One verb with its arguments."""
    verb = draw(st.sampled_from((*READS, *CHANGES)))
    arguments = Arguments(draw, pool)
    step = verb(arguments)
    return verb.__name__ + arguments.text, step


SEQUENCES: Final = st.lists(st.sampled_from((*range(9), 3, 5)), min_size=1, max_size=2, unique=True).flatmap(
    lambda pool: st.lists(steps(pool), min_size=20, max_size=40)
)
