"""``python -m tests.benchmarks.processor``: processor time per operation of client, server and Valkey, microseconds.

A throughput says how fast the slowest of the three is, or all of them on the cores there are; this says who takes what.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from tests.benchmarks.contenders import BATCH
from tests.benchmarks.contenders.coherd_client import CoherdClient
from tests.benchmarks.stage import prepare, servers

KEYS: Final = 10_000
TASKS: Final = 50
OPERATIONS: Final = 60_000
_TICK_US: Final = 1_000_000 // os.sysconf("SC_CLK_TCK")


def _used_us(pid: int) -> int:
    """Processor time of a process so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_US


async def _measure(name: str, call: Callable[[int], Awaitable[None]], tasks: int, items: int, pids: list[int]) -> None:
    turns = iter(range(OPERATIONS // items))

    async def caller() -> None:
        for turn in turns:
            await call(turn)

    before, began_s = [_used_us(pid) for pid in pids], time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(tasks)))
    wall_us = (time.perf_counter() - began_s) * 1e6 / OPERATIONS
    used = [(_used_us(pid) - then) / OPERATIONS for pid, then in zip(pids, before, strict=True)]
    print(f"{name:24}" + "".join(f"{one:9.1f}" for one in (*used, wall_us)))


async def main() -> None:
    """Print a line per kind of call."""
    async with AsyncExitStack() as stack:
        valkey, server = servers(stack)
        coherd = CoherdClient(server.target, KEYS)
        await prepare(stack, coherd)
        pids = [os.getpid(), server.process.pid, valkey.pid]
        print(f"{'us per key':24}" + "".join(f"{name:>9}" for name in ("client", "server", "valkey", "wall")))
        await _measure(f"get, {TASKS} tasks", coherd.get, TASKS, 1, pids)
        await _measure(f"set, {TASKS} tasks", coherd.set, TASKS, 1, pids)
        await _measure(f"get_many of {BATCH}, 1 task", coherd.get_many, 1, BATCH, pids)
        await _measure(f"set_many of {BATCH}, 1 task", coherd.set_many, 1, BATCH, pids)


if __name__ == "__main__":
    asyncio.run(main())
