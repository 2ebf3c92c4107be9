"""What is left of a TTL where the node's clock is known inexactly: never more than was given [no-wall-clock]."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import NamedTuple

import pytest

from coherd.catalog.load import builtin_catalog
from coherd.catalog.requests import SetItem
from coherd_server.core.counters import Counters
from coherd_server.core.get import Lookup, Reader
from coherd_server.core.set_plan import SetDone
from coherd_server.core.validity import State
from coherd_server.redis.connection import Connection
from rig.fixtures import Opener
from rig.near import cache_over
from rig.process import Node
from rig.proxy import FaultProxy
from rig.waiting import until

KEY = builtin_catalog().resolve("analytics:daily:user:u1:date:20250806")
SLOW_S = 1.0
"""By that much a clock is behind that was asked for over a slow connection."""


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """Connections in the order of the first look at their node."""
    found: list[Connection] = []
    check = Connection.check

    async def watched(self: Connection) -> None:
        await check(self)
        if self not in found:
            found.append(self)

    monkeypatch.setattr(Connection, "check", watched)
    return found


class Behind(NamedTuple):
    """By how much a connection's clock is behind the node's, which is this machine's: at least, and at most."""

    least_ms: float
    most_ms: float


def behind(connection: Connection) -> Behind:
    """This process may be held up between two looks."""
    before_ms = time.time() * 1000
    shown_ms = connection.redis_now_ms()
    return Behind(before_ms - shown_ms, time.time() * 1000 - shown_ms)


async def test_connections_tell_the_best_time_any_of_them_knows(
    proxy: FaultProxy, opener: Opener, connections: list[Connection]
) -> None:
    store = await opener(proxy.url, check_every_ms=60_000)
    await until("one is ready", lambda: bool(connections))
    best = behind(connections[0])
    proxy.reply_delay_s = SLOW_S
    await asyncio.gather(store.read(["k"], []), later(store.read(["k"], [])))
    await until("both are ready", lambda: len(connections) == 2)
    for connection in connections:
        assert behind(connection).most_ms > -2, "never ahead"
        assert behind(connection).least_ms < best.most_ms + 2


async def test_a_slow_look_at_the_clock_does_not_set_it_back(
    proxy: FaultProxy, opener: Opener, connections: list[Connection]
) -> None:
    await opener(proxy.url, check_every_ms=50)
    await until("one is ready", lambda: bool(connections))
    best = behind(connections[0])
    proxy.reply_delay_s = SLOW_S
    slow_from_s = time.monotonic()
    await until("its clock is read again", lambda: connections[0].checked_at_s > slow_from_s)
    assert behind(connections[0]).most_ms > -2
    assert behind(connections[0]).least_ms < best.most_ms + 2


async def test_a_clock_that_was_set_back_is_followed_at_the_next_look(
    node: Node, opener: Opener, connections: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    await opener(node.url, connections=1, check_every_ms=300)
    await until("one is ready", lambda: bool(connections))
    check, looks = Connection.check, 0

    async def set_back(self: Connection) -> None:
        nonlocal looks
        await check(self)
        self.offset_ms -= 30_000  # as the node would say
        looks += 1

    monkeypatch.setattr(Connection, "check", set_back)
    await until("its clock is read again", lambda: looks == 1)
    await asyncio.sleep(0)
    assert behind(connections[0]).most_ms > 29_000
    assert behind(connections[0]).least_ms < 40_000


async def later(call: Awaitable[object]) -> None:
    await asyncio.sleep(0.01)
    await call


async def test_nothing_has_longer_to_live_than_it_was_given(
    node: Node, opener: Opener, connections: list[Connection]
) -> None:
    other = await opener(node.url, connections=1, check_every_ms=60_000)
    await until("it is ready", lambda: bool(connections))
    connections[0].offset_ms -= 60_000  # as if its only look at the clock had taken a minute
    store = await opener(node.url)
    [done] = await cache_over(store, max_value_bytes=100).writes.set([SetItem(KEY, b"value")])
    assert isinstance(done, SetDone)
    [found] = await Reader(other, Counters()).get([KEY])
    assert isinstance(found, Lookup)
    validity = found.validity
    assert (validity.state, validity.age_ms, validity.remaining_ms) == (State.FRESH, 0, done.ttl_ms)
