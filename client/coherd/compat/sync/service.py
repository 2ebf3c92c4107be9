"""What the blocking services have in common: the methods of the asynchronous ones, over verbs that block.

A familiar method is a coroutine function only because the verbs it awaits are. Over verbs that block it never suspends,
so it runs to its end in the calling thread, where the near cache answers without another thread.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar, cast

from coherd.compat.sync.default_client import default_client
from coherd.sync.client import CacheClient

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
        self._client = client

    @property
    def _asynchronous(self) -> Any:
        return self._kind(_AwaitedVerbs(self._client or default_client()))

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
    """A blocking client as the asynchronous services take one: its verbs can be awaited, and have ended by then."""

    def __init__(self, client: CacheClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        verb = getattr(self._client, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return verb(*args, **kwargs)

        return call
