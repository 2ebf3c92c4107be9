"""Functions whose results are cached (`CacheClient.cached`)."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, ParamSpec, Protocol, TypeVar, cast

from coherd._loading.loader import call_loader
from coherd._loading.policy import LoadOptions
from coherd.key import Key

if TYPE_CHECKING:
    from coherd.verbs.loading import Loading

P = ParamSpec("P")
V = TypeVar("V")


class Deleting(Protocol):
    """What a cached function needs of a client besides loading."""

    async def delete(self, key: Key[Any], *, timeout_ms: int | None = None) -> bool:
        """See `CacheClient.delete`."""
        ...


class Settings(NamedTuple):
    """What every call of a cached function says."""

    ttl: timedelta | None
    nothing_ttl: timedelta | None
    tags: Callable[..., Mapping[str, str]] | None
    timeout_ms: int | None
    options: LoadOptions


class Cached(Generic[P, V]):
    """A function that answers from the cache and loads what is not there.

    Callable as the function is, always with ``await``.
    """

    def __init__(
        self,
        cache: Loading,
        key: Callable[..., Key[V]],
        function: Callable[P, Awaitable[Any] | Any],
        settings: Settings,
    ) -> None:
        self._cache = cache
        self._key = key
        self._settings = settings
        self.__wrapped__ = function
        """The function itself."""
        functools.update_wrapper(self, function)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> V:
        """The cached value, or what the function returns."""
        ttl, nothing_ttl, tags, timeout_ms, options = self._settings

        async def load(_: Key[V]) -> V:
            return cast(V, await call_loader(self.__wrapped__, *args, **kwargs))

        return await self._cache.get_or_load(
            self._key(*args, **kwargs),
            load,
            ttl=ttl,
            nothing_ttl=nothing_ttl,
            tags=None if tags is None else tags(*args, **kwargs),
            timeout_ms=timeout_ms,
            **options,
        )

    def key(self, *args: P.args, **kwargs: P.kwargs) -> Key[V]:
        """The key that these arguments are cached under."""
        return self._key(*args, **kwargs)

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget the value of these arguments; see `CacheClient.delete`."""
        cache = cast(Deleting, self._cache)
        return await cache.delete(self._key(*args, **kwargs), timeout_ms=self._settings.timeout_ms)

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> V:
        """Forget the value of these arguments and load it anew. A load that was already running is not taken."""
        await self.invalidate(*args, **kwargs)
        return await self(*args, **kwargs)
