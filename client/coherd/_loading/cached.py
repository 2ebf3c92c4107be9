"""Functions whose results are cached (`CacheClient.cached`)."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, Literal, ParamSpec, Protocol, TypeVar, cast, overload

from coherd._loading.loader import is_coroutine_function
from coherd._loading.policy import Nothing
from coherd.key import Key

P = ParamSpec("P")
V = TypeVar("V")


class CachedFunction(Generic[P, V]):
    """What cached functions of both clients have in common.

    Args:
        function: loads a value.
        key: the key of the function's arguments.
        tags: the extra tags of the function's arguments; None: none.
        get_or_load: the client's verb, with all options but the tags.
        delete: the client's verb, with all options.
    """

    def __init__(
        self,
        function: Callable[P, Any],
        key: Callable[..., Key[V]],
        tags: Callable[..., Mapping[str, str]] | None,
        get_or_load: Callable[..., Any],
        delete: Callable[[Key[Any]], Any],
    ) -> None:
        self._key = key
        self._tags = tags
        self._get_or_load = get_or_load
        self._delete = delete
        self.__wrapped__ = function
        """The function itself."""
        functools.update_wrapper(cast(Callable[..., Any], self), function)

    def key(self, *args: P.args, **kwargs: P.kwargs) -> Key[V]:
        """The key that these arguments are cached under."""
        return self._key(*args, **kwargs)

    def _tags_of(self, *args: P.args, **kwargs: P.kwargs) -> Mapping[str, str] | None:
        return None if self._tags is None else self._tags(*args, **kwargs)


class Cached(CachedFunction[P, V]):
    """A function that answers from the cache and loads what is not there.

    Callable as the function is, always with ``await``.
    """

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> V:
        """The cached value, or what the function returns."""

        function: Callable[..., Any] = self.__wrapped__

        async def load(_: Key[V]) -> V:
            return cast(V, await function(*args, **kwargs))

        def load_plainly(_: Key[V]) -> Any:
            return function(*args, **kwargs)

        tags = self._tags_of(*args, **kwargs)
        return cast(
            V,
            await self._get_or_load(
                self._key(*args, **kwargs), load if is_coroutine_function(function) else load_plainly, tags=tags
            ),
        )

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forgets the value of these arguments; see `CacheClient.delete`."""
        return cast(bool, await self._delete(self._key(*args, **kwargs)))

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> V:
        """Forgets the value of these arguments and loads it anew. A load that was already running is not taken."""
        await self.invalidate(*args, **kwargs)
        return await self(*args, **kwargs)


class Decorator(Protocol[V]):
    """What `CacheClient.cached` answers."""

    @overload
    def __call__(  # pyright: ignore[reportOverlappingOverload] - a loader that never gives NOTHING is the narrower kind
        self, function: Callable[P, Awaitable[V] | V], /
    ) -> Cached[P, V]: ...
    @overload
    def __call__(
        self, function: Callable[P, Awaitable[V | Literal[Nothing.NOTHING]] | V | Literal[Nothing.NOTHING]], /
    ) -> Cached[P, V | None]: ...
