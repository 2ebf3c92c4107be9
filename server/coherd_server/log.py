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
from typing import Final

import structlog

_CHUNK_BYTES: Final = select.PIPE_BUF
"""A pipe that says it takes something takes so much without waiting."""


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
