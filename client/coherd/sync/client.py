"""The blocking client: a fixed set of verbs on typed keys."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal, ParamSpec, Self, TypeVar, Unpack, overload

from coherd._calls.arguments import checked_flag, checked_keys, not_a_loader
from coherd._calls.messages import not_a_key
from coherd._calls.near_hits import near_value
from coherd._loading.cached_arguments import checked_function, checked_key, checked_terms
from coherd._loading.events import LoadEvent, LoadEventKind
from coherd._loading.loader import is_coroutine_function
from coherd._loading.policy import LoadLimits, LoadOptions, LoadPolicy, Nothing
from coherd._near import Kept
from coherd._rpc.connection_events import ConnectionEvent, ConnectionEventKind
from coherd._rpc.failure_policy import FailurePolicy
from coherd._rpc.protocol import Transport
from coherd._rpc.session_transport import NearCacheBounds
from coherd._rpc.tls import TlsConfig
from coherd.client import DEFAULT_TIMEOUT_MS, checked_timeout, transport_to
from coherd.client import CacheClient as AsyncClient
from coherd.errors import BatchError, ClientClosed, UndecodableValue
from coherd.key import Key, ReadKey
from coherd.sync.blocking import blocking, done_by
from coherd.sync.cached import Cached, Decorator
from coherd.sync.call import Call
from coherd.sync.loader import REFUSAL, PlainLoader
from coherd.sync.loop_thread import LOOP

P = ParamSpec("P")
T = TypeVar("T")
V = TypeVar("V")
D = TypeVar("D")


class CacheClient:
    """Gets, sets, loads and invalidates entries of a Coherd service.

    One client serves any number of threads, also such as run an event loop, and works in processes forked later;
    make one per program. Its work is done in one event loop, in a daemon thread of the process.

    Every verb but `peek` takes ``timeout_ms``, the time limit of the whole call (>= 1, default: the client's):
    it covers connecting and repetitions. What may be repeated is repeated within it: nothing that might take effect
    twice. A caller without an alternative waits for a service that is away until the limit: a restart is bridged.
    For the verbs that load it is the limit of each exchange with the service; loads have their own (`LoadPolicy`).

    Every verb raises `coherd.errors.CacheError`; the tree is documented there. With ``on_unavailable="miss"``:

    - `get`, `get_entry` and `get_many` treat a service that is unavailable or late as a miss,
    - `set`, `set_many`, `set_nothing` and `touch` drop what is not known to be stored, and answer false,
    - `delete` and `invalidate` raise all the same: what was not invalidated would be served later.

    What `get_or_load`, `get_or_load_many` and `cached` do is said by `LoadPolicy.on_unavailable`.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
        on_unavailable: Literal["raise", "miss"] = "raise",
        loading: LoadPolicy | None = None,
        load_limits: LoadLimits | None = None,
        on_event: Callable[[LoadEvent], object] | None = None,
    ) -> None:
        """
        Args:
            transport: carries the requests; closed with the client.
            timeout_ms: time limit of calls that give none, >= 1.
            on_unavailable: what reads and sets do while the service is away.
            loading: how values are loaded. Default: ``LoadPolicy()``.
            load_limits: how many loads run at once. Default: ``LoadLimits()``.
            on_event: called with what happens to loads, in their event loop: it is to return at once.

        Raises:
            ValueError: an argument is out of its range.
        """
        self._asynchronous = AsyncClient(
            transport,
            timeout_ms=timeout_ms,
            on_unavailable=on_unavailable,
            loading=loading,
            load_limits=load_limits,
            on_event=on_event,
        )
        self._lookup_near = transport.lookup_near
        self._closed = False
        LOOP.attach(self)

    @classmethod
    def connect(
        cls,
        target: str,
        *,
        near_cache: bool | None = None,
        near_cache_bounds: NearCacheBounds | None = None,
        sessions: bool = True,
        tls: TlsConfig | None = None,
        token: str | None = None,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
        on_unavailable: Literal["raise", "miss"] = "raise",
        loading: LoadPolicy | None = None,
        load_limits: LoadLimits | None = None,
        on_event: Callable[[LoadEvent | ConnectionEvent], object] | None = None,
        failures: FailurePolicy | None = None,
    ) -> Self:
        """A client of the service at a target. Does no I/O: it connects with its first call.

        Args:
            target: ``host:port``, or any gRPC target.
            near_cache: keep values in this process: None or True: those of the domains for which the catalog, or the
                operator, says so; False: none.
            near_cache_bounds: how much is kept, per event loop. Default: ``NearCacheBounds()``.
            sessions: False: every call is a unary rpc, as in other languages; then nothing is kept near.
            tls: None: plain text.
            token: bearer token, printable ASCII; without ``tls`` it crosses the network readable.
            timeout_ms: time limit of calls that give none, >= 1.
            on_unavailable: what reads and sets do while the service is away.
            loading: how values are loaded. Default: ``LoadPolicy()``.
            load_limits: how many loads run at once. Default: ``LoadLimits()``.
            on_event: called with what happens to loads and to the connection, in their event loop: it is to return at
                once.
            failures: when a service that fails is not asked any more, and when again. Default: ``FailurePolicy()``.

        Raises:
            ValueError: an argument is out of its range.
            TypeError: an argument is of another type.
            RuntimeError: gevent or eventlet has replaced Python's threads or sockets.
        """
        return cls(
            transport_to(target, near_cache, near_cache_bounds, sessions, tls, token, failures, on_event),
            timeout_ms=timeout_ms,
            on_unavailable=on_unavailable,
            loading=loading,
            load_limits=load_limits,
            on_event=on_event,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Cancels loads and releases their leases, then ends calls in flight; their callers and later ones get
        `ClientClosed`. Safe to repeat."""
        if self._closed:
            return
        self._closed = True
        try:
            LOOP.run(self._asynchronous.close())
        finally:
            LOOP.detach(self)

    @property
    def connection_counts(self) -> Mapping[ConnectionEventKind, int]:
        """How often the service was lost and came back, calls were sent again, and so on."""
        return self._asynchronous.connection_counts

    @property
    def load_counts(self) -> Mapping[str, Mapping[LoadEventKind, int]]:
        """How often loads failed, were begun in the background, and so on, by ``domain:resource``."""
        return self._asynchronous.load_counts

    # What the near cache holds is answered in the calling thread.

    def _get(
        self,
        key: ReadKey[Any],
        *,
        default: Any = None,
        accept_stale: bool = False,
        shared: bool | None = None,
        timeout_ms: int | None = None,
    ) -> Any:
        if timeout_ms is not None:
            checked_timeout(timeout_ms)
        if shared is not None:
            checked_flag("shared", shared)
        if (kept := self._near_hit(key)) is not None:
            return near_value(key, kept, shared)
        return self._wait(
            self._asynchronous.get(
                key, default=default, accept_stale=accept_stale, shared=shared, timeout_ms=timeout_ms
            )
        )

    get = done_by(_get)(AsyncClient.get)

    @overload
    def peek(self, key: ReadKey[V], *, shared: bool | None = None) -> V | None: ...
    @overload
    def peek(self, key: ReadKey[V], *, default: D, shared: bool | None = None) -> V | D | None: ...
    def peek(self, key: ReadKey[Any], *, default: Any = None, shared: bool | None = None) -> Any:
        """The value if the near cache of this process holds it now, else ``default``; never waits, in any thread.

        Counts as a hit where there is one. There is none where the value was not read lately, or is not kept near.

        Args:
            key: of the item.
            default: for what is not there; told apart from a remembered "nothing", which is None, by its identity.
            shared: as in `get`.

        Raises:
            UndecodableValue: what is kept is not a value of the key's type.
        """
        if not isinstance(key, Key):
            raise not_a_key(key)
        if shared is not None:
            checked_flag("shared", shared)
        loop = LOOP.loop
        kept = None if loop is None else self._asynchronous._transport.peek_near(key, loop)
        return default if kept is None else near_value(key, kept, shared)

    def _get_many(self, keys: Iterable[Key[Any]], *, shared: bool | None = None, **options: Any) -> dict[Key[Any], Any]:
        return self._many(
            keys, "get_many", shared, lambda some: self._wait(self._asynchronous.get_many(some, **options))
        )

    get_many = done_by(_get_many)(AsyncClient.get_many)

    # What is the same but for the waiting.

    get_entry = blocking(AsyncClient.get_entry)
    set = blocking(AsyncClient.set)
    set_nothing = blocking(AsyncClient.set_nothing)
    set_many = blocking(AsyncClient.set_many)
    touch = blocking(AsyncClient.touch)
    delete = blocking(AsyncClient.delete)
    invalidate = blocking(AsyncClient.invalidate)
    metrics = blocking(AsyncClient.metrics)
    describe_catalog = blocking(AsyncClient.describe_catalog)

    # Loaders are plain functions here.

    @overload
    def get_or_load(
        self,
        key: Key[V],
        loader: Callable[[Any], V],
        *,
        ttl: timedelta | None = None,
        nothing_ttl: timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        shared: bool | None = None,
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
        shared: bool | None = None,
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
        shared: bool | None = None,
        timeout_ms: int | None = None,
        **options: Unpack[LoadOptions],
    ) -> Any:
        """The cached value; where there is none, what the loader returns, which is then stored.

        Over all processes one caller loads and the others wait for its value. What was loaded before an invalidation,
        delete or set is not stored after it, and not given to callers that came after it. None stands for a remembered
        "there is nothing", which a loader states by returning `coherd.NOTHING`; all else it returns is a value.

        After ``load_timeout_ms``, or `close`, a load is given up: its lease is released, others load, and its result
        is dropped. A loader that runs in the calling thread cannot be stopped: its own caller gets the error when it
        returns. A caller that is interrupted while somebody else loads leaves that load alone.

        Args:
            key: of the item.
            loader: a plain function, called with the key in the calling thread. In a thread of its own where the
                caller need not wait for its end: behind a stale value, with ``soft_timeout_ms`` or with
                ``total_timeout_ms``.
            ttl: of the value: 1 ms .. the resource's maximum. Default: by the catalog and the operator's overrides.
            nothing_ttl: how long "there is nothing" is remembered. Default: as the catalog says; where it says nothing,
                it is not remembered.
            tags: extra tags, as in `set`.
            shared: as in `get`, of a value that the near cache holds.
            timeout_ms: time limit of each exchange with the service; not of the load, and not of the whole call, which
                is ``total_timeout_ms``.
            **options: fields of `LoadPolicy` that differ for this call.

        Raises:
            TypeError: the loader is a coroutine function.
            Exception: whatever the loader raised, if there is no stale value to return instead.
            LoadTimeout: the load, or somebody else's, took longer than ``load_timeout_ms``, or all of it longer than
                ``total_timeout_ms``.
            ValueEncodeError: the loader returned something that is not of the key's type.
            InvalidRequest, NotPermitted: the service refused the key, a TTL, a tag, or the value for its size.
            UndecodableValue: what is stored is not a value of the key's type; only with ``on_undecodable="raise"``.
            Unavailable, DeadlineExceeded, OutcomeUnknown: only with ``on_unavailable="raise"``.
        """
        if shared is not None:
            checked_flag("shared", shared)
        if (kept := self._near_hit(key)) is not None:
            with contextlib.suppress(UndecodableValue):  # the verb decides
                return near_value(key, kept, shared)
        return self._load(
            loader,
            options,
            lambda load: self._asynchronous.get_or_load(
                key, load, ttl=ttl, nothing_ttl=nothing_ttl, tags=tags, shared=shared, timeout_ms=timeout_ms, **options
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
        shared: bool | None = None,
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
        shared: bool | None = None,
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
        shared: bool | None = None,
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
            shared: as in `get_or_load`.
            timeout_ms: as in `get_or_load`.
            **options: as in `get_or_load`.

        Raises:
            BatchError: some keys failed, by the service or because they do not decode; carries the others' values.
            Exception: as `get_or_load`; what the loader raised is raised if a key has no stale value.
        """
        return self._many(
            keys,
            "get_or_load_many",
            shared,
            lambda some: self._load(
                loader,
                options,
                lambda load: self._asynchronous.get_or_load_many(
                    some,
                    load,
                    ttl=ttl,
                    nothing_ttl=nothing_ttl,
                    tags=tags,
                    shared=shared,
                    timeout_ms=timeout_ms,
                    **options,
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
        shared: bool | None = None,
        timeout_ms: int | None = None,
        **options: Unpack[LoadOptions],
    ) -> Decorator[V]:
        """Decorates a function so that it answers from the cache and runs only where `get_or_load` would load::

            @cache.cached(lambda user: psychology.Profile(user=user))
            def profile(user: str) -> dict[str, Any]: ...

            profile("user123")
            profile.invalidate("user123")

        Args:
            key: the key of the function's arguments: a key class with their names, or a function of them. It gets all,
                defaults included, by name where it has the names; ``self`` or ``cls`` of methods only if it takes it.
            ttl: as in `get_or_load`.
            nothing_ttl: as in `get_or_load`.
            tags: the extra tags of the function's arguments.
            shared: as in `get_or_load`.
            timeout_ms: as in `get_or_load`.
            **options: as in `get_or_load`.

        The function may be a method. ``cached`` is written above ``classmethod`` and ``staticmethod``.

        Raises:
            TypeError, ValueError: an option is wrong, or the key cannot be made of the function's arguments.
        """
        checked_key(key)
        checked_terms(ttl, nothing_ttl, tags)
        self._asynchronous._limit_ms(timeout_ms)
        self._asynchronous._load_policy.override(options)
        if shared is not None:
            checked_flag("shared", shared)
        load = functools.partial(
            self.get_or_load, ttl=ttl, nothing_ttl=nothing_ttl, shared=shared, timeout_ms=timeout_ms, **options
        )
        delete = functools.partial(self.delete, timeout_ms=timeout_ms)

        def decorate(function: Callable[P, Any], /) -> Cached[P, Any]:
            checked_function(function)
            if is_coroutine_function(getattr(function, "__func__", function)):
                raise TypeError(REFUSAL)
            return Cached(function, key, tags, load, delete)

        return decorate

    def _near_hit(self, key: ReadKey[Any]) -> Kept | None:
        """What the near cache holds of a key, looked up in the calling thread."""
        loop = LOOP.loop
        if loop is None or not isinstance(key, Key):
            return None
        return self._lookup_near(key, loop)

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of one of the asynchronous client's verbs."""
        if self._closed:
            coroutine.close()
            raise ClientClosed("the client is closed")
        return LOOP.run(coroutine)

    def _load(
        self,
        loader: Callable[[Any], Any],
        options: LoadOptions,
        verb: Callable[[PlainLoader], Coroutine[Any, Any, T]],
    ) -> T:
        """The result of a verb that loads with a plain loader, which this thread may have to run."""
        policy = self._asynchronous._load_policy.override(options)
        if not callable(loader):
            raise not_a_loader(loader)
        plain = PlainLoader(loader, leaves=policy.leaves)
        if self._closed:
            raise ClientClosed("the client is closed")
        plain.call = call = Call(verb(plain))
        return LOOP.finish(call)

    def _many(
        self, keys: Iterable[Any], verb: str, shared: bool | None, ask: Callable[[list[Any]], dict[Any, Any]]
    ) -> dict[Any, Any]:
        """The values of many keys, in their order: what the near cache holds, and of the others what is asked for.

        Raises:
            BatchError: some keys failed; carries the others' values, the near cache's included.
        """
        wanted = checked_keys(keys, verb)
        if shared is not None:
            checked_flag("shared", shared)
        near = self._near_hits(wanted, shared)
        if not near:
            return ask(wanted)
        others = [key for key in wanted if key not in near]
        try:
            values = near | (ask(others) if others else {})
        except BatchError as error:
            values = near | dict(error.results)
            raise BatchError({key: values[key] for key in wanted if key in values}, error.errors) from None
        return {key: values[key] for key in wanted if key in values}

    def _near_hits(self, keys: list[Key[Any]], shared: bool | None) -> dict[Any, Any]:
        """The values of those keys that the near cache holds."""
        values: dict[Any, Any] = {}
        for key in keys:
            if (kept := self._near_hit(key)) is not None:
                try:
                    values[key] = near_value(key, kept, shared)
                except UndecodableValue:
                    continue  # the verb says so, among its other keys
        return values
