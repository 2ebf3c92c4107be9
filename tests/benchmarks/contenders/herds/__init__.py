"""A herd: many callers in several processes want one cold key at the same moment; each library has its own lock."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final, Protocol

from tests.benchmarks.contenders import expect
from tests.benchmarks.data import document

TTL_S: Final = 3_600


class Loads:
    """The loader of one process; counts its calls.

    Args:
        load_ms: how long a load takes.
    """

    def __init__(self, load_ms: int) -> None:
        self._load_s = load_ms / 1_000
        self._begun: list[None] = []

    @property
    def count(self) -> int:
        """Loads begun so far in this process."""
        return len(self._begun)

    async def load(self) -> dict[str, Any]:
        """One load, for callers of an event loop."""
        self._begun.append(None)
        await asyncio.sleep(self._load_s)
        return document()

    def load_blocking(self) -> dict[str, Any]:
        """One load, for callers in threads."""
        self._begun.append(None)  # atomic, which `+=` is not
        time.sleep(self._load_s)
        return document()


class Herd(Protocol):
    """The callers of one process."""

    async def rush(self, item: int) -> None:
        """Every caller asks for the item at once; returns when the last has its value."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...


def expect_values(values: list[Any]) -> None:
    """Raises:
    WrongAnswer: a caller got another value than the loader's.
    """
    expect(all(value == document() for value in values))
