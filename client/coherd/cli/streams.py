"""The process's standard streams: closed or full ones, and encodings that lack characters, end no command in a
traceback.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import Final, TextIO

_OF_STREAMS: Final = (errno.EBADF, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC)


def prepare() -> None:
    """Once, before anything is written: what an encoding lacks is written as an escape, and closed streams are opened.

    stdin and stdout are opened so that using them fails: what nobody can read is no success. Whatever is opened next
    would else stand in their place, and get what libraries write.
    """
    for number, name, flags in ((0, "stdin", os.O_WRONLY), (1, "stdout", os.O_RDONLY), (2, "stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            _point_at_nothing(number, flags)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def do_without_output() -> None:
    """For a command that serves also if nobody reads what it says: a closed stdout is no failure then."""
    if sys.__stdout__ is None:
        _point_at_nothing(1, os.O_WRONLY)


def say(line: str) -> None:
    """Write a line to stdout; where that is closed or full, it and all later ones are lost, and nothing fails."""
    try:
        print(line, flush=True)
    except OSError:
        _give_up(sys.stdout)


def is_of_streams(error: OSError) -> bool:
    """Whether it says that a stream is closed or full, or its device broken."""
    return error.errno in _OF_STREAMS


def show_failed(error: OSError) -> None:
    """Write one line on a stream that failed to stderr, and give up what cannot be written, for the interpreter would
    try again at its end.
    """
    _give_up(sys.stdout)
    with contextlib.suppress(OSError):
        print(f"coherd: cannot read or write: {error.strerror or error}", file=sys.stderr, flush=True)
    _give_up(sys.stderr)


def _give_up(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError:
        _point_at_nothing(stream.fileno(), os.O_WRONLY)


def _point_at_nothing(number: int, flags: int) -> None:
    opened = os.open(os.devnull, flags)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
