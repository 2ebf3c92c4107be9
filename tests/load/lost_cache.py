"""``make load-lost``: what a lost store, a lost server and one that stands still cost their callers.

Starts all it needs on loopback, two minutes or so. Each outage is made three times: a client calls until the first
detection, then its calls are timed, then the lost part comes back. At the end three processes of 50 callers want 60
keys at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final, NamedTuple

from coherd import CacheClient, OpenKey
from load.herd import CALLERS, KEYS
from rig.ports import release_port, reserve_port
from rig.process import Node
from rig.server import CoherdServer
from rig.valkey import standalone

CALLS: Final = 300
"""Timed in each outage, one after the other."""
ROUNDS: Final = 3
PROCESSES: Final = 3
GETS: Final = 200
"""At once, without an alternative, while the store is lost: how often they are sent."""


class Costs(NamedTuple):
    """Of one outage, in ms."""

    detected: float
    """From the loss until the breaker was open, while one caller loaded."""
    load: float
    """What `get_or_load` adds to a load, after that; median."""
    load_p99: float
    """Processor time of the client's thread: what waiting is in the time is the machine's."""
    get: float
    """`get` of a client with ``on_unavailable="miss"``; median."""
    get_p99: float
    """Processor time."""
    back: float
    """From the return until a value was answered from the cache again."""


class Stand:
    """A server on a port of its own before a store, and a client of it."""

    def __init__(self, store: Node) -> None:
        self.store = store
        self.port = reserve_port()
        self.target = f"127.0.0.1:{self.port}"
        self.server = self._start()

    def _start(self) -> CoherdServer:
        return CoherdServer("--redis", self.store.url, "--listen", self.target)

    def close(self) -> None:
        """End it."""
        self.server.kill()
        release_port(self.port)

    @contextmanager
    def without_store(self) -> Iterator[None]:
        """Valkey is killed, and starts again."""
        self.store.kill()
        yield
        self.store.restart()

    @contextmanager
    def without_server(self) -> Iterator[None]:
        """The server is killed, and starts again."""
        self.server.kill()
        yield
        self.server = self._start()

    @contextmanager
    def with_frozen_server(self) -> Iterator[None]:
        """The server stands still, and goes on."""
        pid = self.server.process.pid
        os.kill(pid, signal.SIGSTOP)
        yield
        os.kill(pid, signal.SIGCONT)


async def cost(target: str, outage: Any) -> Costs:
    """What one outage costs a client with the usual limits."""
    lost: list[str] = []

    def key(name: str, number: int) -> OpenKey:
        return OpenKey("celery", "lost", {"id": f"{time.monotonic_ns()}-{name}-{number}"})

    async def load(_: Any) -> int:
        return 1

    async with CacheClient.connect(
        target, on_unavailable="miss", near_cache=False, on_event=lambda event: lost.append(event.kind)
    ) as cache:
        await cache.get_or_load(key("before", 0), load)
        with outage:
            begun_s = time.monotonic()
            while not {"store_lost", "service_lost"} & set(lost):
                await cache.get_or_load(key("detect", 0), load)
            detected_s = time.monotonic() - begun_s
            loads = [await _timed(cache.get_or_load(key("load", number), load)) for number in range(CALLS)]
            gets = [await _timed(cache.get(key("get", number))) for number in range(CALLS)]
        begun_s, number, loaded = time.monotonic(), 0, [0]

        async def counted(_: Any) -> int:
            loaded.append(0)
            return 1

        again = key("again", 0)
        while True:  # until a load is stored, and so not made again
            number = len(loaded)
            await cache.get_or_load(again, counted)
            if len(loaded) == number:
                break
            await asyncio.sleep(0.01)
        back_s = time.monotonic() - begun_s
    return Costs(
        detected_s * 1e3,
        statistics.median(timed.ms for timed in loads),
        statistics.quantiles([timed.processor_ms for timed in loads], n=100)[98],
        statistics.median(timed.ms for timed in gets),
        statistics.quantiles([timed.processor_ms for timed in gets], n=100)[98],
        back_s * 1e3,
    )


class Timed(NamedTuple):
    """One call."""

    ms: float
    processor_ms: float


async def _timed(call: Any) -> Timed:
    begun_s, processor_s = time.perf_counter(), time.thread_time()
    await call
    return Timed((time.perf_counter() - begun_s) * 1e3, (time.thread_time() - processor_s) * 1e3)


async def requests_of(target: str, without_store: Any) -> int:
    """How often 200 gets are sent that have no alternative, while the store is lost."""
    async with CacheClient.connect(target, near_cache=False) as cache:
        await cache.get(OpenKey("celery", "lost", {"id": "1"}))
        with without_store:
            gets = [cache.get(OpenKey("celery", "lost", {"id": str(number)})) for number in range(GETS)]
            await asyncio.gather(*gets, return_exceptions=True)
            # All have been sent once before the breaker opens.
            return GETS + cache.connection_counts.get("retried", 0)  # type: ignore[call-overload, no-any-return]


def herd(stand: Stand) -> int:
    """Loads of 60 keys by 150 callers in three processes, after their store came back empty."""
    command = (sys.executable, "-m", "load.herd", stand.target, str(CALLERS))
    with ExitStack() as stack:
        pipe = subprocess.PIPE
        processes = [
            stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)) for _ in range(PROCESSES)
        ]

        def tell(line: str) -> list[dict[str, Any]]:
            for process in processes:
                assert process.stdin is not None
                process.stdin.write(f"{line}\n")
                process.stdin.flush()
            return [json.loads(process.stdout.readline()) for process in processes if process.stdout is not None]

        tell("burst before")
        with stand.without_store():
            tell("outage")
        tell("back")
        return sum(answer["loads"] for answer in tell("burst after"))


def main() -> None:
    """Measure, and print the table."""
    with standalone() as store:
        stand = Stand(store)
        try:
            outages: dict[str, Callable[[], Any]] = {
                "store killed": stand.without_store,
                "server killed": stand.without_server,
                "server stopped": stand.with_frozen_server,
            }
            print("p50 / p99 of processor time:")
            print("| lost | detected | get_or_load adds | get (miss) | back in use |")
            print("|---|--:|--:|--:|--:|")
            for name, outage in outages.items():
                rounds = [asyncio.run(cost(stand.target, outage())) for _ in range(ROUNDS)]
                one = Costs(*(statistics.median(column) for column in zip(*rounds, strict=True)))
                print(
                    f"| {name} | {one.detected:,.0f} ms | {one.load:.2f} / {one.load_p99:.2f} ms "
                    f"| {one.get:.2f} / {one.get_p99:.2f} ms | {one.back:,.0f} ms |",
                    flush=True,
                )
            sent = asyncio.run(requests_of(stand.target, stand.without_store()))
            print(f"\n{GETS} gets without the store: {sent} requests")
            print(f"{PROCESSES * CALLERS} callers of {KEYS} keys after its return: {herd(stand)} loads")
        finally:
            stand.close()


if __name__ == "__main__":
    main()
