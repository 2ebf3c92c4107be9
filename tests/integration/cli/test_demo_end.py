"""`coherd demo` that is ended from outside."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from rig.processes import command, descendants, is_running
from rig.waiting import wait_until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name)
def test_nothing_of_it_goes_on(number: signal.Signals) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "coherd.cli", "demo", "--requests", "1000000"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    children: list[int] = []
    try:
        assert demo.stdout is not None
        while not demo.stdout.readline().startswith(b"Replaying"):
            assert demo.poll() is None
        children = descendants(demo.pid)
        assert any("valkey-server" in command(pid) for pid in children)
        demo.send_signal(number)
        _, errors = demo.communicate(timeout=120)
        assert demo.returncode == (130 if number is signal.SIGINT else 128 + number)
        assert b"Traceback" not in errors
        wait_until("no child is left", lambda: not any(map(is_running, children)))
    finally:
        demo.kill()
        demo.wait()
