"""Loads that wait for each other, and would for ever."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator, Sequence
from typing import Final

from coherd.errors import LoadCircle


class Node:
    """A load that runs, as those see it whom its loader asks.

    Args:
        name: of its resources, as a log may name them.
        in_thread: its loader is a plain one and runs in a thread.
    """

    __slots__ = ("ended", "in_thread", "name", "waits_on")

    def __init__(self, name: str, *, in_thread: bool) -> None:
        self.name = name
        self.in_thread = in_thread
        self.ended = False
        """Its loader has ended; what that left behind runs on."""
        self.waits_on: list[Node] = []
        """Loads that its loader waits for now, in any of its tasks and threads."""


CHAIN: Final[contextvars.ContextVar[tuple[Node, ...]]] = contextvars.ContextVar("coherd_loads", default=())
"""The loads within which this code runs, the innermost last."""


@contextlib.contextmanager
def waiting(chain: tuple[Node, ...], node: Node) -> Iterator[None]:
    """While a loader waits for a load.

    Args:
        chain: the loads within which the caller runs.
        node: the load it is going to wait for.

    Raises:
        LoadCircle: that load waits for one of them, directly or not, or is one of them.
    """
    running = [each for each in chain if not each.ended]
    if not running:
        yield
        return
    if path := _path(node, running):
        names = [each.name for each in [*running[running.index(path[-1]) :], *path]]
        raise LoadCircle(f"a load would wait for itself: {' → '.join(names)}")
    innermost = running[-1]
    innermost.waits_on.append(node)
    try:
        yield
    finally:
        innermost.waits_on.remove(node)


def _path(start: Node, ends: Sequence[Node]) -> list[Node]:
    """From a load by what it waits for to one of others; empty if there is no such path."""
    came_from: dict[Node, Node | None] = {start: None}
    todo = [start]
    while todo:
        node = todo.pop()
        if node in ends:
            path: list[Node] = []
            step: Node | None = node
            while step is not None:
                path.insert(0, step)
                step = came_from[step]
            return path
        for other in node.waits_on:
            if other not in came_from:
                came_from[other] = node
                todo.append(other)
    return []
