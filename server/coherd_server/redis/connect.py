"""Open the store a URL names."""

from __future__ import annotations

from pathlib import Path

from coherd_server.core.store import StoreUnavailable
from coherd_server.redis.cluster import ClusterTopology
from coherd_server.redis.recent_writes import RecentWrites
from coherd_server.redis.redis_url import FILE_OPTIONS, Mode, RedisTarget, parse_redis_url
from coherd_server.redis.sentinel import SentinelTopology
from coherd_server.redis.settings import StoreSettings
from coherd_server.redis.store import RedisStore
from coherd_server.redis.topology import SingleTopology, Topology


async def open_store(
    target: RedisTarget | str, *, prefix: str = "", settings: StoreSettings | None = None
) -> RedisStore:
    """Connect to every primary and return the store; it belongs to the running event loop. Of a cluster some primaries
    may be lost, as long as one answers.

    ``prefix`` goes before every name in Redis, braces excluded: they would change the hash slot.

    Raises:
        StoreUnavailable: not reachable within ``deadline_ms``; one line, no secrets.
        RedisUrlError: the URL cannot be used.
        ValueError: the prefix holds a brace.
    """
    if "{" in prefix or "}" in prefix:
        raise ValueError("the key prefix must not hold braces")
    settings = settings or StoreSettings()
    target = parse_redis_url(target) if isinstance(target, str) else target
    recent_writes = RecentWrites()
    topology = _topology(target, settings, recent_writes)
    store = RedisStore(target, topology, settings, recent_writes, prefix=prefix)
    try:
        _check_files(target)
        await topology.start()
        await store.ping()
        await store.probe()
    except StoreUnavailable as error:
        await store.close()
        text = str(error).removeprefix(f"{target.describe()}: ")
        raise StoreUnavailable(f"cannot use {target.describe()}: {text}") from None
    except BaseException:
        await store.close()
        raise
    return store


def _check_files(target: RedisTarget) -> None:
    """Raises:
    StoreUnavailable: a file that the URL names cannot be read; else each connection would fail without naming it.
    """
    for option, name in target.tls_options:
        if option in FILE_OPTIONS and isinstance(name, str):
            try:
                Path(name).open("rb").close()
            except OSError as error:
                raise StoreUnavailable(f"{option}: {name}: cannot be read: {error.strerror}") from None


def _topology(target: RedisTarget, settings: StoreSettings, recent_writes: RecentWrites) -> Topology:
    match target.mode:
        case Mode.SINGLE:
            return SingleTopology(target, settings, recent_writes)
        case Mode.SENTINEL:
            return SentinelTopology(target, settings, recent_writes)
        case Mode.CLUSTER:
            return ClusterTopology(target, settings, recent_writes)
