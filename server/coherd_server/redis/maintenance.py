"""What a store holds beside entries: claims, notes and counters; and its nodes as such."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import cast

from coherd_server.core.store import NodeReport, StoreUnavailable
from coherd_server.redis.answers import all_of, text_of
from coherd_server.redis.batch import Job
from coherd_server.redis.inspection import inspect_node
from coherd_server.redis.redis_url import RedisTarget
from coherd_server.redis.router import Router
from coherd_server.redis.scripts import CLAIM
from coherd_server.redis.settings import StoreSettings
from coherd_server.redis.topology import Topology


class Maintenance:
    """This part of `coherd_server.core.store.Store`."""

    def __init__(self, target: RedisTarget, topology: Topology, settings: StoreSettings, *, prefix: str) -> None:
        self._target = target
        self._topology = topology
        self._settings = settings
        self._router = Router(topology, settings)
        self._prefix = prefix
        self._counters_prefix = f"{prefix}coherd:counters:"

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
        command = ("SCAN", cursor, "MATCH", f"{self._prefix}*", "COUNT", count)
        done = await self._router.do_on(node, Job(None, (self._prefix,), command))
        if not isinstance(done.answer, list) or len(done.answer) != 2:
            raise TypeError("unexpected reply to SCAN")
        following, names = done.answer
        own = self._prefix + "coherd:"
        texts = (name.decode("utf-8", "replace") for name in names)
        return int(following), [text.removeprefix(self._prefix) for text in texts if not text.startswith(own)]

    async def claim(self, task: str, token: bytes, lease_ms: int) -> bool:
        """See `Store.claim`."""
        [done] = all_of(
            await self._router.do([Job(CLAIM, (self._own(f"claim:{task}"),), (token, lease_ms))], repeat=True)
        )
        return text_of(done.answer) == "yes"

    async def note(self, name: str, text: bytes, lifetime_ms: int) -> None:
        """See `Store.note`."""
        full = self._own(name)
        for _ in all_of(
            await self._router.do([Job(None, (full,), ("SET", full, text, "PX", lifetime_ms))], repeat=True)
        ):
            pass

    async def recall(self, name: str) -> bytes | None:
        """See `Store.recall`."""
        full = self._own(name)
        return (await self._router.read([full]))[full].raw

    def _own(self, name: str) -> str:
        return f"{self._prefix}coherd:{name}"

    async def count(self, increments: Mapping[str, Mapping[str, int]]) -> Mapping[str, Mapping[str, int]]:
        """See `Store.count`. Not repeated: a lost reply may cost or double increments, and is reported."""
        jobs = []
        for domain, counters in increments.items():
            name = self._counters_prefix + domain
            jobs += [Job(None, (name,), ("HINCRBY", name, counter, by)) for counter, by in counters.items()]
        unstored: dict[str, dict[str, int]] = {}
        for job, answer in zip(jobs, await self._router.do(jobs, repeat=False), strict=True):
            if isinstance(answer, StoreUnavailable) and not answer.outcome_unknown:
                counter, by = cast(tuple[str, int], job.args[2:])
                unstored.setdefault(job.keys[0].removeprefix(self._counters_prefix), {})[counter] = by
        return unstored

    async def counters(self, domains: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
        """See `Store.counters`."""
        names = [self._counters_prefix + domain for domain in domains]
        answers = await self._router.do([Job(None, (name,), ("HGETALL", name)) for name in names], repeat=True)
        found: dict[str, dict[str, int]] = {}
        for domain, done in zip(domains, answers, strict=True):
            if isinstance(done, StoreUnavailable):  # a read changes nothing
                raise StoreUnavailable(str(done))
            flat = done.answer if isinstance(done.answer, list) else []
            found[domain] = {text_of(name): int(by) for name, by in zip(flat[::2], flat[1::2], strict=True)}
        return found

    async def ping(self) -> None:
        """See `Store.ping`; "lately" is two intervals of the one-second check."""
        end_s = time.monotonic() + self._settings.deadline_ms / 1000
        lately_s = 2 * self._settings.check_every_ms / 1000
        while True:
            nodes = self._topology.nodes()
            silent = [node for node in nodes if time.monotonic() - node.answered_at_s > lately_s]
            if nodes and not silent:
                return
            if time.monotonic() > end_s or any(node.is_refused for node in silent):
                raise StoreUnavailable(silent[0].trouble if silent else self._topology.trouble())
            await asyncio.sleep(0.01)

    async def inspect(self) -> Sequence[NodeReport]:
        """See `Store.inspect`; over connections of its own."""
        nodes = self._topology.nodes()
        if not nodes:
            raise StoreUnavailable(self._topology.trouble())
        cluster = not self._topology.wide
        return await asyncio.gather(
            *(inspect_node(self._target, node.address, self._settings, cluster=cluster) for node in nodes)
        )
