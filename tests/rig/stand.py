"""Fixtures of the server's tests: a stand per kind of store, callers that close, and names of a test's own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from rig.calls import Caller
from rig.fixtures import Backend, RigPool
from rig.server import CoherdServer
from rig.valkey import BACKENDS

if TYPE_CHECKING:
    from conftest import ServerPool

SUITE_PREFIX = "suite:"
"""Key prefix of the shared servers (tests/conftest.py)."""


@dataclass(frozen=True)
class Stand:
    """A shared server, a caller of it, and the store behind it."""

    server: CoherdServer
    caller: Caller
    backend: Backend

    def redis(self) -> Any:
        """A client of the store, for looking and tampering; names there begin with `SUITE_PREFIX`."""
        return self.backend.client()


@pytest.fixture(params=BACKENDS)
def stand(request: pytest.FixtureRequest, server_pool: ServerPool, rig_pool: RigPool) -> Iterator[Stand]:
    """The test runs once per kind of store."""
    yield from _stand(request.param, server_pool, rig_pool)


@pytest.fixture
def single(server_pool: ServerPool, rig_pool: RigPool) -> Iterator[Stand]:
    """The stand before a standalone Valkey."""
    yield from _stand("standalone", server_pool, rig_pool)


def _stand(name: str, server_pool: ServerPool, rig_pool: RigPool) -> Iterator[Stand]:
    rig = rig_pool.get(name)
    server = server_pool.get(name)
    with Caller(server.target) as caller:
        yield Stand(server, caller, Backend(name, rig.url, SUITE_PREFIX, rig))


CallerMaker = Callable[..., Caller]


@pytest.fixture
def connect() -> Iterator[CallerMaker]:
    """``connect(target, token=…)``: a caller that is closed after the test."""
    with ExitStack() as stack:
        yield lambda target, **options: stack.enter_context(Caller(target, **options))


@pytest.fixture
def name() -> str:
    """An identifier of the test's own."""
    return uuid.uuid4().hex[:16]


@pytest.fixture
def secret(single: Stand) -> Iterator[str]:
    """A text that stands for a key's value or a payload: after the test it is nowhere in the shared server's log."""
    text = f"s3cret{uuid.uuid4().hex}"
    yield text
    log = single.server.errors()
    assert text not in log, "the log holds a value"
    assert '"level": "error"' not in log, f"the server had a defect:\n{log}"
