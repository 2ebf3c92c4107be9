"""``python -m tests.benchmarks.trace``: through which files a call goes, and how often it changes from one to another.

Client and server run in one process, over a session, on a Valkey of its own; a near cache is there only for the change
that is pushed. All of a call counts until it returns, on both sides, but generated messages. A *hop* is a function that
is entered after one of another file. Each call is made several times, and the fewest of each figure are told: what the
process does beside a call (heartbeats, counts, the log) comes in between now and then.

docs/internals/a-call.md tells what the functions do.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby, pairwise
from pathlib import Path
from types import FrameType
from typing import Any, Final

from tests.benchmarks.contenders import PATIENCE_MS
from tests.benchmarks.without_waiting import is_held

from coherd import CacheClient
from coherd._near import NearCache
from coherd.domains.analytics import WritingStats
from coherd.domains.psychology import Profile
from coherd.domains.tags import User
from coherd_server.app import Server
from coherd_server.setting_files import catalog_of
from coherd_server.settings import Settings
from rig.valkey import standalone

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = tuple(f"{ROOT / folder}/" for folder in ("client", "server"))
TIMES: Final = 15
_WARM: Final = 20
"""Calls beforehand: epochs, scripts and resolved keys are known then, as on a server that is in use."""
_HANG_S: Final = 60.0
_REST_S: Final = 0.03
"""Between two calls, so that what the one left to do is done before the next."""
Call = Callable[[int], Awaitable[object]]
"""Given which time it is made."""


@dataclass(frozen=True, slots=True)
class Entered:
    """A function of this repository that was entered."""

    path: str
    """Below the repository's root."""
    name: str
    """Qualified: ``CacheClient.get``."""


@dataclass(frozen=True, slots=True)
class Trace:
    """All functions that a call entered, in order."""

    entered: list[Entered]

    @property
    def files(self) -> int:
        return len({one.path for one in self.entered})

    @property
    def hops(self) -> int:
        return sum(before.path != after.path for before, after in pairwise(self.entered))


async def traced(call: Callable[[], Awaitable[object]]) -> Trace:
    """What a call enters until it returns, and whatever else this thread does meanwhile."""
    entered: list[Entered] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(SOURCES) and not path.endswith("_pb2.py"):
            entered.append(Entered(path.removeprefix(f"{ROOT}/"), frame.f_code.co_qualname))

    sys.setprofile(note)
    try:
        await call()
    finally:
        sys.setprofile(None)
    return Trace(entered)


@asynccontextmanager
async def stage() -> AsyncIterator[tuple[CacheClient, CacheClient]]:
    """A client without and one with a near cache, of one server."""
    async with AsyncExitStack() as stack:
        valkey = stack.enter_context(standalone("--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"))
        settings = Settings(listen="127.0.0.1:0")
        server = Server(settings, catalog_of(settings), valkey.url, share_port=False)
        port = await server.start()
        stack.push_async_callback(server.stop)
        far = await stack.enter_async_context(
            CacheClient.connect(f"127.0.0.1:{port}", near_cache=False, timeout_ms=PATIENCE_MS)
        )
        near = await stack.enter_async_context(
            CacheClient.connect(f"127.0.0.1:{port}", near_cache=True, timeout_ms=PATIENCE_MS)
        )
        yield far, near


async def measure() -> dict[str, list[Trace]]:
    """The traces of each call."""
    async with stage() as (far, near):
        key, profile = WritingStats(user="u", days=30), Profile(user="u")

        async def load(_: object) -> dict[str, int]:
            return {"words": 812}

        async def hold(_: int) -> None:
            await far.set(profile, {"words": 812})
            async with asyncio.timeout(_HANG_S):
                while not await is_held(near, profile):
                    pass

        calls: list[tuple[str, Call, Call | None]] = [
            ("get", lambda _: far.get(key), None),
            ("set", lambda _: far.set(key, {"words": 812}), None),
            ("get_or_load on a miss", lambda turn: far.get_or_load(WritingStats(user=f"u{turn}", days=30), load), None),
            ("invalidate, strict, pushed", lambda _: far.invalidate(User("u")), hold),
        ]
        await far.set(key, {"words": 812})
        return {name: await _repeated(call, prepare) for name, call, prepare in calls}


async def _repeated(call: Call, prepare: Call | None) -> list[Trace]:
    """Traces of a call; of one that is prepared for only those with a push: the near cache's lease may have run out."""
    traces: list[Trace] = []
    turns = itertools.count()
    while len(traces) < TIMES:
        turn = next(turns)
        if prepare is not None:
            await prepare(turn)
        if turn < _WARM:
            await call(turn)
            continue
        await asyncio.sleep(_REST_S)
        trace = await traced(partial(call, turn))
        if prepare is None or any(one.name == NearCache.drop_tags.__qualname__ for one in trace.entered):
            traces.append(trace)
    return traces


def show(trace: Trace) -> None:
    """Print file after file, with the functions that were entered there."""
    for path, entered in groupby(trace.entered, key=lambda one: one.path):
        print(f"    {path}  " + ", ".join(one.name for one in entered))


def main() -> None:
    """Print what each call takes."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.trace", description=__doc__)
    parser.add_argument("--show", action="store_true", help="every function that was entered, in order")
    args = parser.parse_args()
    for name, traces in asyncio.run(measure()).items():
        files, hops = min(trace.files for trace in traces), min(trace.hops for trace in traces)
        print(f"{name}: {files} files, {hops} hops")
        if args.show:
            show(min(traces, key=lambda trace: len(trace.entered)))


if __name__ == "__main__":
    main()
