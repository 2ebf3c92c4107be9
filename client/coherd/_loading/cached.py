"""Functions whose results are cached (`CacheClient.cached`)."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from types import CodeType
from typing import Any, Concatenate, Final, Generic, Literal, ParamSpec, Protocol, Self, TypeVar, cast, overload

from coherd._loading.cached_arguments import arguments_for
from coherd._loading.loader import is_coroutine_function
from coherd._loading.policy import Nothing
from coherd.key import Key

P = ParamSpec("P")
R = ParamSpec("R")
S = TypeVar("S")
V = TypeVar("V")


class CachedFunction(Generic[P, V]):
    """What cached functions of both clients have in common. As functions are, they are methods where a class has them.

    Args:
        function: loads a value; a `classmethod` or `staticmethod` too.
        key: the key of the function's arguments.
        tags: the extra tags of the function's arguments; None: none.
        get_or_load: the client's verb, with all options but the tags.
        delete: the client's verb, with all options.

    Raises:
        TypeError: the key, or the tags, cannot be made of the function's arguments.
    """

    _is_awaited: bool = False
    """Calling it makes a coroutine."""

    def __init__(
        self,
        function: Callable[P, Any],
        key: Callable[..., Key[V]],
        tags: Callable[..., Mapping[str, str]] | None,
        get_or_load: Callable[..., Any],
        delete: Callable[[Key[Any]], Any],
    ) -> None:
        self._is_class = isinstance(function, classmethod)
        self._is_static = isinstance(function, staticmethod)
        self._first: tuple[Any, ...] = ()
        """The object that it is a method of."""
        called: Any = getattr(function, "__func__", function) if self._is_class or self._is_static else function
        self._key = arguments_for(key, called, "key")
        self._tags = None if tags is None else arguments_for(tags, called, "tags")
        self._get_or_load = get_or_load
        self._delete = delete
        functools.update_wrapper(cast(Callable[..., Any], self), called)
        self.__wrapped__ = called
        """The function itself."""
        mark = getattr(inspect, "markcoroutinefunction", None)
        if self._is_awaited and mark is not None:
            mark(self)

    def bound_to(self, instance: Any, owner: type[Any] | None) -> Self:
        """The method of an object, or of a class."""
        if self._is_static:
            return self
        first = (owner or type(instance)) if self._is_class else instance
        if first is None:
            return self
        bound = copy.copy(self)
        bound._first = (first,)
        bound.__wrapped__ = functools.partial(self.__wrapped__, first)
        return bound

    def key(self, *args: P.args, **kwargs: P.kwargs) -> Key[V]:
        """The key that these arguments are cached under."""
        return cast("Key[V]", self._key(*self._first, *args, **kwargs))

    def _tags_of(self, *args: P.args, **kwargs: P.kwargs) -> Mapping[str, str] | None:
        return None if self._tags is None else self._tags(*self._first, *args, **kwargs)


async def _coroutine() -> None:
    """What a cached function is to those who ask for its kind."""


class Cached(CachedFunction[P, V]):
    """A function that answers from the cache and loads what is not there.

    Callable as the function is, always with ``await``.
    """

    # Python 3.11 tells a coroutine function by these, later ones by a mark.
    __code__: Final[CodeType] = _coroutine.__code__
    __defaults__: Final = None
    __kwdefaults__: Final = None

    _is_awaited = True

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Cached[P, V]: ...
    @overload
    def __get__(self: Cached[Concatenate[S, R], V], instance: S, owner: type[Any] | None = None) -> Cached[R, V]: ...
    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Cached[Any, V]:
        """The method of an object, or of a class."""
        return self.bound_to(instance, owner)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> V:
        """The cached value, or what the function returns."""
        function: Callable[..., Any] = self.__wrapped__

        async def load(_: Key[V]) -> V:
            return cast(V, await function(*args, **kwargs))

        def load_plainly(_: Key[V]) -> Any:
            return function(*args, **kwargs)

        loader = load if is_coroutine_function(function) else load_plainly
        return cast(V, await self._get_or_load(self.key(*args, **kwargs), loader, tags=self._tags_of(*args, **kwargs)))

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forgets the value of these arguments; see `CacheClient.delete`."""
        return cast(bool, await self._delete(self.key(*args, **kwargs)))

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
