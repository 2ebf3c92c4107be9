"""A stage for near caches in one process: two servers before one Valkey, a client of each, and what can be held up.

What is held up is late, never lost or out of order: nothing a correct near cache may not meet.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from coherd import CacheClient
from coherd._rpc.session_stream import SessionStream
from coherd.v1 import session_pb2
from coherd_server.app import Server
from coherd_server.core.near.hub import Hub
from coherd_server.redis.names import log_name, registry_name
from coherd_server.setting_files import catalog_of
from coherd_server.settings import Settings
from coherence.history import History, Recorder
from coherence.traffic.caller import Caller
from coherence.traffic.keyspace import COUNTED, Item
from coherence.traffic.near_caller import NearCaller, note_near_answers, record_pushes
from coherence.traffic.source import Source
from coherence.validate.near_checkers import NearBounds
from rig.process import Node
from rig.proxy import FaultProxy
from rig.waiting import until

LEASE_S: Final = 1.0
BOUNDS: Final = NearBounds(LEASE_S)


class Gate:
    """Results of an operation wait here while it is held."""

    def __init__(self, owner: Any, name: str) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.waiting: list[Any] = []
        """What was answered, and waits."""
        self.arrived = asyncio.Event()
        whole: Callable[..., Awaitable[Any]] = getattr(owner, name)

        async def gated(*args: Any) -> Any:
            found = await whole(*args)
            if not self._open.is_set():
                self.waiting.append(found)
                self.arrived.set()
                await self._open.wait()
            return found

        setattr(owner, name, gated)

    def hold(self) -> None:
        """From the next result on."""
        self._open.clear()
        self.waiting.clear()
        self.arrived.clear()

    def release(self) -> None:
        """All go on."""
        self._open.set()

    def pass_one(self) -> None:
        """The one that waits goes on; the next is held."""
        self._open.set()
        self.hold()


@dataclass(slots=True)
class NearStage:
    """``a`` is a client of the first server, ``b`` of the second."""

    directory: Path
    node: Node
    source: Source
    servers: list[Server] = field(default_factory=list)
    proxies: list[FaultProxy] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)
    clients: list[NearCaller] = field(default_factory=list)
    recorder: Recorder = field(init=False)

    def __post_init__(self) -> None:
        self.recorder = Recorder(self.directory / "stage.jsonl", "stage")

    @property
    def a(self) -> NearCaller:
        """The one whose near cache is looked at."""
        return self.clients[0]

    @property
    def b(self) -> NearCaller:
        """The one that changes things."""
        return self.clients[1]

    def history(self) -> History:
        """What was recorded so far."""
        return History.load(self.directory)

    # Parts.

    async def add_server(self) -> int:
        """One more server, with a proxy before it; its number."""
        settings = Settings(
            listen="127.0.0.1:0", redis=self.node.url, drain_grace=100, near_cache_lease=int(LEASE_S * 1000)
        )
        server = Server(settings, catalog_of(settings), self.node.url, share_port=False)
        port = await server.start()
        self.servers.append(server)
        self.proxies.append(await FaultProxy(port).__aenter__())
        return len(self.servers) - 1

    def add_client(self, server: int) -> None:
        """One more client."""
        name = "ab"[len(self.clients)]
        target = f"127.0.0.1:{self.proxies[server].port}"
        recorder = Recorder(self.directory / f"{name}.jsonl", name)
        self.callers.append(Caller([], recorder, self.source))
        self.clients.append(NearCaller(CacheClient.connect(target), self.callers[-1], server=server))

    def hub(self, server: int) -> Hub:
        """Of a server."""
        hub: Hub = self.servers[server]._member._hub
        return hub

    def log_gate(self, server: int) -> Gate:
        """Between the log and a server."""
        one: Any = self.servers[server]
        gate = Gate(one._store.log._reader, "read")
        one._member._following.cancel()  # a read that waits already would pass by
        return gate

    def read_gate(self, server: int) -> Gate:
        """Between what a server reads of the store and what it makes of it."""
        return Gate(self.servers[server]._store, "read_columns")

    def stream_gate(self, client: NearCaller) -> Gate:
        """Between the network and a client: what was received waits."""
        stream: Any = client.stream
        gate: Gate = stream._call.gate
        return gate

    # Steps.

    async def store(self, item: Item) -> None:
        """A first value."""
        await self.b.set(item, self.source.commit(item.index))

    async def hold(self, client: NearCaller, item: Item) -> None:
        """Read until the near cache answers.

        Raises:
            AssertionError: it never does.
        """
        for _ in range(400):
            found = await client.get(item)
            if found.near:
                return
            if found.outcome == "miss":
                await self.store(item)
            await asyncio.sleep(0.02)
        raise AssertionError(f"the near cache does not hold {item.key}")

    async def trusted_registry(self) -> None:
        """Until it is known that the registry of members is whole: strict changes take no longer than they must."""
        with self.node.client() as client:
            await until("the registry is whole", lambda: client.hexists(registry_name(""), "+"))

    async def applied(self, server: int) -> None:
        """Until a server has applied all of the log."""
        with self.node.client() as client:
            last = client.xrevrange(log_name(""), count=1)[0][0]
        offset = int(last.split(b"-")[0])
        hub = self.hub(server)
        await until("the log is applied", lambda: hub.position is not None and hub.position.offset >= offset)

    async def stop(self) -> None:
        """Stop everything."""
        for client in self.clients:
            await client.close()
        for caller in self.callers:
            await caller.close()
        for proxy in self.proxies:
            await proxy.__aexit__(None, None, None)
        await asyncio.gather(*(server.stop() for server in self.servers))


class _GatedCall:
    """A stream's call with a gate behind `read`."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self.read: Callable[[], Awaitable[Any]] = call.read
        self.gate = Gate(self, "read")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


def _gate_streams(patch: Callable[[Any, str, Any], None]) -> None:
    whole = SessionStream.__init__

    def gated(self: SessionStream, call: Any, *args: Any, **options: Any) -> None:
        whole(self, _GatedCall(call), *args, **options)

    patch(SessionStream, "__init__", gated)


def is_extension(raw: Any) -> bool:
    """Whether a message of the server extends a lease."""
    return isinstance(raw, bytes) and session_pb2.SessionResponse.FromString(raw).WhichOneof("message") == "extension"


@asynccontextmanager
async def near_stage(node: Node, directory: Path, patch: Callable[[Any, str, Any], None]) -> AsyncIterator[NearStage]:
    """Servers and clients in this process, so that a mutant is a patch that is undone; one server, no client yet."""
    with node.client() as client:
        for name in [name for name in client.scan_iter("*") if b"coherd:log" not in name]:
            client.delete(name)
    stage = NearStage(directory, node, Source(directory / "source", COUNTED))
    note_near_answers(patch)
    record_pushes(stage.recorder, patch)
    _gate_streams(patch)
    try:
        await stage.add_server()
        yield stage
    finally:
        await stage.stop()
        stage.source.close()


async def pair(stage: NearStage) -> None:
    """The second server, and a client of each."""
    await stage.add_server()
    stage.add_client(0)
    stage.add_client(1)
    await stage.trusted_registry()
