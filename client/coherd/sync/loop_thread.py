"""The event loop behind blocking calls: one in a daemon thread of each process.

Any number of threads call `run` at one time; their coroutines share the loop, and with it the clients' connections. It
starts with the first call, so that a process may fork before (gunicorn, Celery); a child starts its own.

Handing a coroutine over costs two switches between threads. Calls that come while the loop is being woken share that
wake-up, and a caller sleeps on a queue of its own, which the loop fills: nothing polls.

gRPC does not stand a fork during a call (`coherd._rpc.forks`; a child may crash). So before a fork calls that
are under way are waited for, for a moment, and new ones wait until it is done.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import coherd._rpc.forks  # noqa: F401 - its hooks must come before those below
from coherd.errors import ClientClosed, Unavailable
from coherd.sync.call import Call

T = TypeVar("T")

STOP_TIMEOUT_S: Final = 1.0
"""Longest `LoopThread.stop` waits for what runs in the loop."""

_ROUNDS: Final = 5
"""How often the end of the loop cancels its tasks: a task that is cancelled may begin others, as a session does."""

REST_TIMEOUT_S: Final = 1.0
"""Longest a fork waits for calls of other threads. A caller that runs its own loader is not waited for."""


class LoopThread:
    """An event loop in a thread of its own, which starts when it is first needed."""

    def __init__(self) -> None:
        self._lost: list[object] = []
        self._held = False
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        """Held by a thread that hands over, starts, stops, or forks."""
        self._users: weakref.WeakSet[object] = weakref.WeakSet()
        self.loop: asyncio.AbstractEventLoop | None = None
        """Runs in this process; None: not yet, or no longer."""
        self._thread: threading.Thread | None = None
        self._handed_over: deque[Call[Any]] = deque()
        """Not yet seen by the loop, which takes them without the lock."""
        self._woken = False
        self._calls: set[Call[Any]] = set()
        """Handed over and not answered."""
        self._answered_one = threading.Event()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine, which runs in the loop's thread, in a copy of the caller's context; it blocks.

        Raises:
            RuntimeError: called in that thread, which would wait for itself.
            ClientClosed: the loop was stopped.
        """
        return self.finish(Call(coroutine))

    def finish(self, call: Call[T]) -> T:
        """The result of a call, whose thread also runs what the loop asks of it. It raises as `run` does."""
        try:
            self._hand_over(call)
            return call.wait()
        except BaseException:
            if call.leave():  # it was interrupted, perhaps before the loop saw it
                self._calls.discard(call)
            raise

    def _hand_over(self, call: Call[Any]) -> None:
        with self._lock:
            if threading.current_thread() is self._thread:
                raise RuntimeError("a blocking call in the thread that would have to answer it")
            loop = self.loop or self._start()
            call.loop = loop
            self._calls.add(call)
            self._handed_over.append(call)
            if not self._woken:
                self._woken = True
                loop.call_soon_threadsafe(self._take_over, loop)

    def _take_over(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop is not self.loop:
            return
        self._woken = False  # first: who comes from now on wakes the loop again
        while self._handed_over:
            self._handed_over.popleft().start(self._answered)

    def _answered(self, call: Call[Any]) -> None:
        self._calls.discard(call)
        self._answered_one.set()

    def _start(self) -> asyncio.AbstractEventLoop:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=_serve, args=(self.loop,), name="coherd", daemon=True)
        self._thread.start()
        return self.loop

    # Its end.

    def attach(self, user: object) -> None:
        """Counts a user of the loop, without keeping that user alive."""
        with self._lock:
            self._users.add(user)

    def detach(self, user: object) -> None:
        """Counts a user no longer; after the last one the loop stops. Safe to repeat."""
        with self._lock:
            self._users.discard(user)
            if self._users:
                return
        self.stop()

    def stop(self) -> None:
        """Ends the loop and cancels what runs in it: callers get `ClientClosed`. The next call starts another loop."""
        with self._lock:
            loop, thread = self.loop, self._thread
            calls, self._handed_over, self._calls = self._calls, deque(), set()
            self.loop = self._thread = None
            self._woken = False
        if loop is not None and thread is not None:
            with contextlib.suppress(RuntimeError):  # closed already
                loop.call_soon_threadsafe(loop.stop)
            if thread is not threading.current_thread():
                thread.join(STOP_TIMEOUT_S)
        for call in calls:
            call.fail(ClientClosed("the event loop was stopped during the call"))

    # Forks.

    def rest(self) -> None:
        """Lets calls end that are under way, and none begin, before a fork."""
        # Not for ever: a signal handler may fork in the thread that holds it.
        self._held = self._lock.acquire(timeout=REST_TIMEOUT_S)
        end_s = time.monotonic() + REST_TIMEOUT_S
        while True:
            self._answered_one.clear()
            left_s = end_s - time.monotonic()
            if left_s <= 0 or all(call.loads for call in list(self._calls)):
                return
            self._answered_one.wait(left_s)

    def go_on(self) -> None:
        """Lets calls begin again, in the parent after a fork."""
        if self._held:
            self._lock.release()

    def forget(self) -> None:
        """Begins anew in a forked child, which has the loop's memory and not its thread."""
        # Kept from destruction: closing the loop would take the parent's wake-ups off the selector that both share, and
        # the end of a call would wait for threads that are not here.
        self._lost.append((self.loop, self._calls))
        users, calls = list(self._users), self._calls
        self._begin()
        self._users.update(users)
        for call in calls:
            call.fail(Unavailable("this process was forked during the call"))


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        for _ in range(_ROUNDS):
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


LOOP: Final = LoopThread()
"""The loop of this process."""

if sys.platform != "win32":
    # Hooks before a fork run in reverse order: the connections rest when `forks` lets them go.
    os.register_at_fork(before=LOOP.rest, after_in_parent=LOOP.go_on, after_in_child=LOOP.forget)
atexit.register(LOOP.stop)
