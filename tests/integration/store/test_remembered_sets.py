"""Sets that ask for nothing: on one node fence and stamps are mostly known before [remembered-then-verified]."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from coherd.catalog.load import builtin_catalog
from coherd.catalog.requests import SetItem
from coherd_server.core.counters import Counters
from coherd_server.core.failure import UNKNOWN, Failure
from coherd_server.core.get import Lookup, Reader
from coherd_server.core.set import Writer
from coherd_server.core.set_plan import SetDone
from coherd_server.core.store import (
    Fill,
    FillOutcome,
    Grant,
    GrantOutcome,
    Outdated,
    Put,
    PutOutcome,
    StoreUnavailable,
)
from coherd_server.core.validity import State
from coherd_server.redis import fencing
from coherd_server.redis.connection import Connection
from coherd_server.redis.fencing import later_token
from coherd_server.redis.store import RedisStore
from rig.entries import header
from rig.fixtures import HASTY, Backend, Opener
from rig.near import cache_over
from rig.valkey import BACKENDS, standalone
from rig.waiting import until

KEY = builtin_catalog().resolve("analytics:daily:user:u1:date:20250806")
OTHER = builtin_catalog().resolve("analytics:daily:user:u2:date:20250806")
NEEDS = {tag: 10_000 for _, tag in KEY.tags}
ONE_NODE = pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "cluster"], indirect=True)
STORED, FENCED, OUTDATED = PutOutcome.STORED, PutOutcome.FENCED, Outdated


def writer_over(store: RedisStore) -> Writer:
    return cache_over(store, max_value_bytes=100).writes


async def read(store: RedisStore) -> tuple[State, bytes]:
    [found] = await Reader(store, Counters()).get([KEY])
    assert isinstance(found, Lookup)
    return found.validity.state, found.validity.payload


class Watched:
    """A store whose puts are recorded, and held up by what a test does between their being made and being sent."""

    def __init__(self, store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.outcomes: list[PutOutcome | StoreUnavailable | type[Outdated]] = []
        self.remembered: list[bool] = []
        self.before_first: Callable[[], Awaitable[object]] | None = None
        put = store.put

        async def watched(puts: Sequence[Put], *told: Any) -> Sequence[PutOutcome | Outdated | StoreUnavailable]:
            before, self.before_first = self.before_first, None
            if before is not None:
                await before()
            self.remembered += [bool(one.remembered) for one in puts]
            found = await put(puts, *told)
            self.outcomes += [Outdated if isinstance(one, Outdated) else one for one in found]
            return found

        monkeypatch.setattr(store, "put", watched)


@pytest.fixture
async def warm(backend: Backend, opener: Opener) -> RedisStore:
    """A store that has set `KEY` before."""
    store = await opener(backend.url, backend.prefix)
    [done] = await writer_over(store).set([SetItem(KEY, b"before")])
    assert isinstance(done, SetDone)
    return store


def epoch_name(backend: Backend, tag: str) -> str:
    return f"{backend.prefix}coherd:epoch:{tag}"


def put_remembered(store: RedisStore) -> Put:
    """A put as a set would make it now, without a question."""
    known = store.remembered(NEEDS)
    assert known is not None
    basis, epochs = known
    stamps = {tag: epoch for tag, (epoch, _) in epochs.items() if epoch is not None}
    assert len(stamps) == len(NEEDS)
    return Put(KEY.text, header(basis.identity) + b"late", 60_000, basis.identity, basis.fencing_token, None, stamps)


@ONE_NODE
async def test_the_second_set_takes_one_exchange(
    backend: Backend, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await opener(backend.url, backend.prefix)
    exchanges: list[list[str]] = []
    send = Connection.send

    def counted(self: Connection, commands: Any, *args: Any, **options: Any) -> None:
        exchanges.append([str(one[0]) for one in commands])
        send(self, commands, *args, **options)

    writer = writer_over(store)
    for number, value in enumerate((b"first", b"second", b"third")):
        monkeypatch.setattr(Connection, "send", counted)
        exchanges.clear()
        await writer.set([SetItem(KEY, value)])
        monkeypatch.setattr(Connection, "send", send)
        writes = [one for one in exchanges if "EVALSHA" in one]
        assert len(writes) == (2 if number == 0 else 1), exchanges
        assert await read(store) == (State.FRESH, value)


@pytest.mark.parametrize("backend", ["cluster"], indirect=True)
async def test_a_cluster_remembers_nothing(warm: RedisStore) -> None:
    assert warm.remembered(NEEDS) is None


@ONE_NODE
async def test_what_lives_too_short_is_not_remembered(warm: RedisStore) -> None:
    known = warm.remembered({**NEEDS, "analytics": 365 * 86_400_000, "analytics/user:never": 1})
    assert known is not None
    assert {tag for tag, (epoch, _) in known[1].items() if epoch is None} == {"analytics", "analytics/user:never"}


@ONE_NODE
@pytest.mark.parametrize("replaced", [True, False], ids=["invalidated", "lost"])
@pytest.mark.parametrize("tag", ["analytics/user:u1", "analytics", "analytics:daily"])
async def test_a_set_with_outdated_stamps_is_done_again(
    backend: Backend, warm: RedisStore, monkeypatch: pytest.MonkeyPatch, tag: str, replaced: bool
) -> None:
    """Nobody told this process of the invalidation: the epochs that it reads beside the write tell."""
    watched = Watched(warm, monkeypatch)
    client = backend.client()
    if replaced:
        client.set(epoch_name(backend, tag), os.urandom(8), px=50_000_000)
    else:
        client.delete(epoch_name(backend, tag))
    [done] = await writer_over(warm).set([SetItem(KEY, b"after")])
    assert isinstance(done, SetDone)
    assert watched.outcomes == [OUTDATED, STORED]
    assert watched.remembered == [True, False]
    assert await read(warm) == (State.FRESH, b"after")


@ONE_NODE
async def test_an_invalidation_between_memory_and_write_is_never_outlived_unnoticed(
    backend: Backend, warm: RedisStore, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written first is dead; what is acknowledged is what was written after the invalidation was noticed."""
    other = await opener(backend.url, backend.prefix)
    watched = Watched(warm, monkeypatch)
    states: list[tuple[State, bytes]] = []
    putter = warm.put

    async def invalidated() -> None:
        await other.invalidate({"analytics/user:u1": 0})

    async def looked_at(puts: Sequence[Put], *told: Any) -> Sequence[PutOutcome | Outdated | StoreUnavailable]:
        found = await putter(puts, *told)
        states.append(await read(other))
        return found

    watched.before_first = invalidated
    monkeypatch.setattr(warm, "put", looked_at)
    await writer_over(warm).set([SetItem(KEY, b"set")])
    assert watched.outcomes == [OUTDATED, STORED]
    assert states == [(State.INVALIDATED, b"set"), (State.FRESH, b"set")]


