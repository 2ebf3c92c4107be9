"""Loaders of the loading tests, and what they find at the server."""

from __future__ import annotations

import asyncio
from typing import Any

from fake_server import FakeServer

from coherd import ErrorReason
from coherd.domains import content

KEY = content.Topics(user="u1")
AWAY = ErrorReason.ERROR_REASON_STORE_UNAVAILABLE
UNKNOWN = ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN
FOREIGN = ErrorReason.ERROR_REASON_FOREIGN_VALUE
NOWHERE = "127.0.0.1:1"
OLD = content.Topics.codec.encode("old")


class Loader:
    """Counts its calls; returns its number, after a gate opens if there is one."""

    def __init__(self, *results: Any, delay_s: float = 0.0, gate: asyncio.Event | None = None) -> None:
        self.calls = 0
        self.running = 0
        self.most_running = 0
        self.cancelled = 0
        self.results = list(results)
        self.delay_s = delay_s
        self.gate = gate

    async def __call__(self, key: Any) -> Any:
        self.calls += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            result = self.results[min(self.calls, len(self.results)) - 1] if self.results else self.calls
            await asyncio.sleep(self.delay_s)
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if isinstance(result, BaseException):
            raise result
        return result


async def held_by_another(fake: FakeServer, key: Any = KEY, for_s: float = 60.0) -> None:
    fake.grant(key, b"another's token.", for_s)


def serve_stale(fake: FakeServer, *, early: bool = False) -> None:
    fake.put(KEY, OLD, fresh_s=60.0 if early else -1.0, load_ms=600_000)
    fake.draw = 0.5
