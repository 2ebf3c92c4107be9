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
        self._workers: list[BaseProcess] = []
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
        self._stopping = True

    def _start_all(self) -> str | None:
        pipes = []
        for _ in range(self._settings.workers):
            worker, pipe = self._spawn()
            self._workers.append(worker)
            pipes.append(pipe)
        end_s = time.monotonic() + _START_TIMEOUT_S
        for pipe in pipes:
            try:
                if not pipe.poll(max(0.0, end_s - time.monotonic())):
                    return f"a worker was not ready within {_START_TIMEOUT_S:.0f} s"
                problem: str | None = pipe.recv()
            except EOFError:
                return "a worker ended while it started"
            if problem is not None:
                return problem
        return None

    def _spawn(self) -> tuple[BaseProcess, multiprocessing.connection.Connection]:
        here, there = self._context.Pipe(duplex=False)
        arguments = (self._settings, self._redis_url, there)
        worker = self._context.Process(target=_work, args=arguments, name="coherd-worker")
        worker.start()
        there.close()
        return worker, here

    def _supervise(self, look_after: Callable[[], None]) -> None:
        looked_at_s = time.monotonic()
        while not self._stopping:
            if time.monotonic() - looked_at_s >= _LOOK_AFTER_S:
                look_after()
                looked_at_s = time.monotonic()
            multiprocessing.connection.wait([worker.sentinel for worker in self._workers], timeout=0.2)
            for index, worker in enumerate(self._workers):
                if worker.exitcode is None or self._stopping:
                    continue
                _log.error("a worker ended; starting another", exit_code=worker.exitcode)
                time.sleep(_RESTART_AFTER_S)
                self._workers[index], _ = self._spawn()

    def _end_all(self) -> None:
        for worker in self._workers:
            if worker.is_alive():
                worker.terminate()
        end_s = time.monotonic() + self._settings.drain_grace / 1000 + 5
        for worker in self._workers:
            worker.join(max(0.1, end_s - time.monotonic()))
            if worker.is_alive():
                worker.kill()
                worker.join()


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
