"""Short histories aimed at one rule each: what random work meets after seconds, at once.

A scenario only acts; whether a promise was broken is for the checks to say. On a correct server each is clean.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

from coherence.faults.late_proxy import LateProxy
from coherence.scenarios.service_stage import ServiceStage
from coherence.traffic.keyspace import ITEMS, Item, choose_target, probe, tag_target
from coherence.traffic.session_caller import SessionCaller
from rig.valkey import standalone
from rig.waiting import wait_until

DAILY: Final = next(item for item in ITEMS if item.key.startswith("analytics:daily"))
SIBLING: Final = next(item for item in ITEMS if item.key == "analytics:daily:user:u1:date:20250102")
PROFILE: Final = next(item for item in ITEMS if item.key.startswith("psychology:profile"))
EXTRA: Final = next(item for item in ITEMS if item.extra)


USER: Final = tag_target("analytics/user:u1")


async def load_and_fill(on: ServiceStage, item: Item, meanwhile: Callable[[], Awaitable[Any]] | None = None) -> None:
    """A load under a lease, and what happens meanwhile."""
    leased = await on.caller.lease(0, item)
    value = await on.caller.load(item, 0)
    if meanwhile is not None:
        await meanwhile()
    await on.caller.fill(0, leased, item, value)


async def late_fill_after_invalidate(on: ServiceStage) -> None:
    await load_and_fill(on, DAILY, lambda: on.caller.invalidate(1, USER))
    await on.caller.get(1, DAILY)


async def late_fill_after_delete(on: ServiceStage) -> None:
    await load_and_fill(on, DAILY, lambda: on.caller.delete(1, DAILY))
    await on.caller.get(1, DAILY)


async def late_fill_after_set(on: ServiceStage) -> None:
    await load_and_fill(on, DAILY, lambda: on.caller.set(1, DAILY, on.caller.source.commit(DAILY.index)))
    await on.caller.get(1, DAILY)


async def late_lease_after_delete(on: ServiceStage) -> None:
    """A copy of the request for a lease that the Delete voided, while what was loaded under it is on its way."""
    leased = await on.caller.lease(0, DAILY)
    value = await on.caller.load(DAILY, 0)
    await on.caller.delete(1, DAILY)
    await on.caller.lease_copy(1, leased, DAILY)
    await on.caller.fill(0, leased, DAILY, value)
    await on.caller.get(1, DAILY)


async def invalidate_then_get(on: ServiceStage) -> None:
    await load_and_fill(on, DAILY)
    await on.caller.get(0, DAILY)
    await on.caller.invalidate(1, USER)
    await on.caller.get(0, DAILY)


async def extra_tag(on: ServiceStage) -> None:
    await load_and_fill(on, EXTRA)
    await on.caller.set(1, EXTRA, 1)
    await on.caller.invalidate(1, tag_target(EXTRA.extra_texts[0]))
    await on.caller.get(0, EXTRA)


async def epoch_lost(on: ServiceStage) -> None:
    """The invalidated epoch is evicted; then another key makes a new one."""
    await load_and_fill(on, DAILY)
    await on.caller.invalidate(1, USER)
    await on.forget("coherd:epoch:analytics/user:u1")
    await on.caller.get(1, DAILY)
    await load_and_fill(on, DAILY)
    await on.caller.invalidate(1, USER)
    await on.forget("coherd:epoch:analytics/user:u1")
    await load_and_fill(on, SIBLING)
    await on.caller.get(1, DAILY)


async def restart_from_snapshot(on: ServiceStage) -> None:
    """The store goes back to before an acknowledged change. The servers that took part are gone, nobody is left to
    repeat it [repeat-on-switch]: only the identity of the node tells that its entries are of another time."""
    await load_and_fill(on, DAILY)
    await on.caller.set(0, EXTRA, 1)
    on.node.client().save()
    await on.caller.invalidate(1, USER)
    await on.caller.delete(1, EXTRA)
    await on.stop()
    fault = on.caller.recorder.begin("fault", key="restart_from_old_snapshot")
    on.node.restart()  # not on a thread: the node ends with the thread that started it
    on.caller.recorder.end(fault, "done")
    await on.start()
    await on.caller.get(0, DAILY)
    await on.caller.get(0, EXTRA)


async def late_set(on: ServiceStage) -> None:
    """A Set whose connection was lost reaches the store after an acknowledged Delete."""
    await on.caller.set(0, DAILY, 1)
    mark = "a late value"
    on.proxy.hold(mark.encode())
    late = asyncio.create_task(on.caller.set(0, DAILY._replace(extra=(("content", mark),)), 2))
    await on.proxy.holds.wait()
    on.proxy.hang_up()
    await late
    await on.caller.delete(1, DAILY)
    on.proxy.release()
    await asyncio.sleep(0.1)
    await on.caller.get(1, DAILY)


async def given_up_set(on: ServiceStage) -> None:
    """What a set asks before it is written is held until its caller has given up, and the key was deleted elsewhere."""
    sessions = SessionCaller(on.caller.targets, on.caller.recorder, on.caller.source)
    await sessions.get(0, DAILY)
    for number, (caller, absent) in enumerate(itertools.product((on.caller, sessions), (False, True))):
        mark = f"new{number}"
        item = DAILY._replace(extra=(("content", mark),))
        on.proxy.hold(mark.encode())
        await asyncio.gather(*(caller.get(0, one) for one in ITEMS))  # in a crowd single sets are done in groups
        await caller.impatient_set(0, item, number, 0.1, cancels=True, only_if_absent=absent)
        await on.caller.delete(1, DAILY)
        on.proxy.release()
        await asyncio.sleep(0.1)
        await on.caller.get(1, DAILY)
    await sessions.close()


async def _stored_by_first(on: ServiceStage, item: Item) -> None:
    """Load and fill until it is stored: connections to the store are being made anew."""
    while True:
        leased = await on.caller.lease(0, item)
        if leased.outcome == "granted":
            value = await on.caller.load(item, 0)
            if (await on.caller.fill(0, leased, item, value)).outcome == "stored":
                return
        await asyncio.sleep(0.05)


async def _read_by_second(on: ServiceStage, item: Item) -> None:
    while True:
        if (await on.caller.get(1, item)).outcome in ("hit", "miss"):
            return
        await asyncio.sleep(0.05)


async def switch_of_primary(on: ServiceStage) -> None:
    """One server follows a switch of primary at once; the other still acknowledges changes on the old one."""
    await on.stop()
    with standalone() as successor:
        replica = successor.client()
        replica.replicaof("127.0.0.1", on.node.port)
        wait_until("the successor is in step", lambda: replica.info("replication")["master_link_status"] == "up")
        async with LateProxy(on.node.port) as way:
            await on.start(way.url)
            fault = on.caller.recorder.begin("fault", key="switch_of_primary")
            replica.replicaof("NO", "ONE")
            on.proxy.target_port = successor.port
            on.proxy.hang_up()
            for item in (DAILY, PROFILE):
                await _stored_by_first(on, item)
            await on.caller.invalidate(1, USER)
            await on.caller.delete(1, PROFILE)
            way.target_port = successor.port
            way.hang_up()
            on.caller.recorder.end(fault, "done")
            for item in (DAILY, PROFILE):
                await _read_by_second(on, item)
            await on.stop()
    on.proxy.target_port = on.node.port
    await on.start()


async def crowd(on: ServiceStage) -> None:
    """Many callers miss one key at the same time."""
    for _ in range(10):
        await asyncio.gather(*(on.caller.lease(number % 2, DAILY) for number in range(24)))
        await on.caller.delete(0, DAILY)


async def many_gets(on: ServiceStage) -> None:
    await asyncio.gather(*(load_and_fill(on, item) for item in ITEMS))
    for _ in range(10):
        await asyncio.gather(*(on.caller.get(number % 2, item) for number, item in enumerate(ITEMS)))
        await on.caller.batch_get(0, ITEMS[:6])


async def invalidate_under_reads(on: ServiceStage) -> None:
    """A key is invalidated while a read of it is on its way, and read again at once."""
    for _ in range(30):
        await load_and_fill(on, DAILY)
        before = asyncio.create_task(on.caller.get(0, DAILY))
        await asyncio.sleep(random.random() * 0.02)
        await on.caller.invalidate(1, USER)
        await on.caller.get(0, DAILY)
        await before


async def read_back(on: ServiceStage) -> None:
    """What was stored is there."""
    for number in range(80):
        item = probe(number)
        await on.caller.set(0, item, number)
        await on.caller.get(1, item)


async def mixed(on: ServiceStage) -> None:
    """A second of random invalidations over loads."""
    rng = random.Random(1)
    for _ in range(20):
        await asyncio.gather(*(on.caller.get_or_load(rng.randrange(2), rng.choice(ITEMS), rng) for _ in range(6)))
        await on.caller.invalidate(rng.randrange(2), choose_target(rng))


SCENARIOS: Final[dict[str, Callable[[ServiceStage], Awaitable[None]]]] = {
    one.__name__: one
    for one in (
        late_fill_after_invalidate,
        late_fill_after_delete,
        late_fill_after_set,
        late_lease_after_delete,
        invalidate_then_get,
        extra_tag,
        epoch_lost,
        restart_from_snapshot,
        late_set,
        given_up_set,
        switch_of_primary,
        crowd,
        many_gets,
        invalidate_under_reads,
        read_back,
        mixed,
    )
}
"""By name."""
REVEALING: Final = {
    "fill_without_lease_check": "late_fill_after_delete",
    "fill_of_any_grant": "late_lease_after_delete",
    "epochs_read_after_the_load": "late_fill_after_invalidate",
    "missing_epoch_accepted": "epoch_lost",
    "epochs_not_compared": "invalidate_then_get",
    "no_node_identity": "restart_from_snapshot",
    "delete_keeps_lease": "late_fill_after_delete",
    "set_keeps_lease": "late_fill_after_set",
    "reply_to_the_wrong_caller": "many_gets",
    "no_fence": "late_set",
    "fence_from_after_giving_up": "given_up_set",
    "counters_as_epochs": "epoch_lost",
    "no_repetition": "switch_of_primary",
    "two_leases": "crowd",
    "early_acknowledgement": "invalidate_then_get",
    "sets_dropped": "read_back",
    "extra_tags_forgotten": "extra_tag",
    "joins_a_read_that_was_sent": "invalidate_under_reads",
}
"""The scenario that shows a mutant."""
