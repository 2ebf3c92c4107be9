"""What a real node refuses, and what a URL gets wrong: each is told with its cause and what to do."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from pathlib import Path

import pytest
import redis

from coherd_server.core.store import StoreUnavailable
from coherd_server.redis.causes import CAUSES
from coherd_server.redis.connect import open_store
from coherd_server.redis.embedded import EmbeddedValkey
from rig.certificates import Authority
from rig.entries import put_of
from rig.fixtures import HASTY, Opener
from rig.valkey import standalone
from rig.waiting import until


def fails_to_save(client: redis.Redis, directory: Path) -> None:
    """Put something in the way of its snapshot, and let it try."""
    (directory / "dump.rdb").unlink(missing_ok=True)
    (directory / "dump.rdb").mkdir()
    client.config_set("save", "3600 1")
    client.bgsave()


async def failed_to_save(client: redis.Redis) -> None:
    """Wait until it has."""
    await until("the snapshot failed", lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")


async def test_a_node_that_cannot_save_refuses_writes_and_is_read(opener: Opener) -> None:
    with standalone() as node:
        store = await opener(node.url, **HASTY)
        put, other = await put_of(store, "k"), await put_of(store, "other")
        await store.put([put])
        with contextlib.closing(node.client()) as client:
            fails_to_save(client, node.directory)
            await failed_to_save(client)
        [refused] = await store.put([other])
        assert isinstance(refused, StoreUnavailable)
        assert (refused.cause, refused.outcome_unknown) == (CAUSES["MISCONF"].text, False)
        assert (await store.read(["k", "other"], []))[0][0].raw == put.entry
        assert (await store.read(["other"], []))[0][0].raw is None


async def test_the_embedded_one_never_stops_writing_for_a_full_disk(tmp_path: Path, opener: Opener) -> None:
    with EmbeddedValkey(data_dir=tmp_path, persistent=True) as valkey:
        store = await opener(valkey.url, **HASTY)
        with contextlib.closing(redis.Redis(port=valkey.port)) as client:
            fails_to_save(client, tmp_path)
            await failed_to_save(client)
        put = await put_of(store, "k")
        [outcome] = await store.put([put])
        assert not isinstance(outcome, StoreUnavailable)
        assert (await store.read(["k"], []))[0][0].raw == put.entry
        (tmp_path / "dump.rdb").rmdir()


async def why(url: str) -> str:
    """Why a store cannot be opened."""
    with pytest.raises(StoreUnavailable) as caught:
        await open_store(url)
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def test_what_is_wrong_with_a_node_or_a_url_is_told() -> None:
    with standalone("--maxclients", "2") as node, contextlib.ExitStack() as held:
        assert "no database of this number" in await why(f"{node.url}/99")
        for _ in range(2):
            client = held.enter_context(contextlib.closing(node.client()))
            with contextlib.suppress(redis.RedisError):
                client.ping()
        assert "as its maxclients allows" in await why(node.url)
    with standalone() as node:
        with contextlib.closing(node.client()) as client:
            client.replicaof("127.0.0.1", 1)
        assert CAUSES["READONLY"].text in await why(node.url)


async def test_a_script_that_does_not_end_is_told() -> None:
    with standalone() as node:
        with contextlib.closing(node.client()) as client:
            client.config_set("lua-time-limit", 1)

        def spin() -> None:
            with contextlib.closing(node.client()) as own, contextlib.suppress(redis.RedisError):
                own.eval("while true do end", 0)

        thread = threading.Thread(target=spin)
        thread.start()

        def is_busy() -> bool:
            try:
                with contextlib.closing(node.client()) as other:
                    other.ping()
            except redis.RedisError as error:
                return "BUSY" in str(error)
            return False

        try:
            await until("it is busy", is_busy)
            assert CAUSES["BUSY"].text in await why(node.url)
        finally:
            with contextlib.closing(node.client()) as killer:
                killer.script_kill()
            thread.join()


async def test_tls_where_there_is_none_and_none_where_there_is(tmp_path: Path) -> None:
    with standalone() as node:
        assert "does the port speak TLS?" in await why(node.url.replace("redis://", "rediss://"))
        missing = tmp_path / "ca.pem"
        said = await why(f"{node.url.replace('redis://', 'rediss://')}?ssl_ca_certs={missing}")
        assert f"ssl_ca_certs: {missing}: cannot be read: No such file or directory" in said
    pair = Authority(tmp_path, "ca").sign("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert "or wants TLS; the URL begins with rediss://" in await why(f"redis://127.0.0.1:{port}")
