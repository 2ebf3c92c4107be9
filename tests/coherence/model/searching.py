"""The exhaustive search, breadth first: of any model whose states are hashable."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar


class Broken(Exception):
    """A promise does not hold in this step."""


class Result(NamedTuple):
    """Of a search."""

    states: int
    broken: str = ""
    trace: tuple[str, ...] = ()


_State = TypeVar("_State", bound=Hashable)


@contextmanager
def _uncollected() -> Iterator[None]:
    """States hold no cycles, and to look for some among all of them takes a quarter of a search."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_uncollected()
def search(start: _State, steps: Callable[[_State], Iterable[tuple[str, _State]]], most: int) -> Result:
    """All states that can be reached, or the first in which a promise is broken, with the way to it.

    Raises:
        OverflowError: there are more than ``most`` states.
    """
    came: dict[_State, tuple[_State, str] | None] = {start: None}
    todo = deque([start])
    while todo:
        state = todo.popleft()
        try:
            for what, after in steps(state):
                link = (state, what)
                if came.setdefault(after, link) is link:  # looked up once: to hash a state takes long
                    todo.append(after)
        except Broken as broken:
            trace: list[str] = []
            while (before := came[state]) is not None:
                state, what = before
                trace.append(what)
            return Result(len(came), str(broken), tuple(reversed(trace)))
        if len(came) > most:
            raise OverflowError(f"more than {most} states")
    return Result(len(came))
