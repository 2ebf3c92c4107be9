"""Standard streams that take nothing: what cannot be said changes nothing, while a server serves and when it ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest

from rig.calls import Caller
from rig.processes import command, descendants, is_running
from rig.server import CoherdServer
from rig.stand import CallerMaker
from rig.waiting import wait_until


@contextmanager
def unwritable(how: str) -> Iterator[int]:
    """A descriptor that takes no line: its device is full, or it is a pipe that nobody reads any more, or not yet."""
    if how == "full":
        writing = os.open("/dev/full", os.O_WRONLY)
        reading = -1
    else:
        reading, writing = os.pipe()
        if how == "dead":
            os.close(reading)
            reading = -1
        else:
            os.set_blocking(writing, False)
            try:
                while True:
                    os.write(writing, bytes(4096))
            except BlockingIOError:
                os.set_blocking(writing, True)
    try:
        yield writing
    finally:
        os.close(writing)
        if reading >= 0:
            os.close(reading)


def is_set(caller: Caller) -> bool:
    """Whether it stores."""
    try:
        return caller.set("celery:own:id:1") == "STORED"
    except grpc.RpcError:
        return False


@pytest.mark.parametrize("how", ["full", "dead", "blocked"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_line_that_cannot_be_logged_changes_nothing(connect: CallerMaker, how: str, workers: str) -> None:
    """Health follows the store, what ends is started again, and the end is clean."""
    with unwritable(how) as errors, CoherdServer("--workers", workers, errors_to=errors) as server:
        caller = connect(server.target)
        assert is_set(caller)

        def valkey() -> int:
            return next((pid for pid in descendants(server.process.pid) if "valkey-server" in command(pid)), 0)

        stopped = valkey()
        os.kill(stopped, signal.SIGSTOP)
        wait_until("health says so", lambda: caller.health() == "NOT_SERVING")
        os.kill(stopped, signal.SIGCONT)
        wait_until("health is back", lambda: caller.health() == "SERVING")
        os.kill(stopped, signal.SIGKILL)
        wait_until("the store is started again", lambda: valkey() not in (0, stopped))
        wait_until("it stores", lambda: is_set(caller))
        if workers == "2":
            before = {pid for pid in descendants(server.process.pid) if "spawn_main" in command(pid)}
            os.kill(min(before), signal.SIGKILL)

            def replaced() -> bool:
                now = {pid for pid in descendants(server.process.pid) if "spawn_main" in command(pid)}
                return len(now) == 2 and min(before) not in now

            wait_until("the worker is replaced", replaced)
        children = descendants(server.process.pid)
        assert server.stop() == 0
        wait_until("no child is left", lambda: not any(map(is_running, children)))


def test_a_stop_that_nobody_hears_of_is_clean() -> None:
    with CoherdServer() as server:
        assert server.process.stdout is not None
        server.process.stdout.close()
        assert server.stop() == 0
        assert "Traceback" not in server.errors()
        assert "Broken pipe" not in server.errors()
