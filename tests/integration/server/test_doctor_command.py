"""`coherd doctor` on real stores. What it finds is decided in core/doctor.py; here, that it looks."""

from __future__ import annotations

import asyncio
import itertools

from rig.doctor import doctor
from rig.process import Node
from rig.valkey import standalone


def test_a_store_as_it_should_be() -> None:
    with standalone("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lfu") as node:
        code, said = doctor(node.url)
    assert code == 0
    assert f"127.0.0.1:{node.port}" in said
    assert "valkey 9." in said
    assert "allkeys-lfu" in said
    assert "warning" not in said
    assert "unsafe" not in said


def test_what_costs_something() -> None:
    with standalone() as node:
        code, said = doctor(node.url)
        assert code == 0
        assert "warning" in said
        assert "no maxmemory" in said
        node.client().config_set("maxmemory", "50mb")
        node.client().config_set("maxmemory-policy", "noeviction")
        code, said = doctor(node.url)
        assert code == 0
        assert "noeviction" in said
        assert "STORE_FULL" in said


async def test_a_proxy_that_hides_which_redis_answers() -> None:
    """Connections are spread over two servers, as a naive load balancer does."""
    with standalone() as one, standalone() as two:
        turns = itertools.cycle([one, two])

        async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65_536):
                writer.write(data)
            writer.close()

        async def spread(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            node: Node = next(turns)
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", node.port)
            await asyncio.gather(pipe(reader, up_writer), pipe(up_reader, writer), return_exceptions=True)

        balancer = await asyncio.start_server(spread, "127.0.0.1", 0)
        port = balancer.sockets[0].getsockname()[1]
        code, said = await asyncio.to_thread(doctor, f"redis://127.0.0.1:{port}")
        balancer.close()
    assert code != 0
    assert "unsafe" in said
    assert "proxy" in said
