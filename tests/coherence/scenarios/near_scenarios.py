"""Short histories aimed at one rule of near caches each. On correct servers and clients each is clean.

A scenario only acts; whether a promise was broken is for the checks to say. ``a`` keeps something near, ``b`` changes
it by another server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from coherd.v1 import keys_pb2
from coherd_server.redis.names import log_name
from coherence.scenarios.near_stage import BOUNDS, LEASE_S, NearStage, is_extension, pair
from coherence.traffic.keyspace import ITEMS, Item, Target
from rig.waiting import until

PUSHED: Final = next(item for item in ITEMS if item.key == "analytics:daily:user:u1:date:20250101")
OTHER: Final = next(item for item in ITEMS if item.key == "analytics:daily:user:u2:date:20250101")
STRICT: Final = next(item for item in ITEMS if item.key == "psychology:profile:user:u1")
EXTRA: Final = next(item for item in ITEMS if item.extra)


def tag(domain: str, name: str, value: str) -> Target:
    """One tag of one domain."""
    wire = keys_pb2.Tag(domain=domain, identifier=name, value=value)
    return Target(keys_pb2.Selector(tag=wire), (f"{domain}/{name}:{value}",))


async def own_delete_while_reading(on: NearStage) -> None:
    """The reply to a read comes after the client's own delete was acknowledged; the log is slow."""
    await pair(on)
    await on.store(PUSHED)
    await _overtaken_by(on, lambda: on.a.delete(PUSHED))


async def own_invalidation_while_reading(on: NearStage) -> None:
    """The same with a tag."""
    await pair(on)
    await on.store(PUSHED)
    await _overtaken_by(on, lambda: on.a.invalidate(tag("analytics", "user", "u1")))


async def _overtaken_by(on: NearStage, change: Callable[[], Awaitable[object]]) -> None:
    await on.hold(on.a, OTHER)  # there is a lease
    log, reads = on.log_gate(0), on.read_gate(0)
    await on.applied(0)
    log.hold()
    reads.hold()
    reading = asyncio.create_task(on.a.get(PUSHED))
    await reads.arrived.wait()
    await change()
    reads.release()
    await reading
    await on.a.get(PUSHED)
    log.release()


async def own_change(on: NearStage) -> None:
    """The client has it near, and deletes it; the log is slow."""
    await pair(on)
    await on.store(PUSHED)
    await on.hold(on.a, PUSHED)
    log = on.log_gate(0)
    log.hold()
    await on.a.delete(PUSHED)
    await on.a.get(PUSHED)
    log.release()


async def changed_in_flight(on: NearStage) -> None:
    """It changes, and the server hears of it, between a read and its reply."""
    await pair(on)
    await on.store(STRICT)
    await on.hold(on.a, OTHER)
    reads = on.read_gate(0)
    reads.hold()
    reading = asyncio.create_task(on.a.get(STRICT))
    await reads.arrived.wait()
    await on.b.delete(STRICT)
    await on.applied(0)
    reads.release()
    await reading
    await on.a.get(STRICT)


async def trimmed_log(on: NearStage) -> None:
    """Entries are trimmed off before a server has read them."""
    await pair(on)
    await on.store(PUSHED)
    await on.store(OTHER)
    log = on.log_gate(0)
    await on.hold(on.a, PUSHED)
    await on.applied(0)
    log.hold()
    await on.b.delete(OTHER)
    await log.arrived.wait()
    with on.node.client() as client:
        await on.b.delete(PUSHED)
        await on.b.delete(OTHER)
        client.xtrim(log_name(""), maxlen=1, approximate=False)
    log.release()
    await _look(on, PUSHED, BOUNDS.bound_s + 0.3)


