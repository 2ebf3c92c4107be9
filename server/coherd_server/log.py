"""Structured logs on standard error. What is logged never holds a key's values or a payload.

A line that cannot be written is lost, and changes nothing else: whoever logs does not learn of it, and does not wait.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import select
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog

_CHUNK_BYTES: Final = select.PIPE_BUF
"""A pipe that says it takes something takes so much without waiting."""
REPEAT_AFTER_S: Final = 60.0
"""How often the same is told again."""
MOST_A_MINUTE: Final = 4
"""Lines of one thing that comes and goes."""


class LossyWriter:
    """Writes lines to a descriptor that may be full, closed, or read by nobody; those that do not fit are lost.

    Not over the stream of Python: what that cannot write it keeps, and tries again at the end of the process.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._cut = False

    def msg(self, line: str) -> None:
        """Write a line, or lose it; never raises, never waits."""
        data = f"{line}\n".encode(errors="backslashreplace")
        if self._cut:  # what is left of a line before: the next one begins on its own
            data = b"\n" + data
        while data:
            try:
                if not self._poll.poll(0):
                    break
                written = os.write(self._descriptor, data[:_CHUNK_BYTES])
            except OSError:
                break
            self._cut = data[written - 1 : written] != b"\n"
            data = data[written:]

    debug = info = warning = error = critical = exception = log = msg


class _LossyStream:
    """As `LossyWriter`, for a stream without a descriptor."""

    def __init__(self, stream: io.TextIOBase) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        """Write a line, or lose it; never raises."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(f"{line}\n")
            self._stream.flush()

    debug = info = warning = error = critical = exception = log = msg


class Repeated:
    """Tells of something that goes wrong again and again: at first, when it changes, and once a minute with how often.

    What comes and goes, or has a new reason each time, is told `MOST_A_MINUTE` times a minute at most.

    Args:
        logger: where it is told.
        clock: seconds that only grow.
        severity: the level at which it is told.
    """

    def __init__(
        self,
        logger: structlog.typing.FilteringBoundLogger,
        clock: Callable[[], float] = time.monotonic,
        *,
        severity: int = logging.ERROR,
    ) -> None:
        self._logger = logger
        self._clock = clock
        self._severity = severity
        self._told: tuple[str, dict[str, object]] | None = None
        self._told_at_s: deque[float] = deque(maxlen=MOST_A_MINUTE)
        self._times = 0

    def tell(self, event: str, **fields: object) -> bool:
        """It went wrong once more; ``times`` counts from the first. Whether it is told."""
        self._times += 1
        if not self._may_tell((event, fields)):
            return False
        self._told = (event, fields)
        self._told_at_s.append(self._clock())
        self._logger.log(self._severity, event, **fields, **({"times": self._times} if self._times > 1 else {}))
        return True

    def _may_tell(self, line: tuple[str, dict[str, object]]) -> bool:
        told_at_s, since_s = self._told_at_s, self._clock() - REPEAT_AFTER_S
        if len(told_at_s) == MOST_A_MINUTE and told_at_s[0] > since_s:
            return False
        return self._told != line or told_at_s[-1] <= since_s

    @property
    def goes_on(self) -> bool:
        """Whether the last that was told is that it goes wrong."""
        return self._told is not None

    def over(self, event: str) -> None:
        """It goes well again, which is told where it was told that it does not."""
        if self._told is not None:
            self._told = None
            self._logger.info(event, failed=self._times)
            self._times = 0


def _writer() -> LossyWriter | _LossyStream:
    try:
        return LossyWriter(sys.stderr.fileno())
    except (OSError, ValueError):
        return _LossyStream(sys.stderr)  # type: ignore[arg-type]  # whatever stands in for it has write and flush


def configure(level: str, form: str) -> None:
    """Set up logging for the process.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        form: ``console``, ``json``, or ``auto``: console on a terminal.
    """
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if console else structlog.processors.JSONRenderer()
    )
    writer = _writer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=lambda *args: writer,
    )
