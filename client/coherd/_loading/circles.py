"""Loads that wait for each other, and would for ever.

Found at once are circles within one process, over any number of clients, event loops and threads: the context variables
of a load say within which loads its loader runs. What another process waits for is not known here: there time limits
end a circle, and their errors say so.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import threading
import weakref
from collections.abc import Collection, Container, Iterator, Sequence
from typing import Any, Final

from coherd.errors import LoadCircle


class Node:
    """A load that runs, as those see it whom its loader asks.

    Args:
        name: of its resources, as a log may name them.
        in_thread: its loader is a plain one and runs in a thread.
        leased: keys whose lease it has.
    """

    __slots__ = ("__weakref__", "ended", "in_thread", "leased", "name", "waited_elsewhere", "waits_on")

    def __init__(self, name: str, *, in_thread: bool = False, leased: Container[Any] = ()) -> None:
        self.name = name
        self.in_thread = in_thread
        self.leased = leased
        self.ended = False
        """Its loader has ended; what that left behind runs on."""
        self.waits_on: list[Node] = []
        """Loads that its loader waits for now, in any of its tasks and threads."""
        self.waited_elsewhere = ""
        """Name of what its loader waits for, or was cut off waiting for, and another process loads."""

    def end(self) -> None:
        """Its loader has ended."""
        self.ended = True
        self.leased = ()


CHAIN: Final[contextvars.ContextVar[tuple[Node, ...]]] = contextvars.ContextVar("coherd_loads", default=())
"""The loads within which this code runs, the innermost last."""

_LEASED: Final[weakref.WeakValueDictionary[tuple[object, str], Node]] = weakref.WeakValueDictionary()
"""The loads of this process by service and key."""


class _Waits:
    """Held while it is seen whether a wait closes a circle, and begun: two that begin at one time close one, too."""

    lock = threading.Lock()

    @classmethod
    def forget(cls) -> None:
        """In a forked child: whoever held the lock is not there."""
        cls.lock = threading.Lock()


os.register_at_fork(after_in_child=_Waits.forget)


def loads(service: object, keys: Collection[str], node: Node) -> None:
    """Says that a load runs under leases of a service.

    Args:
        service: equal for all clients of the same one.
        keys: of the load.
        node: the load.
    """
    for key in keys:
        _LEASED[service, str.__str__(key)] = node


def holder_of(service: object, key: str, name: str) -> Node:
    """The load that has the key's lease, if one of this process has; else one that stands for another process's.

    Args:
        service: as for `loads`.
        key: of which it is known that somebody has its lease.
        name: of its resource.
    """
    node = _LEASED.get((service, str.__str__(key)))
    return Node(name) if node is None or node.ended or key not in node.leased else node


@contextlib.contextmanager
def waiting(chain: tuple[Node, ...], node: Node, *, elsewhere: bool = False) -> Iterator[None]:
    """While a loader waits for a load.

    Args:
        chain: the loads within which the caller runs.
        node: the load it is going to wait for.
        elsewhere: somebody else runs that load.

    Raises:
        LoadCircle: that load waits for one of them, directly or not, or is one of them.
    """
    running = [each for each in chain if not each.ended]
    if not running:
        yield
        return
    innermost = running[-1]
    with _Waits.lock:
        if path := _path(node, running):
            names = [each.name for each in [*running[running.index(path[-1]) :], *path]]
            raise LoadCircle(f"a load would wait for itself: {' → '.join(names)}")
        innermost.waits_on.append(node)
    innermost.waited_elsewhere = node.name if elsewhere else ""
    try:
        yield
        innermost.waited_elsewhere = ""
    finally:
        innermost.waits_on.remove(node)


def circle_over_processes(asking: str, asked: str) -> str:
    """What the error of a time limit adds where a loader waited for another process's load.

    Args:
        asking: name of the load whose loader waited.
        asked: name of what it waited for.
    """
    return (
        f"the loader of {asking} waited for {asked}, which somebody else loads: if that loader asks for {asking} in "
        "turn, they are a circle over several processes"
    )


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
        if node.ended:
            continue
        for other in tuple(node.waits_on):
            if other not in came_from:
                came_from[other] = node
                todo.append(other)
    return []
