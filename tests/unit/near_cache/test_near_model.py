"""Random interleavings against a naive model: a dict, brute force, no index, no queue."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from coherd._near import NearCache, NearCacheMode, NearDomain, PendingRead
from coherd.contract import tags
from coherd.contract.keys import build_key, parse_key

POLICIES = {
    "analytics": NearDomain(NearCacheMode.PUSH, frozenset({"user", "date", "content"}), frozenset({"date"})),
    "session": NearDomain(NearCacheMode.STRICT, frozenset({"user"})),
    "crisis": NearDomain(NearCacheMode.OFF, frozenset({"user"})),
}
USERS = ("u1", "u:2 *")
DATES = ("20250806", "20250807")
KEYS = [
    *(build_key("analytics", "daily", [("user", user), ("date", date)]) for user in USERS for date in DATES),
    *(build_key("analytics", "mood", [("user", user)], "suffix") for user in USERS),
    *(build_key("session", "data", [("id", user)]) for user in USERS),
    build_key("crisis", "user_risk", [("user", "u1")]),
]
TAGS = [
    *("analytics", "analytics:daily", "analytics:mood", "session", "session:data", "crisis", "unknown"),
    *(tags.identifier_tag(domain, "user", user) for domain in ("analytics", "session", "crisis") for user in USERS),
    *(tags.identifier_tag("analytics", "date", date) for date in DATES),
    *(tags.any_tag("analytics", "date"), tags.identifier_tag("analytics", "content", "c1")),
]
EXTRAS: list[dict[str, str]] = [{}, {}, {"user": "u1"}, {"user": "u:2 *"}]
keys = st.sampled_from(KEYS)
extras = st.sampled_from(EXTRAS)
times_s = st.floats(0.0, 3.0)


class Known(NamedTuple):
    """What the model has under a key."""

    payload: bytes
    negative: bool
    expires_s: float
    tags: frozenset[str]


@dataclass(eq=False)
class Asking:
    """A pending read and what the model thinks of it."""

    key: str
    read: PendingRead
    asked_at_s: float
    void: bool = False


@dataclass
class Model:
    """A near cache as one would write it on a napkin. It evicts nothing: it is told what was."""

    known: dict[str, Known] = field(default_factory=dict)
    asking: list[Asking] = field(default_factory=list)
    lease_until_s: float = -1.0
    hits: dict[str, int] = field(default_factory=dict)

    def lookup(self, key: str, now_s: float) -> Known | None:
        known = self.known.get(key)
        if known is None or now_s >= known.expires_s or now_s >= self.lease_until_s:
            return None
        domain = parse_key(key).domain
        self.hits[domain] = self.hits.get(domain, 0) + 1
        return known

    def drop_key(self, key: str) -> None:
        self.known.pop(key, None)
        for asking in self.asking:
            asking.void |= asking.key == key

    def drop_tag(self, tag: str) -> None:
        self.known = {key: known for key, known in self.known.items() if tag not in known.tags}
        for asking in self.asking:
            asking.void |= parse_key(asking.key).domain == tag.replace("/", ":").split(":")[0]

    def flush(self) -> None:
        self.known.clear()
        for asking in self.asking:
            asking.void = True


def all_tags(key: str, extra: dict[str, str]) -> frozenset[str]:
    parts = parse_key(key)
    _, declared, any_of = POLICIES[parts.domain]
    derived = tags.derived_tags(parts, declared, any_of)
    return frozenset(tag for _, tag in (*derived, *tags.extra_tags(parts.domain, extra, declared, any_of, derived)))


class NearCacheMachine(RuleBasedStateMachine):
    """A cache of few entries, its model, and one clock."""

    reads: Bundle[Asking] = Bundle("reads")

    @initialize(max_entries=st.integers(1, 8), max_bytes=st.sampled_from([20_000, 1_000_000]))
    def begin(self, max_entries: int, max_bytes: int) -> None:
        self.now_s = 0.0
        self.payloads = 0
        self.bounds = (max_entries, max_bytes)
        self.cache = NearCache(max_entries=max_entries, max_bytes=max_bytes)
        self.model = Model()
        self.welcome(3.0)

    @rule(lease_s=times_s)
    def welcome(self, lease_s: float) -> None:
        """A new session."""
        self.cache.configure(POLICIES)
        self.model.flush()
        self.model.lease_until_s = -1.0
        self.extend(lease_s)

    @rule(lease_s=times_s)
    def extend(self, lease_s: float) -> None:
        if self.now_s >= self.model.lease_until_s:
            self.model.flush()
        self.cache.extend(self.now_s + lease_s, self.now_s)
        self.model.lease_until_s = max(self.model.lease_until_s, self.now_s + lease_s)

    @rule(passed_s=times_s)
    def time_passes(self, passed_s: float) -> None:
        self.now_s += passed_s

    @rule()
    def disconnect(self) -> None:
        self.cache.disconnect()
        self.model.flush()
        self.model.lease_until_s = -1.0

    @rule()
    def flush(self) -> None:
        self.cache.flush()
        self.model.flush()

    @rule(target=reads, key=keys)
    def ask(self, key: str) -> Asking:
        """Begin a read; one that is refused goes into the bundle as one that is void."""
        read = self.cache.begin_read(key, self.now_s)
        on = POLICIES[parse_key(key).domain].mode is not NearCacheMode.OFF
        assert (read is not None) == (on and self.now_s < self.model.lease_until_s)
        asking = Asking(key, read, self.now_s) if read is not None else Asking(key, _spent(), self.now_s, void=True)
        self.model.asking.append(asking)
        return asking

    @rule(
        asking=consumes(reads),
        size=st.sampled_from([0, 10, 1_000, 5_000]),
        negative=st.booleans(),
        fresh_s=st.floats(-1.0, 9.0),
        extra=extras,
    )
    def reply(self, asking: Asking, size: int, negative: bool, fresh_s: float, extra: dict[str, str]) -> None:
        self.payloads += 1
        payload = self.payloads.to_bytes(4) + bytes(size)
        expires_s = self.now_s + fresh_s
        evicted_before = self.cache.statistics.evicted
        kept = self.cache.keep(
            asking.read,
            payload=payload,
            negative=negative,
            expires_s=expires_s,
            extra_tags=extra,
        )
        self.model.asking.remove(asking)
        if asking.void or asking.asked_at_s >= expires_s:
            assert not kept
        elif self.bounds[1] > 100_000:
            assert kept
        if kept:
            self.model.known[asking.key] = Known(payload, negative, expires_s, all_tags(asking.key, extra))
            gone = self.model.known.keys() - self.cache._entries.keys()
            assert asking.key not in gone
            assert len(gone) == self.cache.statistics.evicted - evicted_before
            if self.bounds == (8, 1_000_000):
                assert not gone, "all keys that can be kept fit in"
            for key in gone:
                del self.model.known[key]

    @rule(keys=st.lists(keys, min_size=1, max_size=6), extra=extras)
    def read_through(self, keys: list[str], extra: dict[str, str]) -> None:
        """Nothing comes between: without it the cache would seldom be full."""
        for key in keys:
            self.look_up(key, 1)
            self.reply(self.ask(key), 10, False, 9.0, extra)

    @rule(asking=consumes(reads))
    def give_up(self, asking: Asking) -> None:
        self.cache.release(asking.read)
        self.model.asking.remove(asking)

    @rule(chosen=st.lists(keys, max_size=3))
    def drop_keys(self, chosen: list[str]) -> None:
        """A push, or an own change."""
        self.cache.drop_keys(chosen)
        for key in chosen:
            self.model.drop_key(key)

    @rule(chosen=st.lists(st.sampled_from(TAGS), max_size=2))
    def drop_tags(self, chosen: list[str]) -> None:
        self.cache.drop_tags(chosen)
        for tag in chosen:
            self.model.drop_tag(tag)

    @rule(key=keys, times=st.integers(1, 4))
    def look_up(self, key: str, times: int) -> None:
        for _ in range(times):
            found, known = self.cache.lookup(key, self.now_s), self.model.lookup(key, self.now_s)
            if known is None:
                assert found is None
            else:
                assert found is not None
                assert (found.payload, found.negative) == (known.payload, known.negative)

    @precondition(lambda self: self.model.hits)
    @rule()
    def report_hits(self) -> None:
        assert self.cache.take_hits() == self.model.hits
        self.model.hits.clear()

    @invariant()
    def everything_agrees(self) -> None:
        cache = self.cache
        entries = cache._entries
        figures = cache.statistics
        assert entries.keys() == self.model.known.keys()
        assert figures.entries == len(cache._queue) == len(entries) <= self.bounds[0]
        assert figures.bytes == sum(kept.size_bytes for kept in entries.values()) <= self.bounds[1]
        assert cache._queue._small_bytes == sum(kept.size_bytes for kept in cache._queue._small.values())
        indexed = {tag: {kept.key for kept in under} for tag, under in cache._tags._carriers.items()}
        brute: dict[str, set[str]] = {}
        for key, known in self.model.known.items():
            for tag in known.tags:
                brute.setdefault(tag, set()).add(key)
        assert indexed == brute
        open_reads = sum(asking.read.key_reads is not None for asking in self.model.asking)
        assert (
            figures.pending_reads
            == open_reads
            == sum(key_reads.open for key_reads in cache._reads._by_key.values())
            + sum(asking.read.key_reads is not None and asking.read.key_reads.touched for asking in self.model.asking)
        )


def _spent() -> PendingRead:
    """A read that was kept or released long ago."""
    cache = NearCache(max_entries=1, max_bytes=1)
    cache.configure(POLICIES)
    cache.extend(1.0, 0.0)
    read = cache.begin_read(KEYS[0], 0.0)
    assert read is not None
    cache.release(read)
    return read


NearCacheMachine.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestNearCacheAgainstItsModel = NearCacheMachine.TestCase
