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
from tests.benchmarks.contenders.own_service import OwnService
from tests.benchmarks.stage import prepare, servers

KEYS: Final = 10_000
TASKS: Final = 50
OPERATIONS: Final = 60_000
CALLERS: Final = 32
UNARY: Final = 10_000
"""Operations, by unary calls."""
_TICK_US: Final = 1_000_000 // os.sysconf("SC_CLK_TCK")


def _used_us(pid: int) -> int:
    """Processor time of a process so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_US


async def _measure(
    name: str,
    call: Callable[[int], Awaitable[None]],
    tasks: int,
    pids: list[int],
    *,
    items: int = 1,
    operations: int = OPERATIONS,
) -> None:
    turns = iter(range(operations // items))

    async def caller() -> None:
        for turn in turns:
            await call(turn)

    before, began_s = [_used_us(pid) for pid in pids], time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(tasks)))
    wall_us = (time.perf_counter() - began_s) * 1e6 / operations
    used = [(_used_us(pid) - then) / operations for pid, then in zip(pids, before, strict=True)]
    print(f"{name:28}" + "".join(f"{one:9.1f}" for one in (*used, wall_us)))


async def main() -> None:
    """Print a line per kind of call."""
    async with AsyncExitStack() as stack:
        valkey, server = servers(stack)
        coherd = CoherdClient(server.target, KEYS)
        unary = CoherdClient(server.target, KEYS, sessions=False)
        service = stack.enter_context(OwnService(valkey.port, KEYS))
        await prepare(stack, coherd, unary, service)
        pids = [os.getpid(), server.process.pid, valkey.pid]
        theirs = [os.getpid(), service.pid, valkey.pid]
        print(f"{'us per key':28}" + "".join(f"{name:>9}" for name in ("client", "server", "valkey", "wall")))
        await _measure(f"get, {TASKS} tasks", coherd.get, TASKS, pids)
        await _measure(f"set, {TASKS} tasks", coherd.set, TASKS, pids)
        await _measure(f"get_many of {BATCH}, 1 task", coherd.get_many, 1, pids, items=BATCH)
        await _measure(f"set_many of {BATCH}, 1 task", coherd.set_many, 1, pids, items=BATCH)
        for name, one, whose in (("unary", unary, pids), ("own service", service, theirs)):
            await _measure(f"{name} get, {CALLERS} callers", one.get, CALLERS, whose, operations=UNARY)
            await _measure(f"{name} set, {CALLERS} callers", one.set, CALLERS, whose, operations=UNARY)


if __name__ == "__main__":
    asyncio.run(main())
