"""A cluster: the map from slots to primaries, refreshed every second, on MOVED and on loss."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, MovedError

from coherd_server.redis.causes import CLUSTER_IS_OFF, describe_failed_connect
from coherd_server.redis.node import Node
from coherd_server.redis.recent_writes import RecentWrites
from coherd_server.redis.redis_py import CONNECTION_ERRORS, Address, Reply, open_connection
from coherd_server.redis.redis_url import RedisTarget
from coherd_server.redis.settings import StoreSettings
from coherd_server.redis.topology import Watch

ASKED_AT_ONCE: Final = 3
"""Nodes asked for the map at the same time; the first good answer counts, so a stalled node delays nothing."""
UNUSED_AFTER_S: Final = 10.0
"""A node without slots is closed after this: targets of ASK, primaries that were demoted."""


class ClusterTopology:
    """All primaries of a cluster. Links are kept by address and survive refreshes."""

    one_primary = False
    only_node = None

    def __init__(self, target: RedisTarget, settings: StoreSettings, recent_writes: RecentWrites) -> None:
        self._recent_writes = recent_writes
        self._target = target
        self._settings = settings
        self._slots: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._nodes: dict[Address, Node] = {}
        self._known: list[Address] = [Address(host, port) for host, port in target.addresses]
        self._moving: dict[int, tuple[Address, Address, float]] = {}
        """By slot, from where to where an ASK has sent last, and when, `time.monotonic`."""
        self._turn = 0
        self._watch = Watch(settings.check_every_ms)
        self._cause = "no node of the URL has answered"

    def node_for(self, name: str) -> Node | None:
        address = self._slots[key_slot(name.encode())]
        return None if address is None else self._node(address)

    def nodes(self) -> Sequence[Node]:
        return [self._node(address) for address in dict.fromkeys(self._slots) if address is not None]

    def _node(self, address: Address) -> Node:
        node = self._nodes.get(address)
        if node is None:
            node = Node(
                self._target, address, self._settings, self._recent_writes, cluster=True, on_trouble=self.refresh
            )
            self._nodes[address] = node
        return node

    def redirect(self, error: AskError, source: Node) -> Node | None:
        address = Address(_host_of(error.host, source.address), error.port)
        node = self._node(address)
        if not isinstance(error, MovedError):
            self._moving[error.slot_id] = (source.address, address, time.monotonic())
            node.distrust()
            return node
        if self._slots[error.slot_id] != address:
            self._slots[error.slot_id] = address
            node.distrust()
            self.refresh()
        return None

    def importing(self, name: str, source: Node, identity: bytes) -> Node | None:
        moving = self._moving.get(key_slot(name.encode()))
        if moving is None or moving[0] != source.address or time.monotonic() - moving[2] > UNUSED_AFTER_S:
            return None
        node = self._node(moving[1])
        return node if node.identity == identity else None

    def refresh(self) -> None:
        self._watch.ask()

    async def start(self) -> None:
        await self.look()
        self._watch.start(self)

    def trouble(self) -> str:
        return f"{self._target.describe()}: {self.cause}"

    @property
    def cause(self) -> str:
        return self._cause

    async def look(self) -> None:
        """Ask some nodes for the map, other ones each time; keep what is known when none answers."""
        known = self._known
        some = [known[(self._turn + i) % len(known)] for i in range(min(ASKED_AT_ONCE, len(known)))]
        self._turn += len(some)
        tasks = [asyncio.create_task(self._ask(address)) for address in some]
        try:
            for done in asyncio.as_completed(tasks):
                if (slots := await done) is not None:
                    self._adopt(slots)
                    break
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for address, node in list(self._nodes.items()):
            if address not in self._slots and time.monotonic() - node.last_used_at_s > UNUSED_AFTER_S:
                del self._nodes[address]
                await node.close()

    def _adopt(self, slots: list[Address | None]) -> None:
        primaries = [address for address in dict.fromkeys(slots) if address is not None]
        for address in primaries:
            self._node(address)
        self._slots = slots
        for slot, (_, to, _) in list(self._moving.items()):
            if slots[slot] == to:
                del self._moving[slot]
        self._cause = "no primary serves the slot"
        seeds = [Address(host, port) for host, port in self._target.addresses]
        self._known = list(dict.fromkeys([*primaries, *seeds]))

    async def _ask(self, address: Address) -> list[Address | None] | None:
        """The slot map as one node sees it, over a connection of its own: the map must not wait behind batches."""
        connection = open_connection(self._target, address, self._settings)
        try:
            async with asyncio.timeout(2 * self._settings.connect_timeout_ms / 1000):
                await connection.connect()
                await connection.send_packed_command(b"*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n")
                return _slot_map(await connection.read_response(timeout=float("inf")), address)
        except CONNECTION_ERRORS as error:
            if not any(self._slots):
                off = "cluster support disabled" in str(error)
                why = CLUSTER_IS_OFF if off else describe_failed_connect(error, tls=self._target.tls)
                self._cause = why if off else f"no node of the URL answers: {why}"
            return None
        finally:
            await connection.disconnect(nowait=True)

    async def close(self) -> None:
        await self._watch.close()
        await asyncio.gather(*(node.close() for node in self._nodes.values()))


def _slot_map(reply: Reply, asked: Address) -> list[Address | None] | None:
    """The map in a CLUSTER SLOTS reply; None when it covers nothing."""
    slots: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
    if not isinstance(reply, list) or not reply:
        return None
    for first, last, primary, *_ in reply:
        host = _host_of(primary[0].decode() if primary[0] else "", asked, _metadata(primary))
        slots[first : last + 1] = [Address(host, primary[1])] * (last + 1 - first)
    return slots


def _host_of(told: str | None, asked: Address, ip: str = "") -> str:
    """The host that a node tells of another one. An empty one means its own; ``?`` that it does not know it, as where
    nodes are told by hostnames and one has none: its address is told beside it, or it is taken to be the same.
    """
    if told == "?" and ip:
        return ip
    return told if told not in (None, "", "?") else asked.host


def _metadata(primary: Sequence[object]) -> str:
    """The address that a node of the map has beside its name; empty where none is told."""
    flat = primary[3] if len(primary) > 3 else []
    told = dict(zip(flat[::2], flat[1::2], strict=False)) if isinstance(flat, list) else {}
    ip = told.get(b"ip", b"")
    return ip.decode() if isinstance(ip, bytes) else ""
