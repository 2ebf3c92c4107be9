"""One client process of a run: ``python -m coherence.traffic.client_process CONFIG.json``, until its time is over.

Each of its tasks does one operation after the other, chosen by weight. What is committed to the source is then made
known to the cache in one of the ways users do it: invalidate, delete, set, or a set with a version.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from coherd import CacheClient
from coherence.history import Recorder
from coherence.traffic.caller import Caller
from coherence.traffic.giving_up import GivingUp
from coherence.traffic.keyspace import COUNTED, ITEMS, Item, choose_target, derived_tags, key_target, probe, tag_target
from coherence.traffic.session_caller import SessionCaller
from coherence.traffic.source import Source
from coherence.traffic.typed_caller import TypedCaller, serves_get_or_load


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """What a client process is told."""

    directory: str
    """Of the run: histories, and the source."""
    process: str
    number: int
    targets: list[str]
    seconds: float
    seed: int
    tasks: int = 8
    timeout_s: float = 3.0

    def write(self) -> Path:
        """Its file."""
        path = Path(self.directory) / f"{self.process}.json"
        path.write_text(json.dumps(asdict(self)))
        return path


class Workload:
    """The mixed operations of one process."""

    def __init__(
        self, caller: Caller, sessions: Caller, typed: TypedCaller | None, rng: random.Random, number: int
    ) -> None:
        self._caller = caller
        self._typed = typed
        self._rng = rng
        self._probe = probe(number)
        self._probing = False
        self._giving_up = GivingUp((caller, sessions), rng, self._commit)
        self._actions: Final[dict[Callable[[int, Item], Awaitable[Any]], int]] = {
            self._get: 28,
            self._batch_get: 8,
            self._get_or_load: 26,
            self._batch_load: 4,
            self._update: 14,
            self._invalidate: 8,
            self._delete: 4,
            self._batch_set: 2,
            self._touch: 2,
            self._read_back: 4,
            self._give_up: 4,
        }

    async def run(self, end_s: float) -> None:
        """One operation after the other, until `time.monotonic` says so."""
        actions, weights = list(self._actions), list(self._actions.values())
        rng = self._rng
        while time.monotonic() < end_s:
            action = rng.choices(actions, weights)[0]
            await action(rng.randrange(self._caller.servers), rng.choice(ITEMS))
            await asyncio.sleep(rng.random() * 0.002)

    async def _get(self, server: int, item: Item) -> None:
        found = await self._caller.get(server, item, accept_stale=self._rng.random() < 0.3)
        if found.outcome.startswith(("lost", "error")):
            await asyncio.sleep(0.05)

    async def _batch_get(self, server: int, item: Item) -> None:
        await self._caller.batch_get(server, [item, *self._rng.sample(ITEMS, 5)])

    async def _get_or_load(self, server: int, item: Item) -> None:
        if self._typed is not None and self._rng.random() < 0.5 and not item.extra:
            await self._typed.get_or_load(server, item, self._rng.random() * 0.03)
        else:
            await self._caller.get_or_load(server, item, self._rng)

    async def _batch_load(self, server: int, item: Item) -> None:
        items = self._rng.sample(ITEMS, 4)
        leased = await self._caller.batch_lease(server, items)
        loaded = [
            (one, item, await self._caller.load(item, 0.002))
            for item, one in zip(items, leased, strict=True)
            if one.outcome == "granted"
        ]
        if loaded:
            await self._caller.batch_fill(server, loaded)

    def _commit(self, item: Item) -> int:
        begun = self._caller.recorder.start("commit", key=item.key)
        version = self._caller.source.commit(item.index)
        self._caller.recorder.end(begun, "done")
        return version

    async def _update(self, server: int, item: Item) -> None:
        version = self._commit(item)
        way = self._rng.random()
        if way < 0.3:
            await self._caller.delete(server, item)
        elif way < 0.5:
            await self._caller.set(server, item, version)
        elif way < 0.6:
            await self._caller.set(server, item, version, version=version)
        elif way < 0.65:
            await self._caller.set(server, item, version, only_if_absent=True)
        else:
            tag = self._rng.choice([tag for tag in (*derived_tags(item.key), *item.extra_texts) if "/" in tag] or [""])
            await self._caller.invalidate(server, tag_target(tag) if tag else key_target(item))

    async def _invalidate(self, server: int, item: Item) -> None:
        await self._caller.invalidate(server, choose_target(self._rng))

    async def _delete(self, server: int, item: Item) -> None:
        await self._caller.delete(server, item)

    async def _batch_set(self, server: int, item: Item) -> None:
        items = self._rng.sample(ITEMS, 3)
        await self._caller.batch_set(server, [(one, self._commit(one)) for one in items])

    async def _touch(self, server: int, item: Item) -> None:
        await self._caller.touch(server, item)

    async def _give_up(self, server: int, item: Item) -> None:
        await self._giving_up.act(server)

    async def _read_back(self, server: int, item: Item) -> None:
        """Store under a key nobody else uses, and look: nothing may have been dropped silently (P6)."""
        if self._probing:
            return
        self._probing = True
        await self._caller.set(server, self._probe, self._commit(self._probe))
        await self._caller.get(self._rng.randrange(self._caller.servers), self._probe)
        self._probing = False


async def run_client(config: ClientConfig) -> None:
    """Run one process's workload to its end."""
    directory = Path(config.directory)
    recorder = Recorder(directory / f"{config.process}.jsonl", config.process)
    source = Source(directory / "source", COUNTED)
    caller = Caller(config.targets, recorder, source, timeout_s=config.timeout_s)
    typed = TypedCaller(config.targets, recorder, caller) if serves_get_or_load(CacheClient) else None
    rng = random.Random(config.seed)
    sessions = SessionCaller(config.targets, recorder, source, timeout_s=config.timeout_s)
    workload = Workload(caller, sessions, typed, rng, config.number)
    end_s = time.monotonic() + config.seconds
    try:
        await asyncio.gather(*(workload.run(end_s) for _ in range(config.tasks)))
    finally:
        if typed is not None:
            await typed.close()
        await sessions.close()
        await caller.close()
        source.close()


if __name__ == "__main__":
    asyncio.run(run_client(ClientConfig(**json.loads(Path(sys.argv[1]).read_text()))))
