"""Functions whose results are cached (`coherd.sync.CacheClient.cached`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, ParamSpec, Protocol, TypeVar, cast, overload

from coherd._loading.cached import CachedFunction
from coherd._loading.policy import Nothing
from coherd.key import Key

P = ParamSpec("P")
V = TypeVar("V")


class Cached(CachedFunction[P, V]):
    """A function that answers from the cache and loads what is not there.

    Callable as the function is.
    """

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> V:
        """The cached value, or what the function returns."""

        def load(_: Key[V]) -> V:
            return cast(V, self.__wrapped__(*args, **kwargs))

        tags = self._tags_of(*args, **kwargs)
        return cast(V, self._get_or_load(self._key(*args, **kwargs), load, tags=tags))

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forgets the value of these arguments; see `CacheClient.delete`."""
        return cast(bool, self._delete(self._key(*args, **kwargs)))

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> V:
        """Forgets the value of these arguments and loads it anew. A load that was already running is not taken."""
        self.invalidate(*args, **kwargs)
        return self(*args, **kwargs)


class Decorator(Protocol[V]):
    """What `CacheClient.cached` answers."""

    @overload
    def __call__(  # pyright: ignore[reportOverlappingOverload] - a loader that never gives NOTHING is the narrower kind
        self, function: Callable[P, V], /
    ) -> Cached[P, V]: ...
    @overload
    def __call__(self, function: Callable[P, V | Literal[Nothing.NOTHING]], /) -> Cached[P, V | None]: ...
