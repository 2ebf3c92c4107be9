"""Loading: get_or_load, get_or_load_many, cached."""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, ParamSpec, Protocol, TypeVar, Unpack, overload

from coherd import values
from coherd._loading.cached import Cached, Settings
from coherd._loading.leases import Payload, Terms
from coherd._loading.line import Call
from coherd._loading.load import Source
from coherd._loading.loader import call_loader
from coherd._loading.many import ManyCall, ManyLoads
from coherd._loading.per_loop import Desks
from coherd._loading.policy import NOTHING, LoadOptions, LoadPolicy, Nothing
from coherd.batches import Part, joined, near_part, results_of
from coherd.errors import UndecodableValue
from coherd.key import Key
from coherd.v1 import cache_service_pb2 as wire
from coherd.verbs.base import Verbs

V = TypeVar("V")
P = ParamSpec("P")


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


class Loading(Verbs):
    """Verbs that load what is not cached."""

    _desks: Desks
    _load_policy: LoadPolicy

    @overload
    async def get_or_load(
        self,
        key: Key[V],
        loader: Callable[[Any], Awaitable[V] | V],
        *,
        ttl: timedelta | None = None,
        nothing_ttl: timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        timeout_ms: int | None = None,
        **options: Unpack[LoadOptions],
    ) -> V: ...
    @overload
    async def get_or_load(
        self,
        key: Key[V],
        loader: Callable[[Any], Awaitable[V | Literal[Nothing.NOTHING]] | V | Literal[Nothing.NOTHING]],
        *,
        ttl: timedelta | None = None,
        nothing_ttl: timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        timeout_ms: int | None = None,
        **options: Unpack[LoadOptions],
    ) -> V | None: ...
    async def get_or_load(
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

        The load belongs to no caller: cancelling one, or all, leaves it running within its time limit, so that it is
        stored. It is cancelled by ``load_timeout_ms`` and by `close`.

        Args:
            key: of the item.
            loader: called with the key. A coroutine function runs in the event loop; any other callable in a thread.
            ttl: of the value: 1 ms .. the resource's maximum. Default: by the catalog and the operator's overrides.
            nothing_ttl: how long "there is nothing" is remembered. Default: as the catalog says; where it says nothing,
                it is not remembered.
            tags: extra tags, as in `set`.
            timeout_ms: time limit of each exchange with the service; not of the load.
            **options: fields of `LoadPolicy` that differ for this call.

        Raises:
            Exception: whatever the loader raised, if there is no stale value to return instead.
            LoadTimeout: the load, or somebody else's, took longer than ``load_timeout_ms``.
            ValueEncodeError: the loader returned something that is not of the key's type.
            InvalidRequest, NotPermitted: the service refused the key, a TTL, a tag, or the value for its size.
            UndecodableValue: what is stored is not a value of the key's type.
            Unavailable, DeadlineExceeded, OutcomeUnknown: only with ``on_unavailable="raise"``.
        """
        policy = self._load_policy.override(options)
        terms = self._terms(ttl, nothing_ttl, tags, timeout_ms, policy)
        if not isinstance(key, Key):
            raise values.not_a_key(key)
        desk = self._desks.current()
        desk.check_open()
        kept = self._transport.lookup_near(key)
        if kept is not None:
            return values.decoded_near(key, kept)

        async def source() -> Mapping[Key[Any], Payload]:
            return {key: _payload(key, await call_loader(loader, key))}

        call = Call(key, source, terms, policy, contextvars.copy_context())
        return _value(key, await desk.get_or_load(call))

    @overload
    async def get_or_load_many(
        self,
        keys: Iterable[Key[V]],
        loader: Callable[[list[Any]], Awaitable[Mapping[Any, V]] | Mapping[Any, V]],
        *,
        ttl: timedelta | None = None,
        nothing_ttl: timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        timeout_ms: int | None = None,
        **options: Unpack[LoadOptions],
    ) -> dict[Key[V], V | None]: ...
    @overload
    async def get_or_load_many(
        self,
        keys: Iterable[Key[V]],
        loader: Callable[
            [list[Any]],
            Awaitable[Mapping[Any, V | Literal[Nothing.NOTHING]]] | Mapping[Any, V | Literal[Nothing.NOTHING]],
        ],
        *,
        ttl: timedelta | None = None,
        nothing_ttl: timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        timeout_ms: int | None = None,
        **options: Unpack[LoadOptions],
    ) -> dict[Key[V], V | None]: ...
    async def get_or_load_many(
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
        wanted = list(dict.fromkeys(keys))
        for key in wanted:
            values.key_message(key)
        policy = self._load_policy.override(options)
        terms = self._terms(ttl, nothing_ttl, tags, timeout_ms, policy)
        desk = self._desks.current()
        desk.check_open()
        near = near_part(self._transport, wanted)
        far = [key for key in wanted if key not in near.results and key not in near.errors]
        if not far:
            return results_of(near)

        def source_of(some: Sequence[Key[Any]]) -> Source:
            async def source() -> Mapping[Key[Any], Payload]:
                found = await call_loader(loader, list(some))
                return {key: _payload(key, found.get(key, NOTHING)) for key in some}

            return source

        call = ManyCall(source_of, terms, policy, contextvars.copy_context())
        part = await ManyLoads(desk, call).run(far)
        decoded = Part({}, part.errors)
        for key, value in part.results.items():
            try:
                decoded.results[key] = _value(key, value)
            except UndecodableValue as error:
                decoded.errors[key] = error
        return results_of(joined(wanted, near, decoded))

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
            async def profile(user: str) -> dict[str, Any]: ...

            await profile("user123")
            await profile.invalidate("user123")

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

    def _terms(
        self,
        ttl: timedelta | None,
        nothing_ttl: timedelta | None,
        tags: Mapping[str, str] | None,
        timeout_ms: int | None,
        policy: LoadPolicy,
    ) -> Terms:
        wire.LeaseRequest(extra_tags=tags)  # a tag that is no text is refused here, before anybody waits
        return Terms(
            lease_ms=policy.lease_ms,
            tags=tags,
            ttl_ms=values.ttl_ms(ttl),
            nothing_ttl_ms=values.ttl_ms(nothing_ttl),
            timeout_ms=self._limit_ms(timeout_ms),
        )


def _payload(key: Key[Any], value: object) -> Payload:
    return Payload(None if value is NOTHING else values.encoded(key, value))


def _value(key: Key[Any], found: wire.Hit | Payload) -> Any:
    if isinstance(found, Payload):
        return None if found.value is None else key.codec.decode(found.value)
    return values.decoded(key, found)
