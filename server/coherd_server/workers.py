"""Processes: one event loop each, started by spawn (gRPC does not survive a fork), supervised by the first one."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import multiprocessing
import multiprocessing.connection
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from multiprocessing.process import BaseProcess
from typing import Any, Final

import structlog
import uvloop

from coherd.cli import hangup
from coherd_server import log
from coherd_server.app import Server
from coherd_server.core.store import StoreUnavailable
from coherd_server.grpc_server import PortInUse
from coherd_server.setting_files import catalog_of
from coherd_server.settings import Settings, SettingsError, split_address

_log = structlog.get_logger("coherd.workers")
_START_TIMEOUT_S: Final = 60.0
_RESTART_AFTER_S: Final = 1.0
_LOOK_AFTER_S: Final = 1.0
_LAST_BREATH_S: Final = 1.0
"""How long a process that has closed its pipe may take to be gone, so that its exit code can be told."""


def run_single(
    settings: Settings, redis_url: str, announce: Callable[[int], None], look_after: Callable[[], None]
) -> str | None:
    """Serve in this process until SIGTERM or SIGINT; why it could not start, or None after a clean end.

    Args:
        settings: see `Settings`.
        redis_url: where entries live.
        announce: told the port once it serves.
        look_after: called about once a second, on this thread, while it serves.
    """
    try:
        reserve_port(settings.listen).close()  # gRPC would say it, too, in a line of its own
    except OSError as error:
        return _cannot_listen(settings.listen, error)
    return _run(_serve(settings, redis_url, share_port=False, announce=announce, look_after=look_after))


def _cannot_listen(listen: str, error: OSError) -> str:
    other = "; --listen HOST:PORT takes another port" if error.errno == errno.EADDRINUSE else ""
    return f"cannot listen on {listen}: {error.strerror or error}{other}"


def _run(serving: Coroutine[Any, Any, str | None]) -> str | None:
    """Run to the end on a loop of its own: uvloop costs a tenth less CPU per call (docs/operate/performance.md)."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serving)


def _nothing() -> None:
    """Nothing is looked after here."""


async def _serve(
    settings: Settings,
    redis_url: str,
    *,
    share_port: bool,
    announce: Callable[[int], None],
    look_after: Callable[[], None] = _nothing,
) -> str | None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    if not hangup.is_ignored():
        loop.add_signal_handler(signal.SIGHUP, _on_hangup, stopping.set)
    _stop_with_parent(loop, stopping)
    try:
        server = Server(settings, catalog_of(settings), redis_url, share_port=share_port)
        port = await server.start()
    except (StoreUnavailable, SettingsError, PortInUse) as error:
        return str(error)
    announce(port)
    while not stopping.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), _LOOK_AFTER_S)
            break
        look_after()
    _log.info("stopping")
    await server.stop()
    return None


def _on_hangup(stop: Callable[[], None]) -> None:
    """Many send SIGHUP to have settings read again, which ends nothing here; that of a terminal that goes does."""
    if hangup.terminal_is_gone():
        _log.info("the terminal is gone: ending")
        stop()
    else:
        _log.info("SIGHUP does nothing: settings are read at the start; restart to change them")


def _work(settings: Settings, redis_url: str, report: multiprocessing.connection.Connection) -> None:
    """Body of a worker process."""
    log.configure(settings.log_level, settings.log_format)

    def tell(problem: str | None) -> None:
        with contextlib.suppress(OSError):  # nobody reads: another worker's problem came first
            report.send(problem)

    problem = _run(_serve(settings, redis_url, share_port=True, announce=lambda port: tell(None)))
    if problem is not None:
        tell(problem)
        sys.exit(1)


