"""One key, one member, one client, other writers: every order of what can happen, up to small budgets.

The server's side keeps the rules of the log [registered-with-the-reply] [in-step-lease] [flush-after-a-lapse], the
client's is the near cache under test. It follows the search of the whole log (`near_model.py`), reduced to what a near
cache can get wrong.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from coherd._near import NearCache, NearCacheMode, NearDomain, PendingRead
from coherd._rpc import session_near
from coherd.v1 import cache_service_pb2 as wire

KEY: Final = "analytics:daily:user:u1:date:20250806"
EXTRA: Final = {"content": "c1"}
NAMES: Final = {
    "key": KEY,
    "tag": "analytics/user:u1",
    "extra": "analytics/content:c1",
    "domain": "analytics",
}
POLICIES: Final = {"analytics": NearDomain(NearCacheMode.PUSH, frozenset({"user", "date", "content"}))}
LEASE_S: Final = 3.0


@dataclass
class Flight:
    """A read, from before it is asked for to its reply."""

    read: PendingRead | None
    version: int | None = None
    dirty: bool = False
    """A matching log entry was applied since it was read."""


class Message(NamedTuple):
    """One message on its way to the client: a push of a name, or a reply."""

    push: str = ""
    flight: Flight | None = None
    near_cacheable: bool = False


@dataclass(frozen=True)
class Budget:
    """How much of each may still happen."""

    asks: int = 2
    changes: int = 1
    own: int = 1
    lapses: int = 1


@dataclass
class World:
    """A state, reached by a list of actions."""

    cache: NearCache
    changes: tuple[str, ...]
    budget: Budget
    now_s: float = 0.0
    lease_until_s: float = LEASE_S
    version: int = 0
    own: int = 0
    interest: bool = False
    log: deque[str] = field(default_factory=deque)
    flight: Flight | None = None
    stream: deque[Message] = field(default_factory=deque)

    def actions(self) -> Iterator[str]:
        """What can happen next."""
        if self.flight is None:
            if self.budget.asks:
                yield "ask"
        elif self.flight.version is None:
            yield "read"
        else:
            yield "reply"
        if self.stream:
            yield "deliver"
        if self.log:
            yield "apply"
        if self.budget.changes:
            yield from (f"change {kind}" for kind in self.changes)
        if self.budget.own:
            yield from (f"own {kind}" for kind in self.changes if kind != "extra")
        if self.now_s >= self.lease_until_s:
            yield "extend"
        elif self.budget.lapses:
            yield "lapse"

    def step(self, action: str) -> None:
        """Let it happen."""
        verb, _, kind = action.partition(" ")
        match verb:
            case "ask":
                self.budget = replace(self.budget, asks=self.budget.asks - 1)
                self.flight = Flight(self.cache.begin_read(KEY, self.now_s))
            case "read":
                assert self.flight is not None
                self.flight.version = self.version
            case "reply":
                self._reply()
            case "deliver":
                self._deliver(self.stream.popleft())
            case "apply":
                self._apply(self.log.popleft())
            case "change":
                self.budget = replace(self.budget, changes=self.budget.changes - 1)
                self._change(kind)
            case "own":  # through another member: its acknowledgement overtakes the log
                self.budget = replace(self.budget, own=self.budget.own - 1)
                self._change(kind)
                self._drop(kind)
                self.own = self.version
            case "lapse":
                self.budget = replace(self.budget, lapses=self.budget.lapses - 1)
                self.now_s = self.lease_until_s
                self.interest = False
            case "extend":
                self.lease_until_s = self.now_s + LEASE_S
                self.cache.extend(self.lease_until_s, self.now_s)

    def violation(self) -> str | None:
        """Which promise is broken now, if any."""
        kept = self.cache.lookup(KEY, self.now_s)
        if kept is None:
            return None
        served = int(kept.payload)
        if self.now_s >= self.lease_until_s:
            return "LAPSED: served without a lease"
        if served < self.own:
            return f"OWN: served v{served} after the own acknowledged v{self.own}"
        if served < self.version and not (self.stream or self.log or self.flight):
            return f"STUCK: all is delivered, yet v{served} is served after v{self.version}"
        return None

    def fingerprint(self) -> object:
        """Two states that look alike go on alike."""
        kept = self.cache.lookup(KEY, -1.0)
        return (
            self.budget,
            self.now_s >= self.lease_until_s,
            self.version,
            self.own,
            self.interest,
            tuple(self.log),
            _seen(self.flight),
            tuple((message.push, message.near_cacheable, _seen(message.flight)) for message in self.stream),
            None if kept is None else kept.payload,
        )

    def _change(self, kind: str) -> None:
        self.version += 1
        self.log.append(kind)

    def _apply(self, kind: str) -> None:
        if self.flight is not None and self.flight.version is not None:
            self.flight.dirty = True
        if self.interest:
            self.interest = False
            self.stream.append(Message(push=kind))

    def _reply(self) -> None:
        flight, self.flight = self.flight, None
        assert flight is not None
        near_cacheable = not flight.dirty and self.now_s < self.lease_until_s
        self.interest = self.interest or near_cacheable
        self.stream.append(Message(flight=flight, near_cacheable=near_cacheable))

    def _deliver(self, message: Message) -> None:
        flight = message.flight
        if flight is None:
            self._drop(message.push)
        elif flight.read is not None:
            hit = wire.Hit(
                value=str(flight.version).encode(),
                remaining_ttl_ms=10**12,
                extra_tags=EXTRA,
                near_cacheable=message.near_cacheable,
            )
            session_near.keep_one(self.cache, flight.read, hit, serving=True)

    def _drop(self, kind: str) -> None:
        if kind == "key":
            self.cache.drop_keys([KEY])
        else:
            self.cache.drop_tags([NAMES[kind]])


class Found(NamedTuple):
    """What a search found."""

    states: int
    violation: str | None = None
    path: tuple[str, ...] = ()


def search(make: Callable[[], NearCache], changes: tuple[str, ...], budget: Budget) -> Found:
    """Every order of actions, breadth first: the shortest way to a violation, or how many states there are."""

    def world(path: tuple[str, ...]) -> World:
        cache = make()
        cache.configure(POLICIES)
        cache.extend(LEASE_S, 0.0)
        reached = World(cache, changes, budget)
        for action in path:
            reached.step(action)
        return reached

    seen: set[object] = set()
    queue: deque[tuple[str, ...]] = deque([()])
    while queue:
        path = queue.popleft()
        for action in world(path).actions():
            there = world((*path, action))
            if violation := there.violation():
                return Found(len(seen), violation, (*path, action))
            if (fingerprint := there.fingerprint()) not in seen:
                seen.add(fingerprint)
                queue.append((*path, action))
    return Found(len(seen))


def _seen(flight: Flight | None) -> object:
    if flight is None:
        return None
    return (flight.read is None or flight.read.void, flight.version, flight.dirty)
