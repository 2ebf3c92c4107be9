# Generated from coherd/verbs/loading.py by `make gen`. Do not edit.
"""Loading: get_or_load, get_or_load_many, cached."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Literal, ParamSpec, Protocol, TypeVar, Unpack, overload

from coherd import values
from coherd._loading.policy import LoadOptions, Nothing
from coherd.key import Key
from coherd.sync.blocking import Blocking
from coherd.sync.cached import Cached, Settings

V = TypeVar("V")
P = ParamSpec("P")


class Decorator(Protocol[V]):
    """What `CacheClient.cached` answers."""

    @overload
    def __call__(  # pyright: ignore[reportOverlappingOverload] - a loader that never gives NOTHING is the narrower kind
        self, function: Callable[P, V], /
    ) -> Cached[P, V]: ...
    @overload
    def __call__(self, function: Callable[P, V | Literal[Nothing.NOTHING]], /) -> Cached[P, V | None]: ...


class Loading(Blocking):
    """Verbs that load what is not cached."""

    @overload
    def get_or_load(
        self,
        key: Key[V],
        loader: Callable[[Any], V],
        *,
        ttl: timedelta | None = None,
        nothing_ttl: timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        timeout_ms: int | None = None,
        **options: Unpack[LoadOptions],
    ) -> V: ...
    @overload
    def get_or_load(
        self,
        key: Key[V],
        loader: Callable[[Any], V | Literal[Nothing.NOTHING]],
        *,
        ttl: timedelta | None = None,
        nothing_ttl: timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        timeout_ms: int | None = None,
        **options: Unpack[LoadOptions],
    ) -> V | None: ...
    def get_or_load(
        self,
        key: Key[Any],
        loader: Callable[[Any], Any],
        *,
        ttl: timedelta | None = None,
        nothing_ttl: timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        timeout_ms: int | None = None,
        **options: Unpack[LoadOptions],
    ) -> Any:
        """The cached value; where there is none, what the loader returns, which is then stored.

        Over all processes one caller loads and the others wait for its value. What was loaded before an invalidation,
        delete or set is not stored after it, and not given to callers that came after it. None stands for a remembered
        "there is nothing", which a loader states by returning `coherd.NOTHING`; all else it returns is a value.

        After ``load_timeout_ms``, or `close`, a load is given up: its lease is given back, others load, and its result
        is dropped. A loader that runs in the calling thread cannot be stopped: its own caller gets the error when it
        returns. A caller that is interrupted while somebody else loads leaves that load alone.

        Args:
            key: of the item.
            loader: a plain function, called with the key in the calling thread. In a thread of its own where the
                caller need not wait for its end: behind a stale value, or with ``soft_timeout_ms``.
            ttl: of the value: 1 ms .. the resource's maximum. Default: by the catalog and the operator's overrides.
            nothing_ttl: how long "there is nothing" is remembered. Default: as the catalog says; where it says nothing,
                it is not remembered.
            tags: extra tags, as in `set`.
            timeout_ms: time limit of each exchange with the service; not of the load.
            **options: fields of `LoadPolicy` that differ for this call.

        Raises:
            TypeError: the loader is a coroutine function.
            Exception: whatever the loader raised, if there is no stale value to return instead.
            LoadTimeout: the load, or somebody else's, took longer than ``load_timeout_ms``.
            ValueEncodeError: the loader returned something that is not of the key's type.
            InvalidRequest, NotPermitted: the service refused the key, a TTL, a tag, or the value for its size.
            UndecodableValue: what is stored is not a value of the key's type.
            Unavailable, DeadlineExceeded, OutcomeUnknown: only with ``on_unavailable="raise"``.
        """
        if (kept := self._near_hit(key)) is not None:
            return values.decoded_near(key, kept)
        return self._load(
            loader,
            options,
            lambda load: self._cache.get_or_load(
                key, load, ttl=ttl, nothing_ttl=nothing_ttl, tags=tags, timeout_ms=timeout_ms, **options
            ),
        )

    @overload
    def get_or_load_many(
        self,
        keys: Iterable[Key[V]],
        loader: Callable[[list[Any]], Mapping[Any, V]],
        *,
        ttl: timedelta | None = None,
        nothing_ttl: timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        timeout_ms: int | None = None,
        **options: Unpack[LoadOptions],
    ) -> dict[Key[V], V | None]: ...
    @overload
    def get_or_load_many(
        self,
        keys: Iterable[Key[V]],
        loader: Callable[
            [list[Any]],
            Mapping[Any, V | Literal[Nothing.NOTHING]],
        ],
        *,
        ttl: timedelta | None = None,
        nothing_ttl: timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        timeout_ms: int | None = None,
        **options: Unpack[LoadOptions],
    ) -> dict[Key[V], V | None]: ...
    def get_or_load_many(
        self,
        keys: Iterable[Key[Any]],
        loader: Callable[[list[Any]], Any],
        *,
        ttl: timedelta | None = None,
        nothing_ttl: timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        timeout_ms: int | None = None,
        **options: Unpack[LoadOptions],
    ) -> dict[Key[Any], Any]:
        """The values of many keys, by key and in their order, with one call of the loader for all that are missing.

        What others are loading is waited for; the loader is called for such a key alone if its load fails there.

        Args:
            keys: of any mix of resources.
            loader: called with the list of keys to load, as `get_or_load`'s; returns a mapping. A key that is not in it
                counts as `coherd.NOTHING`: the result is None, remembered as ``nothing_ttl`` or the catalog says.
            ttl: as in `get_or_load`.
            nothing_ttl: as in `get_or_load`.
            tags: as in `get_or_load`, of every key.
            timeout_ms: as in `get_or_load`.
            **options: as in `get_or_load`.

        Raises:
            BatchError: some keys failed, by the service or because they do not decode; carries the others' values.
            Exception: as `get_or_load`; what the loader raised is raised if a key has no stale value.
        """
        return self._many(
            keys,
            lambda some: self._load(
                loader,
                options,
                lambda load: self._cache.get_or_load_many(
                    some, load, ttl=ttl, nothing_ttl=nothing_ttl, tags=tags, timeout_ms=timeout_ms, **options
                ),
            ),
        )

    def cached(
        self,
        key: Callable[..., Key[V]],
        *,
        ttl: timedelta | None = None,
        nothing_ttl: timedelta | None = None,
        tags: Callable[..., Mapping[str, str]] | None = None,
        timeout_ms: int | None = None,
        **options: Unpack[LoadOptions],
    ) -> Decorator[V]:
        """Decorates a function so that it answers from the cache and runs only where `get_or_load` would load::

            @cache.cached(lambda user: psychology.Profile(user=user))
            def profile(user: str) -> dict[str, Any]: ...

            profile("user123")
            profile.invalidate("user123")

        Args:
            key: the key of the function's arguments, given as the function is called.
            ttl: as in `get_or_load`.
            nothing_ttl: as in `get_or_load`.
            tags: the extra tags of the function's arguments.
            timeout_ms: as in `get_or_load`.
            **options: as in `get_or_load`.

        Raises:
            TypeError, ValueError: an option is wrong.
        """
        self._load_policy.override(options)
        settings = Settings(ttl, nothing_ttl, tags, timeout_ms, options)

        def decorate(function: Callable[P, Any], /) -> Cached[P, Any]:
            return Cached(self, key, function, settings)

        return decorate
