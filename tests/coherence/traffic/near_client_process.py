"""One client process with a near cache, until its time is over.

``python -m coherence.traffic.near_client_process CONFIG.json``

Reads are many and of few keys, so that many are answered near. All changes go out by the same client.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from coherd import CacheClient
from coherd.sync import CacheClient as BlockingClient
from coherence.history import Recorder
from coherence.mutants.near_mutants import CLIENT_MUTANTS
from coherence.traffic.caller import Caller
from coherence.traffic.keyspace import COUNTED, ITEMS, Item, choose_target, derived_tags, tag_target
from coherence.traffic.near_caller import NearCaller, note_near_answers, record_pushes
from coherence.traffic.source import Source
from coherence.traffic.threaded_client import Threaded

KEPT: Final = tuple(item for item in ITEMS if not item.key.startswith("crisis:"))
"""Keys of domains with a near cache."""


@dataclass(frozen=True, slots=True)
class NearConfig:
    """What a process is told."""

    directory: str
    """Of the run: histories, and the source."""
    process: str
    target: str
    server: int
    """Which one is behind the target."""
    seconds: float
    seed: int
    tasks: int = 5
    blocking: bool = False
    """By the blocking client, from several threads."""
    mutants: list[str] = field(default_factory=list)
    """Of clients."""

    def write(self) -> Path:
        """Its file."""
        path = Path(self.directory) / f"{self.process}.json"
        path.write_text(json.dumps(asdict(self)))
        return path


class NearWorkload:
    """The mixed operations of one process."""

    def __init__(self, caller: NearCaller, source: Source, rng: random.Random) -> None:
        self._caller = caller
        self._source = source
        self._rng = rng
        self._actions: Final[dict[Callable[[Item], Awaitable[Any]], int]] = {
            self._read: 50,
            self._get_many: 8,
            self._get_or_load: 22,
            self._update: 12,
            self._invalidate: 6,
            self._touch: 2,
        }

    async def run(self, end_s: float) -> None:
        """One after the other, until `time.monotonic` says so."""
        actions, weights = list(self._actions), list(self._actions.values())
        rng = self._rng
        while time.monotonic() < end_s:
            await rng.choices(actions, weights)[0](rng.choice(KEPT))
            await asyncio.sleep(rng.random() * 0.008)

    async def peek(self, end_s: float) -> None:
        """Read what is held near, and nothing else: also while all that asks the service waits."""
        while time.monotonic() < end_s:
            held = [item for item in self._rng.sample(KEPT, 4) if self._caller.holds(item)]
            for item in held:
                await self._caller.get(item, timeout_ms=200)
            await asyncio.sleep(self._rng.random() * 0.02)

    async def _read(self, item: Item) -> None:
        for _ in range(self._rng.randrange(1, 5)):
            found = await self._caller.get(item)
            if found.outcome.startswith("error"):
                await asyncio.sleep(0.05)
                return
            await asyncio.sleep(self._rng.random() * 0.004)

    async def _get_many(self, item: Item) -> None:
        await self._caller.get_many(self._rng.sample(KEPT, 5))

    async def _get_or_load(self, item: Item) -> None:
        await self._caller.get_or_load(item, self._rng.random() * 0.02)

    async def _update(self, item: Item) -> None:
        version = self._source.commit(item.index)
        way = self._rng.random()
        if way < 0.35:
            await self._caller.delete(item)
        elif way < 0.6:
            await self._caller.set(item, version)
        elif way < 0.65:
            await self._caller.set(item, version, version=version)
        else:
            texts = [tag for tag in (*derived_tags(item.key), *item.extra_texts) if "/" in tag]
            await self._caller.invalidate(tag_target(self._rng.choice(texts)), wait=self._rng.random() < 0.3)
        if self._rng.random() < 0.6:
            await self._caller.get(item)

    async def _invalidate(self, item: Item) -> None:
        await self._caller.invalidate(choose_target(self._rng), wait=self._rng.random() < 0.3)

    async def _touch(self, item: Item) -> None:
        await self._caller.touch(item)


async def run_near(config: NearConfig) -> None:
    """Run one process's workload to its end."""
    for name in config.mutants:
        CLIENT_MUTANTS[name](setattr)
    note_near_answers()
    directory = Path(config.directory)
    recorder = Recorder(directory / f"{config.process}.jsonl", config.process)
    record_pushes(recorder)
    source = Source(directory / "source", COUNTED)
    connected = (
        Threaded(BlockingClient.connect(config.target)) if config.blocking else CacheClient.connect(config.target)
    )
    caller = NearCaller(connected, Caller([], recorder, source), server=config.server)
    workload = NearWorkload(caller, source, random.Random(config.seed))
    end_s = time.monotonic() + config.seconds
    try:
        await asyncio.gather(workload.peek(end_s), *(workload.run(end_s) for _ in range(config.tasks)))
    finally:
        await caller.close()
        source.close()


if __name__ == "__main__":
    asyncio.run(run_near(NearConfig(**json.loads(Path(sys.argv[1]).read_text()))))
