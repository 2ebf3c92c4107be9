"""What a store holds beside entries: claims, notes and counters; and its nodes as such."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final, cast

from coherd_server.core.store import LostParts, NodeReport, StoreUnavailable
from coherd_server.redis.connection import Connection, ConnectionLost, parse_info
from coherd_server.redis.jobs import Done, Job, text_of
from coherd_server.redis.names import Names
from coherd_server.redis.node import Node
from coherd_server.redis.redis_py import Address
from coherd_server.redis.redis_url import RedisTarget
from coherd_server.redis.router import Router
from coherd_server.redis.scripts import CLAIM
from coherd_server.redis.settings import StoreSettings
from coherd_server.redis.topology import Topology

_PROBES: Final = 1_000
"""Names of which some lies on any primary."""


class Maintenance:
    """This part of `coherd_server.core.store.Store`."""

    def __init__(self, target: RedisTarget, topology: Topology, settings: StoreSettings, *, prefix: str) -> None:
        self._target = target
        self._topology = topology
        self._settings = settings
        self._router = Router(topology, settings)
        self._names = Names(prefix)

    def primaries(self) -> Sequence[str]:
        """See `Store.primaries`."""
        return [str(node.address) for node in self._topology.nodes()]

    async def scan(self, primary: str, cursor: int, count: int) -> tuple[int, Sequence[str]]:
        """See `Store.scan`."""
        for node in self._topology.nodes():
            if str(node.address) == primary:
                break
        else:
            return 0, ()
        command = ("SCAN", cursor, "MATCH", f"{self._names.value_prefix}*", "COUNT", count)
        done = await self._router.do_on(node, Job(None, (self._names.value_prefix,), command))
        if not isinstance(done.answer, list) or len(done.answer) != 2:
            raise TypeError("unexpected reply to SCAN")
        following, names = done.answer
        prefix, own = self._names.value_prefix, self._names.own_prefix
        texts = (name.decode("utf-8", "replace") for name in names)
        return int(following), [text.removeprefix(prefix) for text in texts if not text.startswith(own)]

    async def claim(self, task: str, token: bytes, lease_ms: int) -> bool:
        """See `Store.claim`."""
        done = await self._router.do(Job(CLAIM, (self._own(f"claim:{task}"),), (token, lease_ms)), repeat=True)
        return text_of(done.answer) == "yes"

    async def note(self, name: str, text: bytes, lifetime_ms: int) -> None:
        """See `Store.note`."""
        full = self._own(name)
        await self._router.do(Job(None, (full,), ("SET", full, text, "PX", lifetime_ms)), repeat=True)

    async def recall(self, name: str) -> bytes | None:
        """See `Store.recall`."""
        full = self._own(name)
        values, _ = await self._router.fetch([full], repeat=True)
        return values[full].raw

    def _own(self, name: str) -> str:
        return self._names.own_prefix + name

    async def count(self, increments: Mapping[str, Mapping[str, int]]) -> Mapping[str, Mapping[str, int]]:
        """See `Store.count`. Not repeated: a lost reply may cost or double increments, and is reported."""
        jobs = []
        for domain, counters in increments.items():
            name = self._names.counters_prefix + domain
            jobs += [Job(None, (name,), ("HINCRBY", name, counter, by)) for counter, by in counters.items()]
        unstored: dict[str, dict[str, int]] = {}
        _, answers = await self._router.fetch((), jobs, repeat=False)
        for job, answer in zip(jobs, answers, strict=True):
            if isinstance(answer, StoreUnavailable) and not answer.outcome_unknown:
                counter, by = cast(tuple[str, int], job.args[2:])
                unstored.setdefault(job.keys[0].removeprefix(self._names.counters_prefix), {})[counter] = by
        return unstored

    async def counters(self, domains: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
        """See `Store.counters`."""
        names = [self._names.counters_prefix + domain for domain in domains]
        jobs = [Job(None, (name,), ("HGETALL", name)) for name in names]
        _, answers = await self._router.fetch((), jobs, repeat=True)
        counts: dict[str, dict[str, int]] = {}
        for domain, done in zip(domains, answers, strict=True):
            if isinstance(done, Done):
                flat = done.answer if isinstance(done.answer, list) else []
                counts[domain] = {text_of(name): int(by) for name, by in zip(flat[::2], flat[1::2], strict=True)}
            elif self.trouble() or self._topology.one_primary:  # a read changes nothing
                raise StoreUnavailable(str(done), cause=done.cause)
        return counts

    def _silent(self) -> list[Node]:
        return [node for node in self._topology.nodes() if node.is_silent]

    def trouble(self) -> str:
        """See `Store.trouble`; each primary is asked once a second."""
        nodes, silent = self._topology.nodes(), self._silent()
        if not nodes:
            return self._topology.trouble()
        return silent[0].trouble if len(silent) == len(nodes) else ""

    def lost(self, tags: Sequence[str]) -> LostParts:
        """See `Store.lost`."""
        silent = self._silent()
        if not silent:
            return LostParts()
        return LostParts(
            {str(node.address): node.cause for node in silent},
            frozenset(tag for tag in tags if self._topology.node_for(self._names.epoch_prefix + tag) in silent),
        )

    async def ping(self) -> None:
        """See `Store.ping`; "lately" is since two intervals of the one-second check before it was asked."""
        began_s = time.monotonic()
        end_s = began_s + self._settings.deadline_ms / 1000
        lately_s = began_s - 2 * self._settings.check_every_ms / 1000
        while True:
            nodes = self._topology.nodes()
            silent = [node for node in nodes if node.answered_at_s < lately_s]
            if nodes and not silent:
                return
            some_serve = len(silent) < len(nodes)
            if time.monotonic() > end_s or (all(node.is_refused for node in silent) and silent):
                if some_serve:
                    return
                raise StoreUnavailable(silent[0].trouble if silent else self._topology.trouble())
            await asyncio.sleep(0.01)

    async def probe(self) -> None:
        """Read something on the primary that has answered last: whether its user may.

        Raises:
            StoreUnavailable: it may not, or no primary answers.
        """
        nodes = self._topology.nodes()
        names = (f"{self._names.own_prefix}probe{number or ''}" for number in range(_PROBES))
        latest = max(nodes, key=lambda node: node.answered_at_s, default=None)
        name = next((name for name in names if self._topology.node_for(name) is latest), None)
        if latest is None or name is None:
            raise StoreUnavailable(self._topology.trouble())
        await self._router.fetch([name], repeat=True)

    async def inspect(self) -> Sequence[NodeReport]:
        """See `Store.inspect`; over connections of its own."""
        nodes = self._topology.nodes()
        if not nodes:
            raise StoreUnavailable(self._topology.trouble())
        cluster = not self._topology.one_primary
        looks = [_inspect(self._target, node.address, self._settings, cluster=cluster) for node in nodes]
        reports = await asyncio.gather(*looks, return_exceptions=True)
        seen = [report for report in reports if isinstance(report, NodeReport)]
        for report in reports:
            if isinstance(report, BaseException) and not (seen and isinstance(report, StoreUnavailable)):
                raise report
        return seen


async def _inspect(target: RedisTarget, address: Address, settings: StoreSettings, *, cluster: bool) -> NodeReport:
    """Look at one primary over two fresh connections.

    Raises:
        StoreUnavailable: it does not answer in time, or is not a primary.
    """
    connections: list[Connection] = []
    try:
        for _ in range(2):
            connections.append(await Connection.dial(target, address, settings, cluster=cluster))
        [reply] = await connections[0].exchange([("INFO", "memory")], timeout_ms=settings.reply_timeout_ms)
    except ConnectionLost as lost:
        raise StoreUnavailable(str(lost), cause=lost.cause) from None
    finally:
        for connection in connections:
            connection.close()
    memory = parse_info(reply) if isinstance(reply, bytes) else {}
    info = connections[0].info
    valkey = "valkey_version" in info
    return NodeReport(
        address=str(address),
        role=info["role"],
        software="valkey" if valkey else "redis",
        version=info["valkey_version" if valkey else "redis_version"],
        maxmemory_bytes=int(memory.get("maxmemory", 0)),
        used_memory_bytes=int(memory.get("used_memory", 0)),
        maxmemory_policy=memory.get("maxmemory_policy"),
        run_id=info["run_id"],
        identity_stable=info["run_id"] == connections[1].info["run_id"],
    )
