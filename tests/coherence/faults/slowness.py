"""Servers that are slow where a network may be slow, or short of room. No rule is broken: promises must hold.

Windows of a few microseconds become milliseconds, so that random work meets what is inside them. Named on the command
line of `coherence.mutants.mutant_server` as mutants are.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final

import coherd_server.app
from coherd_server.core.near.terms import Terms
from coherd_server.redis.log_reader import LogReader
from coherd_server.redis.store import RedisStore
from coherd_server.settings import Settings

Patch = Callable[[Any, str, Any], None]


def slow_log(patch: Patch) -> None:
    """What was read of the log arrives late."""
    _late(patch, LogReader, "read", 0.6, 0.04)


def crawling_log(patch: Patch) -> None:
    """The same, so late that most of what happens is done before it is heard of."""
    _late(patch, LogReader, "read", 0.9, 0.25)


def slow_reads(patch: Patch) -> None:
    """What was read of the store arrives late."""
    _late(patch, RedisStore, "read_columns", 0.2, 0.03)


def slow_questions(patch: Patch) -> None:
    """What a set asks for, fences and epochs, is asked late: it is told what is there then."""
    _late(patch, RedisStore, "ensure_epochs", 0.5, 0.05, before=True)


def moving_sessions(patch: Patch) -> None:
    """Every session is asked to move after a second or two, as where several processes share a port."""
    limits = coherd_server.app.SessionLimits

    def restless(**options: Any) -> Any:
        return limits(**{**options, "age_ms": 1_500})

    patch(coherd_server.app, "SessionLimits", restless)


def little_memory(patch: Patch) -> None:
    """A session may hold few names, and few of those that changed lately are remembered."""

    def terms(self: Settings) -> Terms:
        return Terms(lease_ms=self.near_cache_lease, interest_names=30, recent_names=10)

    patch(Settings, "near_cache_terms", property(terms))


def _late(patch: Patch, owner: type, name: str, share: float, most_s: float, *, before: bool = False) -> None:
    whole = getattr(owner, name)

    async def late(self: Any, *args: Any) -> Any:
        wait_s = random.random() * most_s if random.random() < share else 0.0
        if before and wait_s:
            await asyncio.sleep(wait_s)
        found = await whole(self, *args)
        if not before and wait_s:
            await asyncio.sleep(wait_s)
        return found

    patch(owner, name, late)


SLOWNESS: Final[dict[str, Callable[[Patch], None]]] = {
    one.__name__: one for one in (slow_log, crawling_log, slow_reads, slow_questions, moving_sessions, little_memory)
}
"""By name."""
