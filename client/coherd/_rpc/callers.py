"""Who waits for the answers to gets or sets of one record: single callers, each with a future of its own, or one that
asks for many keys and has one future for all of them.

Both have the same face. A place is that of a key in the record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from coherd.errors import CacheError


class _Answered:
    """Stands for the future of a caller that waits no longer."""

    def done(self) -> bool:
        return True


_ANSWERED: Final[Any] = _Answered()


class Callers:
    """Single callers, each with a future of its own."""

    __slots__ = ("futures", "unanswered")

    def __init__(self) -> None:
        self.futures: list[asyncio.Future[Any]] = []
        self.unanswered = 0
        """How many still wait."""

    def join(self, future: asyncio.Future[Any]) -> None:
        """One more."""
        self.futures.append(future)
        self.unanswered += 1

    def put(self, at: int, answers: Sequence[Any]) -> None:
        """Answer those from a place on; None: not answered yet."""
        unanswered = self.unanswered
        for future, answer in zip(self.futures[at:] if at else self.futures, answers, strict=False):
            if answer is not None and not future.done():
                future.set_result(answer)
                unanswered -= 1
        self.unanswered = unanswered

    def fail(self, at: int, error: CacheError | ValueError | TypeError) -> None:
        """Give one caller an error, if it still waits."""
        future = self.futures[at]
        if not future.done():
            future.set_exception(error)
            future.exception()  # a caller that is cancelled now does not ask for it
            self.unanswered -= 1

    def fail_all(self, make: Callable[[], CacheError]) -> None:
        """Give an error of its own to each that still waits."""
        for at in range(len(self.futures)):
            self.fail(at, make())

    def give_up(self, future: asyncio.Future[Any]) -> range:
        """The places of a caller that waits no longer; none where it is answered, or was given up before."""
        if future not in self.futures or not (future.cancel() or future.cancelled()):
            return range(0)
        at = self.futures.index(future)
        self.futures[at] = _ANSWERED
        self.unanswered -= 1
        return range(at, at + 1)

    def wanted(self) -> list[int] | None:
        """The places that are waited for; None: all of them."""
        futures = self.futures
        return None if self.unanswered == len(futures) else [at for at, one in enumerate(futures) if not one.done()]

    def leave(self, places: Sequence[int]) -> None:
        """Only these are asked for."""
        self.futures = [self.futures[at] for at in places]


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

    def _settle(self) -> None:
        if not self.unanswered and not self.future.done():
            self.future.set_result(self._answers)
