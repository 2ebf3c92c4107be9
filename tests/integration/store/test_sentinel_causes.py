"""Why there is no primary behind Sentinel: each cause has its own text, provoked on real sentinels."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coherd_server.core.store import StoreUnavailable
from coherd_server.redis.causes import SENTINEL
from coherd_server.redis.connect import open_store
from coherd_server.redis.embedded import find_binary
from coherd_server.redis.settings import StoreSettings
from rig.certificates import Authority
from rig.fixtures import Opener
from rig.ports import release_port, reserve_port
from rig.process import Node
from rig.valkey import standalone
from rig.waiting import until

NAME = "mymaster"


@contextmanager
def sentinel_of(port: int, *more: str, quorum: int = 1) -> Iterator[Node]:
    """A sentinel that watches a primary on a port of this machine."""
    config = [
        f"sentinel monitor {NAME} 127.0.0.1 {port} {quorum}",
        f"sentinel down-after-milliseconds {NAME} 300",
        *more,
        "",
    ]
    node = Node(str(find_binary()), config="\n".join(config))
    try:
        node.launch()
        node.wait_ready()
        yield node
    finally:
        node.close()


def url_of(*sentinels: Node, name: str = NAME, scheme: str = "redis", options: str = "") -> str:
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in sentinels)
    return f"{scheme}+sentinel://{hosts}/{name}{options}"


async def why(url: str) -> str:
    """Why a store cannot be opened."""
    with pytest.raises(StoreUnavailable) as caught:
        await open_store(url, settings=StoreSettings(connect_timeout_ms=400, reply_timeout_ms=300, deadline_ms=600))
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith("cannot use redis")
    return said


def is_told(said: str, cause: str) -> bool:
    """Whether both halves of the cause are there, and those of no other one."""
    others = [other for name, other in SENTINEL.items() if name != cause]
    assert not any(other.wrong in said for other in others), said
    return SENTINEL[cause].wrong in said and SENTINEL[cause].do in said


async def test_no_sentinel_answers() -> None:
    port = reserve_port()
    try:
        said = await why(f"redis+sentinel://127.0.0.1:{port}/{NAME}")
    finally:
        release_port(port)
    assert is_told(said, "unreachable"), said
    assert f"127.0.0.1:{port}: connection refused" in said


async def test_the_port_of_a_server_that_stores(node: Node) -> None:
    said = await why(url_of(node))
    assert is_told(said, "no sentinel"), said


async def test_a_name_that_is_not_monitored(node: Node) -> None:
    with sentinel_of(node.port) as sentinel:
        said = await why(url_of(sentinel, name="other"))
    assert is_told(said, "unknown name"), said
    assert f"they monitor {NAME}" in said


async def test_a_password_of_the_sentinels(node: Node) -> None:
    with sentinel_of(node.port, "requirepass s3cret", "user narrow on >s3cret -@all +auth +ping") as sentinel:
        for options in ("", "?sentinel_password=wr0ng", "?sentinel_username=nobody&sentinel_password=wr0ng"):
            said = await why(url_of(sentinel, options=options))
            assert is_told(said, "password"), said
            assert "wr0ng" not in said
        said = await why(url_of(sentinel, options="?sentinel_username=narrow&sentinel_password=s3cret"))
        assert is_told(said, "not permitted"), said
        store = await open_store(url_of(sentinel, options="?sentinel_password=s3cret"))
        await store.close()


async def test_a_primary_that_cannot_be_reached_from_here() -> None:
    """The sentinels hold it for up, as where they are on another network."""
    port = reserve_port()
    try:
        with sentinel_of(port, f"sentinel down-after-milliseconds {NAME} 600000") as sentinel:
            said = await why(url_of(sentinel))
    finally:
        release_port(port)
    assert is_told(said, "primary"), said
    assert f"127.0.0.1:{port}: connection refused" in said


async def test_a_replica_in_place_of_the_primary(node: Node) -> None:
    """A sentinel that has just begun, and believes its configuration."""
    with standalone() as replica:
        replica.client().replicaof("127.0.0.1", node.port)
        with sentinel_of(replica.port, f"sentinel down-after-milliseconds {NAME} 600000") as sentinel:
            sentinel.client().execute_command("SENTINEL", "DEBUG", "INFO-PERIOD", "600000")
            said = await why(url_of(sentinel))
    assert SENTINEL["replica"].text in said or SENTINEL["failover"].text in said, said


async def test_a_primary_that_is_down_and_that_nobody_may_replace(opener: Opener) -> None:
    with standalone() as primary, sentinel_of(primary.port, quorum=2) as sentinel:
        store = await opener(url_of(sentinel))
        primary.kill()
        await until("the store says why", lambda: SENTINEL["no quorum"].wrong in store.trouble())
        assert "(2 must)" in store.trouble()
        assert "connection refused" in store.trouble()
        assert is_told(await why(url_of(sentinel)), "no quorum")


async def test_a_failover_under_way(opener: Opener) -> None:
    with standalone() as primary, sentinel_of(primary.port, quorum=1) as sentinel:
        store = await opener(url_of(sentinel))
        primary.kill()
        await until("the store says why", lambda: SENTINEL["failover"].text in store.trouble())
        assert is_told(await why(url_of(sentinel)), "failover")


async def test_tls_where_the_sentinels_have_none_and_back(node: Node, tmp_path: Path) -> None:
    with sentinel_of(node.port) as sentinel:
        said = await why(url_of(sentinel, scheme="rediss"))
        assert is_told(said, "TLS"), said
    pair = Authority(tmp_path, "ca").sign("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, ssl=context)
    async with server:
        said = await why(f"redis+sentinel://127.0.0.1:{server.sockets[0].getsockname()[1]}/{NAME}")
    assert is_told(said, "TLS"), said
