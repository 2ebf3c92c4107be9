"""A ``coherd serve`` with an embedded Valkey in a process of its own, for as long as a command needs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Final

from coherd._native import SWITCHES
from coherd.cli.output import CommandFailure, ExitCode

START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 15.0

_LISTENING: Final = re.compile(r"listening on (\S+)")
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def child_server() -> Iterator[str]:
    """Start a server on a free loopback port; gives its ``host:port`` and stops it at the end.

    The server is in a session of its own, so that Ctrl-C reaches only us and we stop it in order. SIGTERM and SIGHUP
    end this process in order, too. To be used on the main thread. The server's settings are the defaults: variables
    ``COHERD_…`` of the environment are not passed on, but for those that choose the implementation.

    Raises:
        CommandFailure: it did not start within `START_TIMEOUT_S` (UNAVAILABLE).
        SystemExit: SIGTERM or SIGHUP came: 128 and its number.
    """
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("COHERD_") or name in SWITCHES
    }
    command = (sys.executable, "-m", "coherd.cli", "serve", "--listen", "127.0.0.1:0", "--log-level", "warning")
    with tempfile.TemporaryFile() as errors, _ended_in_order():
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**environment, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        try:
            target = _target(process)
            if target is None:
                errors.seek(0)
                raise CommandFailure(f"the server did not start: {_last_line(errors.read())}", ExitCode.UNAVAILABLE)
            yield target
        finally:
            _stop(process)


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Signals that would end the process on the spot raise `SystemExit` instead, so that what stands open is closed."""
    before = {number: signal.signal(number, _end) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, frame: object) -> None:
    for one in _ENDING:
        signal.signal(one, signal.SIG_IGN)  # it is ending: a second one must not cut that short
    sys.exit(128 + number)


def _target(process: subprocess.Popen[bytes]) -> str | None:
    """The address of a server once it says it is ready; None if it ends, or is not ready in time and is ended."""
    assert process.stdout is not None, "stdout is a pipe"
    target: str | None = None
    timer = Timer(START_TIMEOUT_S, process.kill)
    timer.start()
    try:
        for raw in process.stdout:
            line = raw.decode(errors="replace")
            if (listening := _LISTENING.search(line)) is not None:
                target = listening[1]
            if line.startswith("ready"):
                return target
    finally:
        timer.cancel()
    return None


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except BaseException as error:  # also a second Ctrl-C; its Valkey ends with it
            process.kill()
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
    assert process.stdout is not None, "stdout is a pipe"
    process.stdout.close()


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
