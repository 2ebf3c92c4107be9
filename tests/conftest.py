"""Fixtures of every test: real stores (`rig.fixtures`) and a real server before each kind of them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import hypothesis
import pytest

from rig.server import PATIENT, CoherdServer
from rig.valkey import BACKENDS

if TYPE_CHECKING:
    from rig.fixtures import RigPool

hypothesis.settings.register_profile("ours", deadline=None)  # how long an example takes says what else the machine does
hypothesis.settings.load_profile("ours")
pytest_plugins = ["rig.fixtures", "rig.native", "rig.near", "rig.spread", "rig.stand"]


def pytest_configure() -> None:
    """Tests press Ctrl-C and hang up. Where this process was started to ignore that (a shell does so to what it puts
    into the background, and nohup), what it starts would ignore it too; a handler is not inherited."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)


class ServerPool:
    """Starts one server per kind of store once, when first asked for."""

    def __init__(self, rigs: RigPool) -> None:
        self._rigs = rigs
        self._servers: dict[str, CoherdServer] = {}

    def get(self, backend: str) -> CoherdServer:
        """The server before this kind of store."""
        if backend not in self._servers:
            url = self._rigs.get(backend).url
            self._servers[backend] = CoherdServer(
                "--redis", url, "--key-prefix", "suite:", "--log-format", "json", *PATIENT
            )
        return self._servers[backend]

    def close(self) -> None:
        """Stop all of them."""
        for server in self._servers.values():
            with server:
                pass


@pytest.fixture(scope="session")
def server_pool(rig_pool: RigPool) -> Iterator[ServerPool]:
    """All servers of the session."""
    pool = ServerPool(rig_pool)
    yield pool
    pool.close()


@pytest.fixture(params=BACKENDS)
def any_server(request: pytest.FixtureRequest, server_pool: ServerPool) -> CoherdServer:
    """The test runs once per kind of store. The server is shared: use identifiers of your own, do not stop it."""
    return server_pool.get(request.param)


@pytest.fixture
def server(server_pool: ServerPool) -> CoherdServer:
    """One shared server before a standalone Valkey. Use identifiers of your own, do not stop it."""
    return server_pool.get("standalone")


@pytest.fixture
def own_server() -> Iterator[CoherdServer]:
    """A server with an embedded Valkey of the test's own, to stop, kill or starve."""
    with CoherdServer("--log-format", "json") as one:
        yield one