@ONE_NODE
@pytest.mark.parametrize("again", [True, False])
async def test_a_set_that_is_done_again_keeps_the_stamps_that_were_read_beside_it(
    backend: Backend, warm: RedisStore, opener: Opener, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """An invalidation behind the one that was noticed came after the set began, too."""
    other = await opener(backend.url, backend.prefix)
    watched = Watched(warm, monkeypatch)
    ensure_epochs = warm.ensure_epochs

    async def invalidated() -> None:
        await other.invalidate({"analytics/user:u1": 0})

    async def after_another(*args: Any) -> Any:
        if again:
            await other.invalidate({"analytics": 0})
        return await ensure_epochs(*args)

    watched.before_first = invalidated
    monkeypatch.setattr(warm, "ensure_epochs", after_another)
    await writer_over(warm).set([SetItem(KEY, b"mine")])
    assert watched.outcomes == [OUTDATED, STORED]
    assert await read(other) == (State.INVALIDATED if again else State.FRESH, b"mine")


@ONE_NODE
@pytest.mark.parametrize("invalidated", [True, False])
async def test_a_remembered_set_that_is_fenced_keeps_the_stamps_it_began_with(
    backend: Backend, warm: RedisStore, opener: Opener, monkeypatch: pytest.MonkeyPatch, invalidated: bool
) -> None:
    other = await opener(backend.url, backend.prefix)
    watched = Watched(warm, monkeypatch)
    put = warm.put

    async def set_by_another() -> None:
        await writer_over(other).set([SetItem(KEY, b"other's")])

    async def after_an_invalidation(*args: Any) -> Any:
        if invalidated and FENCED in watched.outcomes:
            await other.invalidate({"analytics/user:u1": 0})
        return await put(*args)

    async def asked(*args: Any) -> Any:
        pytest.fail("the answer has told the new fence")

    watched.before_first = set_by_another
    monkeypatch.setattr(warm, "put", after_an_invalidation)
    monkeypatch.setattr(warm, "ensure_epochs", asked)
    await writer_over(warm).set([SetItem(KEY, b"mine")])
    assert watched.outcomes == [FENCED, STORED]
    assert await read(other) == (State.INVALIDATED if invalidated else State.FRESH, b"mine")


@ONE_NODE
async def test_a_late_set_is_void_after_any_other_write_and_without_its_fences(
    backend: Backend, warm: RedisStore, opener: Opener
) -> None:
    """As if the command of a caller that gave up were executed late."""
    other = await opener(backend.url, backend.prefix)
    client = backend.client()

    def late() -> Put:
        return put_remembered(warm)

    removed = late()
    await other.remove({KEY.text: 0})
    assert await warm.put([removed]) == [FENCED]
    filled = late()
    identity, lease = filled.identity, b"lease"
    assert await other.grant([Grant(KEY.text, None, b"", lease, 5_000, identity)]) == [GrantOutcome.GRANTED]
    fill = Fill(KEY.text, header(identity) + b"filled", 60_000, lease, identity)
    assert await other.fill([fill]) == [FillOutcome.STORED]
    assert await warm.put([filled]) == [FENCED]
    overwritten = late()
    await writer_over(other).set([SetItem(KEY, b"newer")])
    assert await warm.put([overwritten]) == [FENCED]
    assert await read(warm) == (State.FRESH, b"newer")
    lost = late()
    client.delete(f"{backend.prefix}coherd:fences")
    assert await warm.put([lost]) == [FENCED]
    await other.ensure_epochs([KEY.text], {})  # there are fences again, of another incarnation
    assert await warm.put([lost]) == [FENCED]
    for foreign in (b"no fences", b"x" * 300_000, b"CF\1" + b"x" * 300, os.urandom(16), b"\xff" * 16):
        lost = late()
        client.set(f"{backend.prefix}coherd:fences", foreign)
        await other.remove({KEY.text: 0})
        assert await warm.put([lost]) == [FENCED], foreign[:16]
        [done] = await writer_over(warm).set([SetItem(KEY, b"now")])  # and they are made anew
        assert isinstance(done, SetDone)
        assert await warm.put([late()]) == [STORED]
        lost = late()
        await other.remove({KEY.text: 0})
        assert await warm.put([lost]) == [FENCED], foreign[:16]


@ONE_NODE
async def test_what_is_invalidated_is_forgotten(backend: Backend, warm: RedisStore, opener: Opener) -> None:
    """So that the next set asks at once, and not in vain before."""
    other = await opener(backend.url, backend.prefix)

    def forgotten() -> set[str]:
        known = warm.remembered(NEEDS)
        assert known is not None
        return {tag for tag, (epoch, _) in known[1].items() if epoch is None}

    writer = writer_over(warm)  # it hears of what is invalidated, as a server does
    await warm.invalidate({"analytics": 0})
    assert forgotten() == {"analytics"}
    await writer.set([SetItem(KEY, b"again")])
    assert forgotten() == set()

    async def heard() -> None:
        while not forgotten():
            await other.invalidate({"analytics/user:u1": 0})
            await asyncio.sleep(0.02)

    await asyncio.wait_for(heard(), 60)
    assert forgotten() == {"analytics/user:u1"}


@ONE_NODE
async def test_stamps_that_were_found_outdated_are_asked_for_at_once(backend: Backend, warm: RedisStore) -> None:
    known = warm.remembered(NEEDS)
    assert known is not None
    basis, epochs = known
    stamps = {tag: epoch for tag, (epoch, _) in epochs.items() if epoch is not None}
    backend.client().delete(epoch_name(backend, "analytics"))
    put = Put(KEY.text, header(basis.identity), 60_000, basis.identity, basis.fencing_token, None, stamps)
    [outdated] = await warm.put([put])
    assert isinstance(outdated, Outdated)
    assert {tag for tag, (epoch, _) in outdated.epochs.items() if epoch is None} == {"analytics"}
    now = warm.remembered(NEEDS)
    assert now is not None
    assert now[1]["analytics"].epoch is None


@ONE_NODE
async def test_a_set_of_what_must_be_absent_always_asks(warm: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(warm, monkeypatch)
    item = SetItem(KEY, b"if absent", only_if_absent=True)
    assert await writer_over(warm).set([item]) == [SetDone(PutOutcome.PRESENT)]
    await warm.remove({KEY.text: 0})
    [done] = await writer_over(warm).set([item])
    assert isinstance(done, SetDone)
    assert watched.remembered == [False]
    assert await read(warm) == (State.FRESH, b"if absent")


async def test_the_mark_of_a_node_is_forgotten_with_its_identity(opener: Opener) -> None:
    """After a restart from a snapshot the same fences may have counted fewer writes: an old mark would always hold."""
    with standalone("--enable-debug-command", "yes") as node:
        store = await opener(node.url, **HASTY)
        await writer_over(store).set([SetItem(KEY, b"before")])
        primary = store._topology.node_for("")
        assert primary is not None
        before = primary.remembered()
        assert before is not None
        node.client().execute_command("DEBUG", "CHANGE-REPL-ID")
        await until("another identity is noticed", lambda: primary.identity != before.identity)
        assert primary.remembered() is None
        primary.learn(before.identity, before.fencing_token)  # an answer that was under way
        assert primary.remembered() is None
        await store.ensure_epochs([KEY.text], {})
        known = store.remembered(NEEDS)
        assert known is not None
        assert {epoch for epoch, _ in known[1].values()} == {None}, "learned from what the node was before"
        for tag in NEEDS:  # and it came back with less time
            node.client().pexpire(f"coherd:epoch:{tag}", 60_000)
        await writer_over(store).set([SetItem(KEY, b"after")])
        assert all(node.client().pttl(f"coherd:epoch:{tag}") > 3_600_000 for tag in NEEDS)
        known = store.remembered(NEEDS)
        assert known is not None
        assert None not in {epoch for epoch, _ in known[1].values()}, "it is known again"
        assert await read(store) == (State.FRESH, b"after")


@ONE_NODE
async def test_another_key_of_the_same_places_costs_a_second_try_and_nothing_else(
    backend: Backend, warm: RedisStore, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fencing, "PLACES", 2)
    other = await opener(backend.url, backend.prefix)
    watched = Watched(warm, monkeypatch)
    watched.before_first = lambda: writer_over(other).set([SetItem(OTHER, b"other's")])
    await writer_over(warm).set([SetItem(KEY, b"mine")])
    assert watched.outcomes == [FENCED, STORED]
    await writer_over(warm).set([SetItem(OTHER, b"remember it, too")])
    watched.outcomes.clear()
    watched.remembered.clear()
    await writer_over(warm).set([SetItem(KEY, b"both"), SetItem(OTHER, b"both")])
    assert watched.outcomes == [STORED, STORED], "one call does not fence itself off"
    assert watched.remembered == [True, True]
    assert await read(other) == (State.FRESH, b"both")


def places_of(name: str) -> tuple[int, ...]:
    """The two places of a value's full name."""
    return struct.unpack(">HH", fencing.NodeFencing("").numbers_of(name, 1)[8:])


@ONE_NODE
async def test_a_key_that_shares_one_of_its_places_is_not_held_up(
    backend: Backend, warm: RedisStore, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where another server writes that key all the time."""
    own, other_own = places_of(f"{backend.prefix}{KEY.text}")
    neighbour = next(
        key
        for key in (builtin_catalog().resolve(f"analytics:daily:user:n{i}:date:20250806") for i in range(500_000))
        if places_of(f"{backend.prefix}{key.text}")[0] == own
    )
    assert places_of(f"{backend.prefix}{neighbour.text}")[1] != other_own
    assert other_own >= fencing.PLACES // 2
    other = await opener(backend.url, backend.prefix)
    watched = Watched(warm, monkeypatch)
    watched.before_first = lambda: writer_over(other).set([SetItem(neighbour, b"other's")])
    await writer_over(warm).set([SetItem(KEY, b"mine")])
    assert watched.outcomes == [STORED]


@ONE_NODE
async def test_another_key_of_the_places_in_the_same_call_hides_no_write_from_before(
    backend: Backend, warm: RedisStore, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fencing, "PLACES", 2)
    other = await opener(backend.url, backend.prefix)
    late = put_remembered(warm)
    await other.remove({KEY.text: 0})
    [basis], _ = await warm.ensure_epochs([OTHER.text], {})
    fresh = Put(OTHER.text, header(basis.identity), 60_000, basis.identity, basis.fencing_token)
    assert await warm.put([fresh, late]) == [STORED, FENCED]
    assert (await warm.read([KEY.text], []))[0][0].raw is None


@ONE_NODE
async def test_a_write_whose_stamps_could_not_be_read_is_unknown(
    warm: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = warm._router.fetch

    async def without_values(names: Sequence[str], jobs: Any = (), **options: Any) -> Any:
        values, answers = await fetch(names, jobs, **options)
        return ({}, answers) if jobs and names and options.get("partial") else (values, answers)

    monkeypatch.setattr(warm._router, "fetch", without_values)
    assert await writer_over(warm).set([SetItem(KEY, b"unknown")]) == [UNKNOWN]


@ONE_NODE
async def test_a_set_that_fails_after_something_was_written_is_unknown(
    backend: Backend, warm: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The value that was there is gone, so nobody may be told that nothing was changed."""
    backend.client().delete(epoch_name(backend, "analytics/user:u1"))
    asked: list[int] = []

    def wanted(index: int) -> bool:
        asked.append(index)
        return len(asked) == 1

    [done] = await writer_over(warm).set([SetItem(KEY, b"given up")], wanted=wanted)
    assert done == UNKNOWN
    assert (await read(warm))[0] is State.INVALIDATED
    asked.clear()
    [done] = await writer_over(warm).set([SetItem(KEY, b"given up")], wanted=lambda _: False)
    assert isinstance(done, Failure)
    assert done != UNKNOWN


def test_the_later_of_two_marks_is_known_by_its_number() -> None:
    def mark(incarnation: bytes, number: int) -> bytes:
        return incarnation * 8 + number.to_bytes(8, "big")

    assert later_token(mark(b"a", 255), None) == mark(b"a", 255)
    assert later_token(mark(b"a", 255), mark(b"a", 256)) == mark(b"a", 256)
    assert later_token(mark(b"a", 257), mark(b"a", 256)) == mark(b"a", 257)
    assert later_token(mark(b"a", 1), mark(b"b", 256)) == mark(b"a", 1)
