"""The blocking client's verbs as coroutines, each in a thread of its own: one workload drives both kinds of client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from coherd.sync import CacheClient


class Threaded:
    """Stands where a `coherd.CacheClient` is expected.

    Args:
        client: called in the threads of the running loop's pool, several at a time.
    """

    def __init__(self, client: CacheClient) -> None:
        self._client = client

    def __getattr__(self, verb: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._client, verb)

        async def call(*args: Any, **options: Any) -> Any:
            return await asyncio.to_thread(method, *args, **options)

        return call

    def holds(self, key: Any) -> bool:
        """Whether the near cache would answer now."""
        return self._client._near_hit(key) is not None

    async def get_or_load(self, key: Any, loader: Callable[..., Any], **options: Any) -> Any:
        """As the client's, with a loader that is a coroutine function of this loop."""
        loop = asyncio.get_running_loop()

        def plain(*args: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(loader(*args), loop).result()

        return await asyncio.to_thread(self._client.get_or_load, key, plain, **options)
