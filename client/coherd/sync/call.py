"""One blocking call: a coroutine that runs in the loop, and the thread that waits for it.

While it waits, the thread runs what the loop asks of it: a loader belongs in the thread of its caller, whose database
session or transaction it may need. It is asked for one thing at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import Any, Generic, TypeVar, cast

from coherd.errors import ClientClosed

T = TypeVar("T")


class Job:
    """A function that a thread runs for a coroutine. The loop makes it.

    Args:
        function: what to run.
    """

    __slots__ = ("_ended", "_function", "_loop", "done", "started")

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._loop = asyncio.get_running_loop()
        self._ended: Callable[[], None] | None = None
        self.done: asyncio.Future[Any] = self._loop.create_future()
        """What the function returns or raises. Cancelling it leaves a function alone that has begun."""
        self.started = False

    def run(self) -> None:
        """Runs the function in this thread. What it raises becomes the future's exception; what is no `Exception` is
        raised here, and cancels the future."""
        self.started = True
        value: Any = None
        error: Exception | None = None
        try:
            if not self.done.cancelled():
                value = self._function()
        except StopIteration as stopped:  # a future cannot carry it
            error = RuntimeError("the loader raised StopIteration")
            error.__cause__ = stopped
        except Exception as raised:  # noqa: BLE001 - whatever it raises is its callers'
            error = raised
        except BaseException:
            self._post(self.done.cancel)
            raise
        self._post(self._settle, value, error)

    def run_in(self, ended: Callable[[], None]) -> None:
        """Says, in the loop, that a thread is about to run the function; ``ended`` is called in the loop after it."""
        self._ended = ended

    def run_in_own_thread(self) -> None:
        """Runs the function in a thread that ends with it, in a copy of the current context."""
        self._ended = None
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self.run,), name="coherd-load", daemon=True).start()

    def _post(self, act: Callable[..., object], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
            self._loop.call_soon_threadsafe(act, *arguments)

    def _settle(self, value: object, error: Exception | None) -> None:
        if self._ended is not None:
            self._ended()
        if self.done.done():
            return
        if error is None:
            self.done.set_result(value)
        else:
            self.done.set_exception(error)


class Call(Generic[T]):
    """A blocking call: its thread makes it, hands it over to the loop, and waits for its answer.

    Args:
        coroutine: what to run in the loop, in a copy of the caller's context; closed if it never gets there.
    """

    __slots__ = ("_answered", "_busy", "_context", "_coroutine", "_error", "_inbox", "_job", "_task", "_value", "loop")

    loop: asyncio.AbstractEventLoop | None
    """The loop in which the coroutine runs; None until the call is handed over."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._context = contextvars.copy_context()
        self.loop = None
        self._inbox: SimpleQueue[Job | None] = SimpleQueue()
        """Jobs; None: the call is answered."""
        self._value: T | None = None
        self._error: BaseException | None = None
        self._task: asyncio.Task[None] | None = None
        self._job: Job | None = None
        """The last one the thread was asked for."""
        self._busy = False
        """The thread runs it."""
        self._answered = False

    def wait(self) -> T:
        """The coroutine's result.

        Raises:
            BaseException: what it raised, or what interrupted this thread.
        """
        while (job := self._inbox.get()) is not None:
            job.run()
        if self._error is None:
            return cast(T, self._value)
        error, self._error = self._error, None
        try:
            raise error
        finally:
            del error  # its traceback holds this frame

    def leave(self) -> bool:
        """Ends the wait: the coroutine is cancelled, and a job that was not begun gets a thread of its own.

        False if the call was answered: then there is nothing to leave.
        """
        if self._answered:
            return False
        if self.loop is None:
            self.close()
        else:
            with contextlib.suppress(RuntimeError):  # the loop was closed: nothing runs in it
                self.loop.call_soon_threadsafe(self._abandon)
        return True

    @property
    def loads(self) -> bool:
        """Whether the thread runs a job."""
        return self._busy

    def close(self) -> None:
        """Drops the coroutine, which was not run."""
        self._coroutine.close()

    def fail(self, error: Exception) -> None:
        """Answers with an error, after the loop has ended, or in a process that does not have its thread."""
        if self._task is None:
            self.close()
        self._error = error
        self._answer()

    # In the loop.

    def start(self, answered: Callable[[Call[Any]], None]) -> None:
        """Runs the coroutine; ``answered`` is called before the caller goes on."""
        if self._answered or self.loop is None:  # its caller left before
            return
        self._task = self.loop.create_task(self._run(answered), context=self._context)

    async def _run(self, answered: Callable[[Call[Any]], None]) -> None:
        try:
            self._value = await self._coroutine
        except asyncio.CancelledError:
            self._error = ClientClosed("the event loop was stopped during the call")
        except BaseException as error:  # noqa: BLE001 - it is raised in the caller's thread
            self._error = error
        answered(self)
        self._answer()

    def _answer(self) -> None:
        self._answered = True
        self._inbox.put(None)

    def offer(self, job: Job) -> bool:
        """Gives the job to the thread; False if the thread runs another one, or waits no longer."""
        if self._answered or self._busy:
            return False
        self._busy = True
        self._job = job
        job.run_in(self._end_job)
        self._inbox.put(job)
        return True

    def _end_job(self) -> None:
        self._busy = False
        self._job = None

    def _abandon(self) -> None:
        self._answered = True
        if self._job is not None and not self._job.started:
            self._job.run_in_own_thread()
        if self._task is None:
            self.close()
        else:
            self._task.cancel()
