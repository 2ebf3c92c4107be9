"""Coalescing [join-before-sending] and P3: who shares a round trip, and that nobody gets another's reply."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest

from coherd_server.core.store import StoreUnavailable
from coherd_server.redis.connection import Connection, ConnectionLost
from coherd_server.redis.redis_py import Address
from coherd_server.redis.redis_url import parse_redis_url
from coherd_server.redis.settings import StoreSettings
from rig.entries import put_of
from rig.fixtures import Backend, Opener
from rig.process import Node
from rig.proxy import FaultProxy
from rig.waiting import until


def calls(node: Node, command: str) -> int:
    """How often the node ran a command."""
    return int(node.client().info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"])


async def test_reads_of_one_turn_are_one_mget(node: Node, opener: Opener) -> None:
    store = await opener(node.url)
    before = calls(node, "mget")
    await asyncio.gather(*(store.read([f"k{i}"], ["t", "u"]) for i in range(100)))
    assert calls(node, "mget") - before == 1


async def test_on_a_cluster_each_epoch_is_read_once_per_batch(backend: Backend, opener: Opener) -> None:
    store = await opener(backend.url, backend.prefix)
    before = sum(calls(one, "get") for one in backend.primaries())
    await asyncio.gather(*(store.read([f"k{i}"], ["t", "u"]) for i in range(50)))
    assert sum(calls(one, "get") for one in backend.primaries()) - before == (52 if backend.name == "cluster" else 0)


async def test_writes_of_one_turn_are_one_script(node: Node, opener: Opener) -> None:
    store = await opener(node.url)
    puts = [await put_of(store, f"k{i}") for i in range(60)]
    before = calls(node, "evalsha")
    await asyncio.gather(*(store.put([put]) for put in puts))
    assert calls(node, "evalsha") - before == 1
    await asyncio.gather(*(store.ensure_epochs([], {f"t{i % 7}": 5000}) for i in range(60)))
    assert calls(node, "evalsha") - before == 2
    await asyncio.gather(*(store.invalidate(dict.fromkeys([f"t{i % 7}"], 0)) for i in range(60)))
    assert calls(node, "evalsha") - before == 3


async def test_while_connections_are_busy_calls_gather(proxy: FaultProxy, node: Node, opener: Opener) -> None:
    store = await opener(proxy.url, connections=1)
    proxy.reply_hold = asyncio.Event()
    before = calls(node, "mget")
    reads = []
    for i in range(20):
        reads.append(asyncio.create_task(store.read([f"k{i}"], [])))
        await asyncio.sleep(0.001)
    proxy.reply_hold.set()
    await asyncio.gather(*reads)
    assert calls(node, "mget") - before <= 3


async def test_a_read_never_joins_a_batch_that_was_sent(proxy: FaultProxy, node: Node, opener: Opener) -> None:
    store = await opener(proxy.url)
    put = await put_of(store, "k", b"new")
    before = calls(node, "mget")
    hold = proxy.reply_hold = asyncio.Event()
    early = asyncio.create_task(store.read(["k"], []))
    await until("it was sent", lambda: calls(node, "mget") > before)
    node.client().set("k", put.entry)
    later = asyncio.create_task(store.read(["k"], []))
    await asyncio.sleep(0)
    hold.set()
    [late], _ = await later
    assert late.raw == put.entry
    assert (await early)[0][0].raw is None


async def test_a_storm_of_cancellations_crosses_no_replies(proxy: FaultProxy, node: Node, opener: Opener) -> None:
    """P3: every value names its key; callers give up at any moment, batches time out, connections are cut."""
    well = await opener(node.url)
    puts = [await put_of(well, f"k{i}", f"k{i}".encode()) for i in range(200)]
    await well.put(puts)
    store = await opener(proxy.url, reply_timeout_ms=60, deadline_ms=300)
    dice = random.Random(7)
    good = cancelled = failed = 0

    async def one(i: int) -> None:
        nonlocal good, cancelled, failed
        try:
            async with asyncio.timeout(dice.random() * 0.05):
                values, _ = await store.read([f"k{i}", f"k{(i + 1) % 200}"], [f"t{i}"])
        except TimeoutError:
            cancelled += 1
        except StoreUnavailable:
            failed += 1
        else:
            assert [value.raw for value in values] == [puts[i].entry, puts[(i + 1) % 200].entry]
            good += 1

    async def trouble() -> None:
        for step in itertools.count():
            if step >= 12 and min(good, cancelled) > 100:
                break
            proxy.reply_delay_s = (0.001, 0.01, 0.02, 0.08)[step % 4]
            await asyncio.sleep(0.1)
            if step % 3 == 2:
                proxy.cut()

    storm = asyncio.create_task(trouble())
    async with asyncio.timeout(200):
        while not storm.done():
            await asyncio.gather(*(one(dice.randrange(200)) for _ in range(40)))
    await storm
    assert good > 100
    assert cancelled > 100


async def test_a_cancelled_caller_disturbs_no_neighbour(proxy: FaultProxy, node: Node, opener: Opener) -> None:
    store = await opener(proxy.url)
    connections, before = proxy.connections, calls(node, "mget")
    hold = proxy.reply_hold = asyncio.Event()
    tasks = [asyncio.create_task(store.read([f"k{i}"], [])) for i in range(20)]
    await until("they are under way", lambda: calls(node, "mget") > before)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.sleep(0)
    hold.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])
    assert all(isinstance(result, tuple) for result in results[1::2])
    assert proxy.connections <= connections + 1, "a cancellation must not cost a connection"


async def test_a_connection_with_an_unread_reply_is_not_used_again(node: Node) -> None:
    settings = StoreSettings()
    connection = await Connection.dial(
        parse_redis_url(node.url), Address("127.0.0.1", node.port), settings, cluster=False
    )
    _write(connection, b"*1\r\n$4\r\nPING\r\n")
    await until("it is not to be used", lambda: not connection.is_open)
    with pytest.raises(ConnectionLost) as lost:
        await connection.exchange([("GET", "b")], timeout_ms=20_000)
    assert not lost.value.sent


async def test_replies_out_of_step_are_noticed(node: Node) -> None:
    """Even if nobody looked before sending: the numbered ECHO at the end does not fit."""
    settings = StoreSettings()
    connection = await Connection.dial(
        parse_redis_url(node.url), Address("127.0.0.1", node.port), settings, cluster=False
    )
    node.client().mset({"a": "1", "b": "2"})
    _write(connection, b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n")
    with pytest.raises(ConnectionLost, match="out of step"):
        await connection.exchange([("GET", "b")], timeout_ms=20_000)


def _write(connection: Connection, command: bytes) -> None:
    """Send a command behind the connection's back."""
    assert connection._transport is not None
    connection._transport.write(command)
