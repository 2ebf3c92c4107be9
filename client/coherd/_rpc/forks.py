"""What holds gRPC objects, before and after a fork.

gRPC's asyncio side keeps one polling thread per process, which a forked child does not have, and wakes loops through a
socket, which the child shares: a channel that is alive at the fork never answers in the child, and a child that uses
gRPC all the same takes the wake-ups of its parent. So before a fork everything that is idle is let go, which stops all
that; the parent opens it anew at its next call, and the child starts clean. After a fork during a call, which is not
cut off, the child refuses to use gRPC.
"""

from __future__ import annotations

import gc
import os
import sys
import weakref
from typing import Final, Protocol

from coherd.errors import Unavailable


class Forkable(Protocol):
    """Holds gRPC objects, by event loop."""

    def let_go(self) -> bool:
        """Before a fork: drop what is idle; whether there was anything."""
        ...

    def forget(self) -> list[object]:
        """After a fork, in the child: drop everything; what was still held is answered, so that it is kept from
        destruction: destroying a channel waits for threads that are not here."""
        ...


_living: Final[weakref.WeakSet[Forkable]] = weakref.WeakSet()
_lost: Final[list[object]] = []


def watch(holder: Forkable) -> None:
    """Tell it of forks, as long as it lives."""
    _living.add(holder)


def check_usable() -> None:
    """Raises:
    Unavailable: this process was forked during a call of its parent.
    """
    if _lost:
        raise Unavailable("this process was forked during a call of its parent: gRPC cannot be used in it")


def _before_fork() -> None:
    held = False
    for holder in list(_living):
        held = holder.let_go() or held
    if held:
        # gRPC's polling thread ends with its last object, and a closed stream may be in a cycle with its tasks.
        gc.collect()


def _after_fork_in_child() -> None:
    for holder in list(_living):
        _lost.extend(holder.forget())


if sys.platform != "win32":
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