async def _look(on: NearStage, item: Item, seconds: float) -> None:
    """Read now and then for so long."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + seconds
    while loop.time() < end_s:
        await on.a.get(item, timeout_ms=100)
        await asyncio.sleep(0.05)


async def held_stream(on: NearStage) -> None:
    """The client hears nothing, for longer than its lease."""
    await pair(on)
    await on.store(STRICT)
    await on.hold(on.a, STRICT)
    on.proxies[0].reply_hold = asyncio.Event()
    await on.b.delete(STRICT)
    await on.a.get(STRICT, timeout_ms=50)
    await _look(on, STRICT, 0.2)
    on.proxies[0].reply_hold.set()


async def late_extension(on: NearStage) -> None:
    """An extension is late, and what was pushed behind it is later."""
    await pair(on)
    await on.store(STRICT)
    await on.hold(on.a, STRICT)
    stream = on.stream_gate(on.a)
    stream.hold()
    await stream.arrived.wait()
    while not is_extension(stream.waiting[0]):
        stream.pass_one()
        await stream.arrived.wait()
    on.a.stream._tasks[-1].cancel()  # it asks for no other one
    loop = asyncio.get_running_loop()
    arrived_s = loop.time()
    deleting = asyncio.create_task(on.b.delete(STRICT))
    await asyncio.sleep(arrived_s + 0.5 * LEASE_S - loop.time())
    stream.pass_one()
    await deleting
    await on.a.get(STRICT, timeout_ms=50)
    stream.release()


async def reconnected(on: NearStage) -> None:
    """The stream breaks, and another one is opened."""
    await pair(on)
    await on.store(STRICT)
    await on.hold(on.a, STRICT)
    on.proxies[0].cut()
    before = on.a.stream
    await until("the stream is lost", lambda: before is None or before.is_lost)
    await on.hold(on.a, OTHER)
    await on.b.delete(STRICT)
    await on.a.get(STRICT)


async def extra_tag(on: NearStage) -> None:
    """Something is invalidated by a tag that its key does not show."""
    await pair(on)
    await on.store(EXTRA)
    await on.hold(on.a, EXTRA)
    await on.b.invalidate(tag("session", *EXTRA.extra[0]))
    await on.a.get(EXTRA)


async def strict_change(on: NearStage) -> None:
    """A change of a strict domain, and a read behind its acknowledgement."""
    await pair(on)
    await on.store(STRICT)
    await on.hold(on.a, STRICT)
    await on.b.delete(STRICT)
    await on.a.get(STRICT)


async def waited_for(on: NearStage) -> None:
    """A change in push mode that waits for near caches; the client hears late."""
    await pair(on)
    await on.store(PUSHED)
    await on.hold(on.a, PUSHED)
    on.proxies[0].reply_delay_s = 0.03
    await on.b.invalidate(tag("analytics", "user", "u1"), wait=True)
    await on.a.get(PUSHED)


async def late_server(on: NearStage) -> None:
    """A server starts, and a client keeps something by it that another server changes; the client hears late."""
    await on.trusted_registry()
    await on.add_server()
    on.add_client(1)
    on.add_client(0)
    await on.store(STRICT)
    await on.hold(on.a, STRICT)
    on.proxies[1].reply_hold = asyncio.Event()
    await on.b.delete(STRICT)
    await on.a.get(STRICT, timeout_ms=50)
    on.proxies[1].reply_hold.set()


NEAR_SCENARIOS: Final[dict[str, Callable[[NearStage], Awaitable[None]]]] = {
    one.__name__: one
    for one in (
        own_delete_while_reading,
        own_invalidation_while_reading,
        own_change,
        changed_in_flight,
        trimmed_log,
        held_stream,
        late_extension,
        reconnected,
        extra_tag,
        strict_change,
        waited_for,
        late_server,
    )
}
"""By name."""
NEAR_REVEALING: Final = {
    "no_mark_before_the_request": "own_delete_while_reading",
    "tag_push_does_not_void_marks": "own_invalidation_while_reading",
    "own_change_not_dropped": "own_change",
    "in_flight_window_not_checked": "changed_in_flight",
    "gap_ignored": "trimmed_log",
    "lapsed_lease_still_served": "held_stream",
    "lease_counted_from_the_reply": "late_extension",
    "not_flushed_on_reconnect": "reconnected",
    "interest_without_extra_tags": "extra_tag",
    "acknowledges_before_it_drops": "strict_change",
    "published_before_acknowledged": "held_stream",
    "registry_read_before_the_append": "late_server",
}
"""The scenario that shows a mutant."""
