"""A real `coherd serve` in a process of its own."""

from __future__ import annotations

import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rig.environment import inherited_environment

START_TIMEOUT_S = 300.0
PATIENT = ("--redis-timeout", "20s")
"""For servers whose store is well: how long it takes to answer says what else the machine does."""


class CoherdServer:
    """Starts on construction and waits until it listens; use as a context manager.

    Args:
        args: further arguments of ``coherd serve``.
        environ: further environment variables.
        module: what to run instead of ``coherd.cli``: module and arguments before ``serve``.
        errors_to: a descriptor for its standard error; `errors` is empty then.

    Raises:
        RuntimeError: it ended or said nothing within `START_TIMEOUT_S`; the text holds what it printed.
    """

    def __init__(
        self,
        *args: str,
        environ: Mapping[str, str] | None = None,
        module: Sequence[str] = ("coherd.cli",),
        errors_to: int | None = None,
    ) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the server
        command: Sequence[str] = (sys.executable, "-m", *module, "serve", "--listen", "127.0.0.1:0", *args)
        inherited = inherited_environment()
        self.process = subprocess.Popen(
            command,
            bufsize=0,  # select must see every line that was not read yet
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr if errors_to is None else errors_to,
            env={**inherited, "PYTHONUNBUFFERED": "1", **(environ or {})},
            cwd=Path(__file__).parents[2],
        )
        self.banner: list[str] = []
        try:
            self._wait_ready()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def _wait_ready(self) -> None:
        stdout = self.process.stdout
        if stdout is None:
            raise AssertionError("stdout is a pipe")
        end_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end_s:
            if select.select([stdout], [], [], 0.1)[0]:
                line = stdout.readline().decode()
                if line:
                    self.banner.append(line.rstrip())
                if line.startswith("ready"):
                    return
            if self.process.poll() is not None:
                break
        raise RuntimeError("coherd serve did not start:\n" + "\n".join(self.banner) + "\n" + self.errors())

    @property
    def target(self) -> str:
        """``host:port`` it listens on."""
        match = re.search(r"listening on (\S+)", self.banner[0])
        if match is None:
            raise AssertionError("the first line of the banner names the address")
        return match[1]

    @property
    def store_url(self) -> str:
        """URL of its embedded Valkey."""
        match = re.search(r"embedded Valkey at (\S+)", "\n".join(self.banner))
        if match is None:
            raise AssertionError("it has no embedded Valkey")
        return match[1]

    def errors(self) -> str:
        """What it has written to standard error so far: its log."""
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")

    def stop(self, *, timeout_s: float = 60.0) -> int:
        """SIGTERM and wait; the exit code. Idempotent."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL and wait."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> CoherdServer:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            self._stderr.close()
