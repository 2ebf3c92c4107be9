"""The backend of a dogpile region."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from dogpile.cache.api import NO_VALUE, BytesBackend, CacheMutex, SerializedReturnType

from coherd._rpc.protocol import Transport
from coherd._rpc.unary import UnaryTransport
from coherd.client import DEFAULT_TIMEOUT_MS, CacheClient
from coherd.contract.limits import DEFAULT_LEASE_MS, MAX_LEASE_MS, MIN_LEASE_MS
from coherd.contrib.dogpile.keys import BytesKey, lock_key, value_key
from coherd.contrib.dogpile.mutex import CoherdMutex
from coherd.results import InvalidateResult
from coherd.selectors import Resource, Selector
from coherd.sync.loop_thread import LOOP

DEFAULT_TARGET: Final = "localhost:50051"
DEFAULT_RESOURCE: Final = "dogpile"


class CoherdBackend(BytesBackend):
    """Keeps a region's values in one resource of a Coherd domain, and its creation locks as leases.

    Blocking, as dogpile is: do not use it in the thread of an event loop. One backend serves any number of threads, and
    works in processes forked later.

    Arguments of the region (``arguments={…}``); unknown ones are ignored, as by dogpile's own backends:

    - ``target``: ``host:port`` of the service; default ``localhost:50051``.
    - ``domain``: required; the domain whose policy, tags and access rules apply. It is open, or declares the resource.
    - ``resource``: default ``dogpile``. A declared one has the single string identifier ``key``.
    - ``ttl_s``: how long values are kept, in seconds; default: as the catalog says. Give at least the region's
      ``expiration_time``, and more where expired values shall be served while one caller creates a new one.
    - ``tags``: a function from dogpile's key to the extra tags by which its value is invalidated: ``{"user": "u1"}``.
    - ``distributed_lock``: one creator over all processes, not only over threads; default true.
    - ``lock_lease_s``: how long a lock outlives a process that died, in seconds, 0.01..600; default 10.
    - ``timeout_ms``, ``on_unavailable``, ``tls``, ``token``: as in `CacheClient.connect`.
    - ``transport``: instead of ``target``, ``tls`` and ``token``; for tests ``FakeCache().transport``.
    """

    client: CacheClient
    """The client it uses, in the loop of `coherd.sync.loop_thread`."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        """Does no I/O.

        Raises:
            ValueError: an argument is missing or out of its range.
            Refusal: domain or resource is no name.
        """
        domain = arguments.get("domain")
        if not domain:
            raise ValueError("dogpile.cache.coherd needs the argument 'domain'")
        self._domain: str = domain
        self._resource: str = arguments.get("resource", DEFAULT_RESOURCE)
        value_key(self._domain, self._resource, "probe")
        ttl_s = arguments.get("ttl_s")
        self._ttl = None if ttl_s is None else timedelta(seconds=ttl_s)
        self._tags: Callable[[str], Mapping[str, str]] | None = arguments.get("tags")
        self._distributed_lock = bool(arguments.get("distributed_lock", True))
        self._lease_ms = round(arguments.get("lock_lease_s", DEFAULT_LEASE_MS / 1_000) * 1_000)
        if not MIN_LEASE_MS <= self._lease_ms <= MAX_LEASE_MS:
            raise ValueError(f"lock_lease_s must be in {MIN_LEASE_MS / 1_000}..{MAX_LEASE_MS // 1_000}")
        self._timeout_ms: int = arguments.get("timeout_ms", DEFAULT_TIMEOUT_MS)
        on_unavailable = arguments.get("on_unavailable", "raise")
        self._lenient = on_unavailable == "miss"
        self._transport: Transport = arguments.get("transport") or UnaryTransport(
            arguments.get("target", DEFAULT_TARGET), tls=arguments.get("tls"), token=arguments.get("token")
        )
        self.client = CacheClient(self._transport, timeout_ms=self._timeout_ms, on_unavailable=on_unavailable)
        LOOP.attach(self)

    def get_mutex(self, key: str) -> CacheMutex | None:
        """The creation lock of a key; None, for dogpile's own, if ``distributed_lock`` is false."""
        if not self._distributed_lock:
            return None
        return CoherdMutex(
            self._transport,
            lock_key(self._domain, self._resource, key),
            lease_ms=self._lease_ms,
            timeout_ms=self._timeout_ms,
            lenient=self._lenient,
        )

    def get_serialized(self, key: str) -> SerializedReturnType:
        """The bytes under a key."""
        value = LOOP.run(self.client.get(self._key(key)))
        return NO_VALUE if value is None else value

    def get_serialized_multi(self, keys: Iterable[str]) -> Sequence[SerializedReturnType]:
        """The bytes under each key, in order."""
        asked = [self._key(key) for key in keys]
        values = LOOP.run(self.client.get_many(asked))
        return [NO_VALUE if value is None else value for value in map(values.get, asked)]

    def set_serialized(self, key: str, value: bytes) -> None:
        """Store bytes."""
        LOOP.run(self.client.set(self._key(key), value, ttl=self._ttl, tags=self._tags_of(key)))

    def set_serialized_multi(self, mapping: Mapping[str, bytes]) -> None:
        """Store many, in one call for each set of extra tags."""
        alike: dict[frozenset[tuple[str, str]], dict[BytesKey, bytes]] = {}
        for key, value in mapping.items():
            tags = frozenset((self._tags_of(key) or {}).items())
            alike.setdefault(tags, {})[self._key(key)] = value
        for tags, items in alike.items():
            LOOP.run(self.client.set_many(items, ttl=self._ttl, tags=dict(tags) or None))

    def delete(self, key: str) -> None:
        """Remove a key."""
        LOOP.run(self.client.delete(self._key(key)))

    def delete_multi(self, keys: Iterable[str]) -> None:
        """Remove many keys; the caller must be allowed to invalidate."""
        chosen = [self._key(key) for key in keys]
        if chosen:
            self.invalidate(*chosen)

    def invalidate(self, *selectors: Selector) -> InvalidateResult:
        """Invalidate by tag, named invalidation, resource or domain, for every process at once; without a selector all
        that the region has stored.

        dogpile's own `region.invalidate()` is remembered in one process only.
        """
        return LOOP.run(self.client.invalidate(*(selectors or (Resource(self._domain, self._resource),))))

    def close(self) -> None:
        """Close the connection; later calls raise `ClientClosed`."""
        LOOP.run(self.client.close())
        LOOP.detach(self)

    def _key(self, text: str) -> BytesKey:
        return value_key(self._domain, self._resource, text)

    def _tags_of(self, key: str) -> Mapping[str, str] | None:
        return None if self._tags is None else self._tags(key)
