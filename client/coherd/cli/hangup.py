"""SIGHUP of a command that serves: many send it to have settings read again, and a terminal that goes sends it, too.

Only when the terminal goes that the command was started on, the command ends; one that was started to outlive it
(nohup) hears nothing of either.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Final

EXIT_CODE: Final = 128 + signal.SIGHUP
_SERVING: Final = "serve"
_state = {"terminal": False, "ignored": False}


def prepare(arguments: list[str]) -> None:
    """Once, as early as can be, with the arguments of the process: until the command is there to hear it, SIGHUP ends
    it only when its terminal goes.
    """
    if arguments[:1] != [_SERVING]:
        return
    _state["terminal"] = _has_terminal()
    _state["ignored"] = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    if not _state["ignored"]:
        signal.signal(signal.SIGHUP, _hear)


def is_ignored() -> bool:
    """Whether the process was started with SIGHUP ignored, as nohup does: then it stays so."""
    return _state["ignored"]


def terminal_is_gone() -> bool:
    """Whether the process was started on a terminal that is no longer there."""
    return _state["terminal"] and not _has_terminal()


def _hear(number: int, frame: FrameType | None) -> None:
    if terminal_is_gone():
        raise SystemExit(EXIT_CODE)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