def _stop_with_parent(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
    """A worker does not outlive its supervisor, however that ended."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def orphaned() -> None:
        loop.remove_reader(parent.sentinel)
        stopping.set()

    loop.add_reader(parent.sentinel, orphaned)


class Supervisor:
    """Keeps N workers alive on one port."""

    def __init__(self, settings: Settings, redis_url: str) -> None:
        self._settings = settings
        self._redis_url = redis_url
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._no_start = log.Repeated(_log)
        self._ended = log.Repeated(_log)
        self._stopping = False

    def run(self, announce: Callable[[int], None], look_after: Callable[[], None]) -> str | None:
        """Serve with workers until SIGTERM or SIGINT; arguments and answer are those of `run_single`."""
        try:
            reserved = reserve_port(self._settings.listen)
        except OSError as error:
            return _cannot_listen(self._settings.listen, error)
        host, _ = split_address(self._settings.listen)
        port = reserved.getsockname()[1]
        shown_host = f"[{host}]" if ":" in host else host
        self._settings = self._settings.model_copy(update={"listen": f"{shown_host}:{port}"})
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        if not hangup.is_ignored():
            signal.signal(signal.SIGHUP, lambda *_: _on_hangup(self._stop))
        try:
            problem = self._start_all()
            if problem is not None:
                return problem
            announce(port)
            self._supervise(look_after)
            return None
        finally:
            self._end_all()
            reserved.close()

    def _on_signal(self, number: int, frame: object) -> None:
        self._stop()

    def _stop(self) -> None:
        self._stopping = True

    def _start_all(self) -> str | None:
        self._workers = [self._spawn() for _ in range(self._settings.workers)]
        end_s = time.monotonic() + _START_TIMEOUT_S
        for worker in self._workers:
            if not worker.report.poll(max(0.0, end_s - time.monotonic())):
                return f"a worker was not ready within {_START_TIMEOUT_S:.0f} s"
            if (problem := worker.hear()) is not None:
                return problem
        return None

    def _spawn(self) -> _Worker:
        here, there = self._context.Pipe(duplex=False)
        arguments = (self._settings, self._redis_url, there)
        process = self._context.Process(target=_work, args=arguments, name="coherd-worker")
        handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as it is then for what starts, until it says otherwise
        process.start()
        signal.signal(signal.SIGHUP, handler)
        there.close()
        return _Worker(process, here)

    def _supervise(self, look_after: Callable[[], None]) -> None:
        looked_at_s = time.monotonic()
        while not self._stopping:
            if time.monotonic() - looked_at_s >= _LOOK_AFTER_S:
                look_after()
                looked_at_s = time.monotonic()
            running = [worker.process.sentinel for worker in self._workers if worker.ended_at_s is None]
            multiprocessing.connection.wait(running, timeout=0.2)
            for index, worker in enumerate(self._workers):
                if not self._stopping:
                    self._look_at(index, worker)

    def _look_at(self, index: int, worker: _Worker) -> None:
        """Hear what a worker says of its start, and replace one that has ended, a second later."""
        if not worker.heard and worker.report.poll():
            problem = worker.hear()
            if problem is None:
                self._no_start.over("workers start again")
                self._ended.over("a worker serves in its place")
            else:
                self._no_start.tell("a worker could not start; trying again", reason=problem)
        if worker.process.exitcode is None:
            return
        if worker.ended_at_s is None:
            worker.ended_at_s = time.monotonic()
            if worker.serves:
                self._ended.tell("a worker ended; starting another", exit_code=worker.process.exitcode)
        elif time.monotonic() - worker.ended_at_s >= _RESTART_AFTER_S:
            worker.report.close()
            self._workers[index] = self._spawn()

    def _end_all(self) -> None:
        for worker in self._workers:
            if worker.process.is_alive():
                worker.process.terminate()
        end_s = time.monotonic() + self._settings.drain_grace / 1000 + 5
        for worker in self._workers:
            worker.process.join(max(0.1, end_s - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


class _Worker:
    """A worker process, and what it has said of its start."""

    def __init__(self, process: BaseProcess, report: multiprocessing.connection.Connection) -> None:
        self.process = process
        self.report = report
        self.heard = False
        self.serves = False
        """It has said that it does."""
        self.ended_at_s: float | None = None
        """When it was seen that it has ended, `time.monotonic`."""

    def hear(self) -> str | None:
        """Take what it reports, which there must be: why it could not start; None where it serves."""
        self.heard = True
        try:
            problem: str | None = self.report.recv()
        except EOFError:
            self.process.join(_LAST_BREATH_S)
            return f"a worker ended while it started (exit code {self.process.exitcode})"
        self.serves = problem is None
        return problem


def reserve_port(listen: str) -> socket.socket:
    """A bound socket that holds the port for the workers and proves that nobody else serves it.

    Raises:
        OSError: the address is in use or not ours to take.
    """
    host, port = split_address(listen)
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of a server before may still linger
        probe.bind(address)
        chosen = probe.getsockname()[1]
    reserved = socket.socket(family, kind, protocol)
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind((*address[:1], chosen, *address[2:]))
    except OSError:
        reserved.close()
        raise
    return reserved
