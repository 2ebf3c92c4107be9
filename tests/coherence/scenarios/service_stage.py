"""A stage for short histories in one process: two servers before one Valkey, the first behind a proxy, and a caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from coherd_server.app import Server
from coherd_server.setting_files import catalog_of
from coherd_server.settings import Settings
from coherence.faults.late_proxy import LateProxy
from coherence.history import History, Recorder
from coherence.traffic.caller import Caller
from coherence.traffic.keyspace import COUNTED
from coherence.traffic.source import Source
from rig.process import Node


@dataclass(slots=True)
class ServiceStage:
    """Two servers before one Valkey; the first one reaches it through a proxy."""

    caller: Caller
    node: Node
    proxy: LateProxy
    directory: Path
    servers: list[Server]

    def history(self) -> History:
        """What was recorded so far."""
        return History.load(self.directory)

    async def start(self, second_url: str = "") -> None:
        """Other servers than those that were stopped: they remember nothing."""
        self.servers = [_server(self.proxy.url), _server(second_url or self.node.url)]
        targets = [f"127.0.0.1:{await server.start()}" for server in self.servers]
        self.caller = Caller(targets, self.caller.recorder, self.caller.source)

    async def stop(self) -> None:
        """Stop caller and servers."""
        await self.caller.close()
        await asyncio.gather(*(server.stop() for server in self.servers))

    async def forget(self, *names: str) -> None:
        """Delete names in the store."""
        with self.node.client() as client:
            client.delete(*names)


@asynccontextmanager
async def service_stage(node: Node, directory: Path) -> AsyncIterator[ServiceStage]:
    """Servers in this process, so that a mutant is a patch that is undone."""
    node.client().flushall()
    source = Source(directory / "source", COUNTED)
    async with LateProxy(node.port) as proxy:
        servers = [_server(proxy.url), _server(node.url)]
        targets = [f"127.0.0.1:{await server.start()}" for server in servers]
        caller = Caller(targets, Recorder(directory / "scenario.jsonl", "s"), source)
        made = ServiceStage(caller, node, proxy, directory, servers)
        try:
            yield made
        finally:
            await made.stop()
            source.close()


def _server(url: str) -> Server:
    settings = Settings(listen="127.0.0.1:0", redis=url, drain_grace=100)
    return Server(settings, catalog_of(settings), url, share_port=False)
