"""SIGHUP, and a terminal that goes: a server that was started on it ends, unless it is to outlive it; others do not."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.processes import descendants, is_running
from rig.waiting import wait_until

ROOT = Path(__file__).parents[3]
ON_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
AS_NOHUP = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
FIRST_MOMENT = """
import importlib.abc, os, signal, sys
class AtImport(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "coherd.cli.app" and not sys.meta_path.remove(self):
            os.kill(os.getpid(), signal.SIGHUP)
sys.meta_path.insert(0, AtImport())
"""


class OnTerminal:
    """`coherd serve` in the foreground of a terminal of its own."""

    def __init__(self, *args: str, before: tuple[str, ...] = ()) -> None:
        self._terminal, slave = pty.openpty()
        serve = (sys.executable, "-m", "coherd.cli", "serve", "--listen", "127.0.0.1:0", *args)
        self.process = subprocess.Popen(
            (sys.executable, "-c", ON_TERMINAL, *before, *serve),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            cwd=ROOT,
        )
        os.close(slave)

    def wait_ready(self) -> None:
        said = b""
        while b"ready; Ctrl-C" not in said:
            said += os.read(self._terminal, 4096)

    def hang_up(self) -> None:
        os.close(self._terminal)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)


@contextlib.contextmanager
def on_terminal(*args: str, before: tuple[str, ...] = ()) -> Iterator[OnTerminal]:
    server = OnTerminal(*args, before=before)
    try:
        yield server
    finally:
        server.end()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_ends_with_its_terminal(workers: str) -> None:
    with on_terminal("--workers", workers) as server:
        server.wait_ready()
        children = descendants(server.process.pid)
        server.process.send_signal(signal.SIGHUP)  # the terminal is still there
        server.hang_up()
        assert server.process.wait(60) == 0
        wait_until("no child is left", lambda: not any(map(is_running, children)))


def test_a_server_that_is_to_outlive_its_terminal_does() -> None:
    with on_terminal(before=(sys.executable, "-c", AS_NOHUP)) as server:
        server.wait_ready()
        children = descendants(server.process.pid)
        server.hang_up()
        server.process.send_signal(signal.SIGHUP)
        wait_until("the terminal is gone", lambda: _terminal_of(server.process.pid) == 0)
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(2)
        assert set(descendants(server.process.pid)) == set(children)


def _terminal_of(pid: int) -> int:
    """Device number of its controlling terminal; 0 where there is none."""
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[4])


@pytest.mark.parametrize(("command", "code"), [("serve", 0), ("get", -signal.SIGHUP)])
def test_sighup_in_the_first_moments_ends_no_server(tmp_path: Path, command: str, code: int) -> None:
    """Before the command is even imported; other commands end, as ever."""
    (tmp_path / "sitecustomize.py").write_text(FIRST_MOMENT)
    environ = {"PYTHONPATH": f"{tmp_path}:{ROOT / 'client'}:{ROOT / 'server'}", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        (sys.executable, "-m", "coherd.cli", command, "--help"),
        env=environ,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stderr
