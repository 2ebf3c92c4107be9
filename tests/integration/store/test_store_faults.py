"""Loss, stalls and restarts of a single server (P4, P6) [node-identity]."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

import pytest

from coherd_server.core.store import PutOutcome, RemoveOutcome, Store, StoreUnavailable, TouchOutcome
from coherd_server.redis.connect import open_store
from coherd_server.redis.settings import StoreSettings
from rig.entries import header, identity_of, put_of
from rig.fixtures import HASTY, Opener
from rig.process import Node
from rig.proxy import FaultProxy
from rig.valkey import redis7, redis7_binary, standalone
from rig.waiting import HANGS_S, until

SECRET = "sensitive-key"
IN_TIME = "no answer in time"


async def unavailable(call: Awaitable[object], *, within_s: float = 60.0) -> StoreUnavailable:
    """The call fails as it must, in time and without telling the key."""
    started_s = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        await call
    assert time.monotonic() - started_s < within_s
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


async def recovered(store: Store, *, within_s: float = HANGS_S) -> None:
    """Reads work again without anybody's help."""
    end_s = time.monotonic() + within_s
    while True:
        try:
            await store.read([SECRET], [])
        except StoreUnavailable:
            assert time.monotonic() < end_s, "no recovery"
        else:
            return


async def test_killed_then_back_with_a_new_identity(opener: Opener) -> None:
    with standalone() as node:
        store = await opener(node.url, **HASTY)
        put = await put_of(store, SECRET)
        node.kill()
        assert not (await unavailable(store.read([SECRET], []))).outcome_unknown
        [failed] = await store.put([put])
        assert isinstance(failed, StoreUnavailable)
        assert not failed.outcome_unknown, "nothing was sent"
        await unavailable(store.ping())
        await asyncio.sleep(2.2)
        known = asyncio.create_task(unavailable(store.read([SECRET], [])))
        for _ in range(20):
            await asyncio.sleep(0)
        assert known.done(), "known to be down: no waiting"
        await known
        node.restart()
        await recovered(store)
        await store.ping()
        assert await identity_of(store, SECRET) != put.identity
        assert await store.put([put]) == [PutOutcome.MOVED_IDENTITY]


async def test_a_change_of_identity_is_noticed_on_connections_that_stay_open(opener: Opener) -> None:
    with standalone("--enable-debug-command", "yes") as node:
        store = await opener(node.url, **HASTY)
        before = await identity_of(store, SECRET)
        node.client().execute_command("DEBUG", "CHANGE-REPL-ID")
        async with asyncio.timeout(60):
            while await identity_of(store, SECRET) == before:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)


async def test_a_demoted_node_is_not_used(opener: Opener) -> None:
    with standalone() as node, standalone() as other:
        store = await opener(node.url, **HASTY)
        put = await put_of(store, SECRET)
        node.client().replicaof("127.0.0.1", other.port)
        [outcome] = await store.put([put])
        assert isinstance(outcome, StoreUnavailable)
        await unavailable(store.read([SECRET], []))
        node.client().replicaof("NO", "ONE")
        await recovered(store)


async def test_stalled_node(opener: Opener) -> None:
    with standalone() as node:
        store = await opener(node.url, **HASTY)
        put = await put_of(store, SECRET)
        node.pause()
        try:
            read, write = await asyncio.gather(unavailable(store.read([SECRET], [])), store.put([put]))
            assert not read.outcome_unknown
            assert isinstance(write[0], StoreUnavailable)
            assert write[0].outcome_unknown, "it may still be done"
            lost = await unavailable(store.invalidate(dict.fromkeys([SECRET], 0)))
            assert lost.outcome_unknown or "no answer" in str(lost)
        finally:
            node.resume()
        await recovered(store)


async def test_what_was_never_sent_is_not_done_later(opener: Opener) -> None:
    """A write that waited behind a stalled batch and failed as not sent must stay undone."""
    with standalone() as node:
        store = await opener(node.url, connections=1, reply_timeout_ms=900, deadline_ms=1000)
        put = await put_of(store, SECRET)
        node.pause()
        first = asyncio.create_task(store.ping())
        blocker = asyncio.create_task(store.read(["x"], []))
        await asyncio.sleep(0.05)
        [outcome] = await store.put([put])
        assert isinstance(outcome, StoreUnavailable)
        assert not outcome.outcome_unknown
        node.resume()
        await asyncio.gather(first, blocker, return_exceptions=True)
        await recovered(store)
        assert (await store.read([SECRET], []))[0][0].raw is None


async def test_a_late_copy_of_a_put_is_void(opener: Opener) -> None:
    """Held on its way past its deadline, the command reaches the node and does nothing [node-time-deadline]."""
    with standalone() as node:
        async with FaultProxy(node.port) as proxy:
            store = await opener(proxy.url, connections=1, reply_timeout_ms=500, deadline_ms=900, check_every_ms=60_000)
            put = await put_of(store, SECRET)
            before = node.client().info("commandstats")["cmdstat_evalsha"]["calls"]
            proxy.request_hold = asyncio.Event()
            [outcome] = await store.put([put])
            assert isinstance(outcome, StoreUnavailable)
            assert outcome.outcome_unknown
            await asyncio.sleep(0.1)
            proxy.request_hold.set()
            await until(
                "it reached the node",
                lambda: node.client().info("commandstats")["cmdstat_evalsha"]["calls"] == before + 1,
            )
            assert node.client().get(SECRET) is None


