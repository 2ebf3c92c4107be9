"""What holds gRPC objects, before and after a fork.

gRPC's asyncio side keeps one polling thread per process, which a forked child does not have, and wakes loops through a
socket, which the child shares: a channel that is alive at the fork never answers in the child, and a child that uses
gRPC all the same takes the wake-ups of its parent. So before a fork everything that is idle is let go, which stops all
that; the parent opens it anew at its next call, and the child starts clean. After a fork during a call, which is not
cut off, the child refuses to use gRPC.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from coherd._rpc.loop_ends import last_turns
from coherd._rpc.per_loop import PerLoop
from coherd.errors import Unavailable

LET_GO_TIMEOUT_S: Final = 0.5
"""Longest a fork waits for the event loop of another thread."""
_UNSAFE_FORK: Final = (
    "this process forks inside an event loop that has a session open, and gRPC may crash the child: "
    "fork before the loop runs, or set GRPC_ENABLE_FORK_SUPPORT=0"
)


class Connected(Protocol):
    """Holds gRPC objects of one event loop."""

    @property
    def is_connected(self) -> bool:
        """Whether it holds any now."""
        ...

    @property
    def in_use(self) -> bool:
        """Whether something is under way on them, which a fork does not cut off."""
        ...

    @property
    def ends_in_loop(self) -> bool:
        """Whether its loop must run `close`; else they end when it is dropped."""
        ...

    async def close(self) -> None:
        """Ends them, and what is under way."""
        ...


C = TypeVar("C", bound=Connected)


class ConnectedPerLoop(PerLoop[C]):
    """Like `PerLoop`, of what holds gRPC objects: lets them go before a fork.

    `current` raises `Unavailable` in a process that was forked during a call of its parent.
    """

    def __init__(self, make: Callable[[], C]) -> None:
        def make_usable() -> C:
            if _lost:
                raise Unavailable("this process was forked during a call of its parent: gRPC cannot be used in it")
            return make()

        super().__init__(make_usable)
        _living.add(self)

    async def end(self, item: C) -> None:
        try:
            await item.close()
        finally:
            await last_turns()

    def let_go(self) -> bool:
        """Before a fork: ends what is idle; whether there was anything.

        What its own loop must end cannot be ended while that loop itself runs the fork: the child will refuse to use
        it, if gRPC lets it live.
        """
        here = _running_loop()
        items = list(self.by_loop.items())
        for loop, item in items:
            if not item.is_connected or item.in_use:
                continue
            if loop.is_running() and loop is not here:
                self._let_go_elsewhere(loop)
            elif not item.ends_in_loop:
                self.by_loop.pop(loop, None)
            elif loop is here:
                if os.environ.get("GRPC_ENABLE_FORK_SUPPORT", "1").lower() not in ("0", "false", "no"):
                    # Its handlers start threads anew in the child that crash with what is open (seen with grpcio 1.85).
                    warnings.warn(_UNSAFE_FORK, RuntimeWarning, stacklevel=2)
            elif here is None and not loop.is_closed():
                try:
                    loop.run_until_complete(item.close())
                except RuntimeError:  # another thread began to run it just now
                    continue
                self.by_loop.pop(loop, None)
        return bool(items)

    def _let_go_elsewhere(self, loop: asyncio.AbstractEventLoop) -> None:
        done = threading.Event()

        async def end() -> None:
            await self._end_idle(loop)
            done.set()

        coroutine = end()
        try:
            asyncio.run_coroutine_threadsafe(coroutine, loop)
        except RuntimeError:  # it was closed just now
            coroutine.close()
            return
        done.wait(LET_GO_TIMEOUT_S)

    async def _end_idle(self, loop: asyncio.AbstractEventLoop) -> None:
        item = self.by_loop.get(loop)
        if item is not None and not item.in_use:
            if item.ends_in_loop:
                await item.close()
            self.by_loop.pop(loop, None)

    def forget(self) -> list[object]:
        """After a fork, in the child: starts with none. What was still held is answered, so that it is kept from
        destruction: destroying a channel waits for threads that are not here."""
        held: list[object] = [item for item in self.by_loop.values() if item.is_connected]
        self.by_loop.clear()
        return held


_living: Final[weakref.WeakSet[ConnectedPerLoop[Any]]] = weakref.WeakSet()
_lost: Final[list[object]] = []
"""What was under way in the parent when this process was forked."""


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


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
