"""Functions whose results are cached (`coherd.sync.CacheClient.cached`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar, cast, overload

from coherd._loading.cached import CachedFunction
from coherd._loading.policy import Nothing
from coherd.key import Key

P = ParamSpec("P")
R = ParamSpec("R")
S = TypeVar("S")
V = TypeVar("V")


class Cached(CachedFunction[P, V]):
    """A function that answers from the cache and loads what is not there.

    Callable as the function is.
    """

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Cached[P, V]: ...
    @overload
    def __get__(self: Cached[Concatenate[S, R], V], instance: S, owner: type[Any] | None = None) -> Cached[R, V]: ...
    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Cached[Any, V]:
        """The method of an object, or of a class."""
        return self.bound_to(instance, owner)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> V:
        """The cached value, or what the function returns."""

        def load(_: Key[V]) -> V:
            return cast(V, self.__wrapped__(*args, **kwargs))

        return cast(V, self._get_or_load(self.key(*args, **kwargs), load, tags=self._tags_of(*args, **kwargs)))

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forgets the value of these arguments; see `CacheClient.delete`."""
        return cast(bool, self._delete(self.key(*args, **kwargs)))

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