async def test_a_read_that_fails_leaves_nothing_unknown(opener: Opener) -> None:
    """Counts are read by a command that could as well write: what is known of it is known where it is sent."""
    with standalone() as node:
        for read in (lambda store: store.counters(["content"]), lambda store: store.read([SECRET], [])):
            async with FaultProxy(node.port) as proxy:
                store = await opener(proxy.url, reply_timeout_ms=200, deadline_ms=500)
                proxy.reply_hold = asyncio.Event()
                assert not (await unavailable(read(store))).outcome_unknown
                proxy.reply_hold.set()


async def test_half_open_connection(opener: Opener) -> None:
    with standalone() as node:
        async with FaultProxy(node.port) as proxy:
            store = await opener(proxy.url, reply_timeout_ms=200, deadline_ms=500)
            await store.read([SECRET], [])
            proxy.half_open = True
            await unavailable(store.read([SECRET], []))
            proxy.half_open = False
            await recovered(store)
            proxy.cut()
            await store.read([SECRET], [])  # repeated on a new connection


@pytest.mark.parametrize("make", [standalone, *([redis7] if redis7_binary() else [])])
async def test_full_with_noeviction(make: type[Node], opener: Opener) -> None:
    """What only deletes works [plain-scripts]; the rest says why not [all-or-nothing]; invalidation holds."""
    with make("--maxmemory-policy", "noeviction") as node:
        store = await opener(node.url, **HASTY)
        plain, versioned = await put_of(store, "plain"), await put_of(store, "versioned", version=3)
        keep, dead = await put_of(store, "keep"), await put_of(store, "dead")
        await store.put([plain, versioned, keep, dead])
        again, more = await put_of(store, "plain"), await put_of(store, "more")
        _, before = await store.ensure_epochs([], {"t": 60_000})
        node.client().config_set("maxmemory", 1)
        outcomes = await store.put([again, more])
        assert all(isinstance(one, StoreUnavailable) and "maxmemory" in str(one) for one in outcomes)
        assert not any(one.outcome_unknown for one in outcomes if isinstance(one, StoreUnavailable))
        fenced, refused = await store.put([plain, more._replace(fencing_token=plain.fencing_token)])
        assert fenced is PutOutcome.FENCED, "to look at the fences takes no memory"
        assert isinstance(refused, StoreUnavailable)
        assert refused.full
        assert "maxmemory" in str(await unavailable(store.ensure_epochs([], {"fresh": 1000})))
        assert (await store.ensure_epochs([], {"t": 90_000}))[1] == before
        await store.invalidate(dict.fromkeys(["t", "never"], 0))
        assert (await store.read([], ["t"]))[1][0].epoch not in (None, before["t"].epoch)
        judged, renewed = header(keep.identity), header(keep.identity, written_at_ms=9)
        assert await store.touch("keep", judged, renewed, 5000) is TouchOutcome.TOUCHED
        assert await store.remove(dict.fromkeys(["plain", "versioned"], 0)) == [RemoveOutcome.REMOVED] * 2
        await store.unlink_dead([("dead", judged)])
        assert (await store.read(["dead"], []))[0][0].raw is None


async def test_unreachable_or_wrong_targets_say_so_in_one_line() -> None:
    quick = StoreSettings(connect_timeout_ms=100, reply_timeout_ms=100, deadline_ms=300)
    with standalone("--requirepass", "right") as node:
        wrong = [
            (f"redis://:wrong-secret@127.0.0.1:{node.port}", "password"),
            (f"redis://127.0.0.1:{node.port}", "password"),
            (f"redis+cluster://:right@127.0.0.1:{node.port}", "cluster"),
            (f"redis+sentinel://127.0.0.1:{node.port}/none", "sentinels refuse user or password"),
            (f"rediss://127.0.0.1:{node.port}", IN_TIME),
            ("redis://127.0.0.1:1", "refused"),
            ("unix:///nowhere.sock", "no such file"),
        ]
        opening = [open_store(url, settings=quick if text == IN_TIME else StoreSettings()) for url, text in wrong]
        errors = await asyncio.gather(*map(unavailable, opening))
        for error, (_, text) in zip(errors, wrong, strict=True):
            assert text in str(error).lower(), str(error)
            assert "right" not in str(error)
            assert "secret" not in str(error)
        store = await open_store(f"redis://:right@127.0.0.1:{node.port}/3")
        await store.ping()
        await store.close()
        await store.close()
        with pytest.raises(StoreUnavailable):
            await store.read(["k"], [])
    with pytest.raises(ValueError, match="braces"):
        await open_store("redis://127.0.0.1:1", prefix="{x}")
