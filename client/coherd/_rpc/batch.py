"""The caller of many keys, which waits for the answers to a whole record of gets or sets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from coherd.errors import CacheError


class Batch:
    """One caller that waits for the answers to many keys: a list of them, or of errors in their places."""

    __slots__ = ("_answers", "_places", "future", "unanswered")

    def __init__(self, future: asyncio.Future[Any], size: int) -> None:
        self.future = future
        self.unanswered = size
        self._answers: list[Any] = [None] * size
        self._places: Sequence[int] = range(size)
        """Of those that are asked for."""

    def put(self, at: int, answers: Sequence[Any]) -> None:
        """As `Callers.put`."""
        for place, answer in zip(self._places[at:] if at else self._places, answers, strict=False):
            if answer is not None and self._answers[place] is None:
                self._answers[place] = answer
                self.unanswered -= 1
        self._settle()

    def fail(self, at: int, error: CacheError | ValueError | TypeError) -> None:
        """As `Callers.fail`."""
        self.put(at, [error])

    def fail_all(self, make: Callable[[], CacheError]) -> None:
        """The whole batch fails: nobody can say of which keys it is known."""
        self.unanswered = 0
        if not self.future.done():
            self.future.set_exception(make())
            self.future.exception()

    def give_up(self, future: asyncio.Future[Any]) -> range:
        """As `Callers.give_up`."""
        if not self.unanswered or not (future.cancel() or future.cancelled()):
            return range(0)
        self.unanswered = 0
        return range(len(self._places))

    def wanted(self) -> list[int] | None:
        """As `Callers.wanted`."""
        if self.future.done():
            return []
        if self.unanswered == len(self._places):
            return None
        return [at for at, place in enumerate(self._places) if self._answers[place] is None]

    def leave(self, places: Sequence[int]) -> None:
        """As `Callers.leave`."""
        self._places = [self._places[at] for at in places]
        self.unanswered = len(places)

    def _settle(self) -> None:
        if not self.unanswered and not self.future.done():
            self.future.set_result(self._answers)
