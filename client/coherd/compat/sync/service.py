"""What the blocking services have in common: the methods of the asynchronous ones, over verbs that block.

A familiar method is a coroutine function only because the verbs it awaits are. Over verbs that block it never suspends,
so it runs to its end in the calling thread, where the near cache answers without another thread.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, ClassVar, TypeVar, cast

from coherd.compat.sync.default_client import default_client
from coherd.key import Key
from coherd.results import InvalidateResult, SetResult
from coherd.selectors import Selector
from coherd.sync.client import CacheClient
from coherd.v1.cache_service_pb2 import DomainMetrics

T = TypeVar("T")


class BlockingService:
    """A blocking twin of a familiar service."""

    _kind: ClassVar[type[Any]]
    """The service with coroutines."""

    def __init__(self, client: CacheClient | None = None) -> None:
        """
        Args:
            client: None: the default client, opened on first use.
        """
        self._asynchronous = self._kind(_AwaitedVerbs(client))

    @staticmethod
    def _wait(coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine that awaits nothing but `_AwaitedVerbs`."""
        try:
            coroutine.send(None)
        except StopIteration as end:
            return cast(T, end.value)
        coroutine.close()
        raise RuntimeError("a familiar method waits for something else than the cache")


class _AwaitedVerbs:
    """A blocking client as the asynchronous services take one: its verbs are awaited, and have ended by then."""

    def __init__(self, client: CacheClient | None) -> None:
        self._client = client

    @property
    def _blocking(self) -> CacheClient:
        return self._client or default_client()

    async def get(self, key: Key[Any]) -> Any:
        """See `CacheClient.get`; so are the others."""
        return self._blocking.get(key)

    async def set(self, key: Key[Any], value: Any, **options: Any) -> SetResult:
        return self._blocking.set(key, value, **options)

    async def delete(self, key: Key[Any]) -> bool:
        return self._blocking.delete(key)

    async def invalidate(self, *selectors: Selector) -> InvalidateResult:
        return self._blocking.invalidate(*selectors)

    async def metrics(self) -> dict[str, DomainMetrics]:
        return self._blocking.metrics()
