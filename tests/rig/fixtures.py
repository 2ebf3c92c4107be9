"""Pytest fixtures over the rig: ``pytest_plugins = ["rig.fixtures"]`` in ``tests/conftest.py``."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import pytest
import redis

from coherd_server.redis.connect import open_store
from coherd_server.redis.settings import StoreSettings
from coherd_server.redis.store import RedisStore
from rig import redis_user
from rig.cluster import Cluster, cluster
from rig.process import Node
from rig.proxy import FaultProxy
from rig.sentinel import SentinelTrio, sentinel_trio
from rig.valkey import BACKENDS, redis7, standalone


@dataclass(frozen=True)
class Backend:
    """One running installation, with a key prefix of the test's own. Do not kill its parts: others use it, too."""

    name: str
    url: str
    prefix: str
    rig: Node | Cluster | SentinelTrio

    def client(self) -> redis.Redis | redis.RedisCluster:
        """A synchronous client for looking at, and tampering with, what is stored."""
        return self.rig.primary().client() if isinstance(self.rig, SentinelTrio) else self.rig.client()

    def primaries(self) -> list[Node]:
        """Every primary."""
        if isinstance(self.rig, Cluster):
            return [node for node in self.rig.nodes if node.client().info("replication")["role"] == "master"]
        return [self.rig.primary() if isinstance(self.rig, SentinelTrio) else self.rig]


class RigPool:
    """Starts each installation once, when first asked for. Its URL logs in as a user that may do what is needed."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._rigs: dict[str, Node | Cluster | SentinelTrio] = {}

    def get(self, name: str) -> Node | Cluster | SentinelTrio:
        if name not in self._rigs:
            makers = {"standalone": standalone, "cluster": cluster, "sentinel": sentinel_trio, "redis7": redis7}
            rig = self._rigs[name] = self._stack.enter_context(makers[name]())
            redis_user.let_in([rig] if isinstance(rig, Node) else rig.nodes)
            rig.login = redis_user.LOGIN
        return self._rigs[name]

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="session")
def rig_pool() -> Iterator[RigPool]:
    """All installations of the session."""
    pool = RigPool()
    yield pool
    pool.close()


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, rig_pool: RigPool) -> Backend:
    """The test runs once per kind of installation; on Redis 7 where there is one."""
    rig = rig_pool.get(request.param)
    return Backend(request.param, rig.url, f"t{uuid.uuid4().hex[:12]}:", rig)


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """One Valkey of the test file's own, to stop or empty."""
    with standalone() as started:
        yield started


@pytest.fixture(scope="module")
def own_trio() -> Iterator[SentinelTrio]:
    """A Sentinel trio of the test file's own, whose primary may die."""
    with sentinel_trio() as started:
        yield started


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Cluster]:
    """A cluster of the test file's own, whose slots may move and whose primaries may die."""
    with cluster() as started:
        yield started


@pytest.fixture
async def proxy(node: Node) -> AsyncIterator[FaultProxy]:
    """A proxy before the file's `node`, which is emptied."""
    node.client().flushall()
    async with FaultProxy(node.port) as made:
        yield made


PATIENT: Final = {"connect_timeout_ms": 20_000, "reply_timeout_ms": 20_000, "deadline_ms": 60_000}
"""Of stores that are well: how long they take to answer says what else the machine does."""
HASTY: Final = {"connect_timeout_ms": 500, "reply_timeout_ms": 1_000, "deadline_ms": 2_000}
"""Of stores that fail: those of a server as it comes."""
Opener = Callable[..., Awaitable[RedisStore]]


@pytest.fixture
async def opener() -> AsyncIterator[Opener]:
    """``await opener(url, prefix="", **settings)``; the stores are closed after the test. They are `PATIENT` unless
    the settings say when a store is too late."""
    stores: list[RedisStore] = []

    async def make(url: str, prefix: str = "", **settings: int) -> RedisStore:
        stores.append(await open_store(url, prefix=prefix, settings=StoreSettings(**PATIENT | settings)))
        return stores[-1]

    yield make
    for one in stores:
        await one.close()


@pytest.fixture
async def store(backend: Backend, opener: Opener) -> RedisStore:
    """A store on each kind of installation, under the test's own prefix."""
    return await opener(backend.url, backend.prefix)
