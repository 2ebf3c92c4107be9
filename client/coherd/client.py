"""The asynchronous client: a fixed set of verbs on typed keys."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from types import NoneType, TracebackType
from typing import Any, Final, Literal, ParamSpec, Self, TypeVar, Unpack, overload

from coherd._calls import messages
from coherd._calls.arguments import (
    checked_flag,
    checked_items,
    checked_keys,
    checked_kind,
    checked_names,
    checked_tags,
    checked_version,
    not_a_loader,
)
from coherd._calls.batches import DROPPED, joined, near_part, read_many, results_of, write_many
from coherd._calls.messages import NO_READ, NO_WRITE
from coherd._calls.near_hits import lookup_after_turns, near_value
from coherd._calls.time_limit import TimeLimit
from coherd._loading.cached import Cached, Decorator
from coherd._loading.cached_arguments import checked_function, checked_key, checked_terms
from coherd._loading.events import Events, LoadEvent, LoadEventKind
from coherd._loading.flights import LoopFlights
from coherd._loading.get_or_load import load_many, load_one, terms_of
from coherd._loading.policy import LoadLimits, LoadOptions, LoadPolicy, Nothing
from coherd._rpc.connection_events import ConnectionEvent, ConnectionEventKind
from coherd._rpc.failure_policy import FailurePolicy
from coherd._rpc.frames import SetOptions
from coherd._rpc.green_threads import check_threads
from coherd._rpc.methods import (
    DELETE,
    DESCRIBE_CATALOG,
    GET,
    INVALIDATE,
    METRICS,
    SET,
    TOUCH,
    KeyRead,
    ValueSet,
)
from coherd._rpc.protocol import Transport
from coherd._rpc.session_transport import NearCacheBounds, SessionTransport
from coherd._rpc.tls import TlsConfig
from coherd._rpc.unary import UnaryTransport
from coherd.codec import ValueDecodeError
from coherd.contract.limits import MAX_SELECTORS, MAX_TIMEOUT_MS, whole_number
from coherd.errors import InvalidRequest, UndecodableValue
from coherd.key import Key, KeyValues, ReadKey
from coherd.results import Entry, InvalidateResult, SetResult
from coherd.selectors import Selector, to_wire
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1.errors_pb2 import ErrorReason

V = TypeVar("V")
D = TypeVar("D")
P = ParamSpec("P")

DEFAULT_TIMEOUT_MS: Final = 2_000


class CacheClient:
    """Gets, sets, loads and invalidates entries of a Coherd service.

    One client serves any number of tasks and event loops, and works in processes forked later; make one per program.

    Every verb but `peek` takes ``timeout_ms``, the time limit of the whole call (1..2**31 - 1, default: the client's):
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
            TypeError: an argument is of another type.
        """
        if not hasattr(transport, "lookup_near"):
            raise TypeError(f"a client is made by CacheClient.connect(target), not of type {type(transport).__name__}")
        checked_kind("loading", loading, (LoadPolicy, NoneType), "a LoadPolicy")
        checked_kind("load_limits", load_limits, (LoadLimits, NoneType), "a LoadLimits")
        checked_hook(on_event)
        if on_unavailable not in ("raise", "miss"):
            raise ValueError('on_unavailable is "raise" or "miss"')
        self._transport = transport
        self._timeout_ms = checked_timeout(timeout_ms)
        self._lenient = on_unavailable == "miss"
        self._load_policy = LoadPolicy() if loading is None else loading
        self._flights = LoopFlights(transport, LoadLimits() if load_limits is None else load_limits, Events(on_event))

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

    def _limit_ms(self, timeout_ms: int | None) -> int:
        return self._timeout_ms if timeout_ms is None else checked_timeout(timeout_ms)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Cancels loads and releases their leases, then ends calls in flight; their callers and later ones get
        `ClientClosed`. Safe to repeat."""
        await self._flights.close()
        await self._transport.close()

    @property
    def connection_counts(self) -> Mapping[ConnectionEventKind, int]:
        """How often the service was lost and came back, calls were sent again, and so on, over all event loops."""
        return self._transport.counts

    @property
    def load_counts(self) -> Mapping[str, Mapping[LoadEventKind, int]]:
        """How often loads failed, were begun in the background, and so on, by ``domain:resource``."""
        return self._flights.events.counts

    # Reading.

    @overload
    async def get(
        self,
        key: ReadKey[V],
        *,
        accept_stale: bool = False,
        shared: bool | None = None,
        timeout_ms: int | None = None,
    ) -> V | None: ...
    @overload
    async def get(
        self,
        key: ReadKey[V],
        *,
        default: D,
        accept_stale: bool = False,
        shared: bool | None = None,
        timeout_ms: int | None = None,
    ) -> V | D | None: ...
    async def get(
        self,
        key: ReadKey[Any],
        *,
        default: Any = None,
        accept_stale: bool = False,
        shared: bool | None = None,
        timeout_ms: int | None = None,
    ) -> Any:
        """The value; ``default`` for a miss; None for a remembered "there is nothing". Falsy values are values.

        What the near cache holds is answered from this process, without waiting; hits alone let the event loop run
        every 5 ms.

        Args:
            key: of the item.
            default: told apart from a remembered "nothing" by its identity.
            accept_stale: also take a value past its TTL, within the resource's stale time.
            shared: True: take the one value that the near cache gives all who say so, and alter nothing in it; faster
                than a copy. False: a value of the caller's own. None: as the catalog says for the resource, else False.
            timeout_ms: time limit of the call.

        Raises:
            UndecodableValue: what is stored is not a value of the key's type.
        """
        if timeout_ms is not None:
            checked_timeout(timeout_ms)
        if shared is not None:
            checked_flag("shared", shared)
        try:
            kept = self._transport.lookup_near(key)
        except TypeError:  # it cannot be looked up, as a list
            raise messages.not_a_key(key) from None
        if kept is None and self._transport.owes_turn():
            kept = await lookup_after_turns(self._transport, key)
        if kept is not None:
            return near_value(key, kept, shared)
        if not isinstance(key, Key):
            raise messages.not_a_key(key)
        if accept_stale is not False:
            checked_flag("accept_stale", accept_stale)
        limit_ms = self._timeout_ms if timeout_ms is None else timeout_ms
        try:
            answer = await self._transport.call(GET, KeyRead(key, accept_stale), limit_ms, self._lenient)
        except NO_READ:
            if self._lenient:
                return default
            raise
        if type(answer) is bytes:
            try:
                return key.codec.decode(answer)
            except ValueDecodeError as error:
                raise messages.undecodable(key, error) from None
        hit = messages.hit_of(answer)
        return default if hit is None else messages.decoded(key, hit.value, hit.negative)

    @overload
    def peek(self, key: ReadKey[V], *, shared: bool | None = None) -> V | None: ...
    @overload
    def peek(self, key: ReadKey[V], *, default: D, shared: bool | None = None) -> V | D | None: ...
    def peek(self, key: ReadKey[Any], *, default: Any = None, shared: bool | None = None) -> Any:
        """The value if the near cache of this process holds it now, else ``default``; not a coroutine, never waits.

        Counts as a hit where there is one. There is none where the value was not read lately, or is not kept near; in a
        thread without a running event loop; and while calls without a wait have kept the event loop from running for
        5 ms: it could not have heard of changes.

        Args:
            key: of the item.
            default: for what is not there; told apart from a remembered "nothing", which is None, by its identity.
            shared: as in `get`.

        Raises:
            UndecodableValue: what is kept is not a value of the key's type.
        """
        if not isinstance(key, Key):
            raise messages.not_a_key(key)
        if shared is not None:
            checked_flag("shared", shared)
        try:
            kept = self._transport.peek_near(key)
        except RuntimeError:  # no event loop runs here
            return default
        return default if kept is None else near_value(key, kept, shared)

    async def get_entry(
        self, key: ReadKey[V], *, accept_stale: bool = False, timeout_ms: int | None = None
    ) -> Entry[V] | None:
        """The value with its age, remaining TTL, version and tags; None for a miss.

        Raises:
            UndecodableValue: what is stored is not a value of the key's type.
        """
        if not isinstance(key, Key):
            raise messages.not_a_key(key)
        if accept_stale is not False:
            checked_flag("accept_stale", accept_stale)
        try:
            answer = await self._transport.call(
                GET, KeyRead(key, accept_stale, whole=True), self._limit_ms(timeout_ms), self._lenient
            )
        except NO_READ:
            if self._lenient:
                return None
            raise
        hit = messages.hit_of(answer)
        return None if hit is None else messages.entry(key, hit)

    async def get_many(
        self,
        keys: Iterable[Key[V]],
        *,
        accept_stale: bool = False,
        shared: bool | None = None,
        timeout_ms: int | None = None,
    ) -> dict[Key[V], V | None]:
        """The values of many keys of any mix of resources, by the caller's keys and in their order.

        Misses are absent; a remembered "there is nothing" is None. More than 1,000 keys are asked for in several calls,
        a few at a time. Arguments as of `get`; ``timeout_ms`` limits the whole call. Within it keys are asked for again
        that failed and may be.

        Raises:
            BatchError: some keys failed, by the service or because they do not decode; carries the others' values.
        """
        wanted = checked_keys(keys, "get_many")
        if accept_stale is not False:
            checked_flag("accept_stale", accept_stale)
        if shared is not None:
            checked_flag("shared", shared)
        limit = TimeLimit(self._limit_ms(timeout_ms))
        near = await near_part(self._transport, wanted, shared)
        far = [key for key in wanted if key not in near.results and key not in near.errors]
        if not far:
            return results_of(near)

        far_part = await read_many(self._transport, far, accept_stale, limit, self._lenient)
        return results_of(joined(wanted, near, far_part))

    # Loading.

    @overload
    async def get_or_load(
        self,
        key: Key[V],
        loader: Callable[[Any], Awaitable[V] | V],
        *,
        ttl: timedelta | None = None,
        nothing_ttl: timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        shared: bool | None = None,
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
        shared: bool | None = None,
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
        shared: bool | None = None,
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
            shared: as in `get`, of a value that the near cache holds.
            timeout_ms: time limit of each exchange with the service; not of the load, and not of the whole call, which
                is ``total_timeout_ms``.
            **options: fields of `LoadPolicy` that differ for this call.

        Raises:
            Exception: whatever the loader raised, if there is no stale value to return instead.
            LoadTimeout: the load, or somebody else's, took longer than ``load_timeout_ms``, or all of it longer than
                ``total_timeout_ms``.
            ValueEncodeError: the loader returned something that is not of the key's type.
            InvalidRequest, NotPermitted: the service refused the key, a TTL, a tag, or the value for its size.
            UndecodableValue: what is stored is not a value of the key's type; only with ``on_undecodable="raise"``.
            Unavailable, DeadlineExceeded, OutcomeUnknown: only with ``on_unavailable="raise"``.
        """
        policy = self._load_policy.override(options) if options else self._load_policy
        terms = terms_of(policy, ttl, nothing_ttl, tags, self._limit_ms(timeout_ms))
        if not isinstance(key, Key):
            raise messages.not_a_key(key)
        if not callable(loader):
            raise not_a_loader(loader)
        if shared is not None:
            checked_flag("shared", shared)
        flights = self._flights.current()
        kept = self._transport.lookup_near(key)
        if kept is None and self._transport.owes_turn():
            kept = await lookup_after_turns(self._transport, key)
        if kept is not None:
            try:
                return near_value(key, kept, shared)
            except UndecodableValue:
                if policy.on_undecodable == "raise":
                    raise
        return await load_one(flights, key, loader, terms, policy)

    @overload
    async def get_or_load_many(
        self,
        keys: Iterable[Key[V]],
        loader: Callable[[list[Any]], Awaitable[Mapping[Any, V]] | Mapping[Any, V]],
        *,
        ttl: timedelta | None = None,
        nothing_ttl: timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        shared: bool | None = None,
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
        shared: bool | None = None,
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
            timeout_ms: time limit of asking for all keys, and again of storing what was loaded.
            **options: as in `get_or_load`.

        Raises:
            BatchError: some keys failed, by the service or because they do not decode; carries the others' values.
            Exception: as `get_or_load`; what the loader raised is raised if a key has no stale value.
        """
        wanted = checked_keys(keys, "get_or_load_many")
        if not callable(loader):
            raise not_a_loader(loader)
        policy = self._load_policy.override(options)
        terms = terms_of(policy, ttl, nothing_ttl, tags, self._limit_ms(timeout_ms))
        if shared is not None:
            checked_flag("shared", shared)
        flights = self._flights.current()
        near = await near_part(self._transport, wanted, shared)
        if policy.on_undecodable == "load":
            near.errors.clear()  # they are asked for, as what the service has
        far = [key for key in wanted if key not in near.results and key not in near.errors]
        if not far:
            return results_of(near)

        return results_of(joined(wanted, near, await load_many(flights, far, loader, terms, policy)))

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
            async def profile(user: str) -> dict[str, Any]: ...

            await profile("user123")
            await profile.invalidate("user123")

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
        self._limit_ms(timeout_ms)
        self._load_policy.override(options)
        if shared is not None:
            checked_flag("shared", shared)
        load = functools.partial(
            self.get_or_load, ttl=ttl, nothing_ttl=nothing_ttl, shared=shared, timeout_ms=timeout_ms, **options
        )
        delete = functools.partial(self.delete, timeout_ms=timeout_ms)

        def decorate(function: Callable[P, Any], /) -> Cached[P, Any]:
            checked_function(function)
            return Cached(function, key, tags, load, delete)

        return decorate

    # Writing.

    async def set(
        self,
        key: Key[V],
        value: V,
        *,
        ttl: timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        only_if_absent: bool = False,
        version: int | None = None,
        timeout_ms: int | None = None,
    ) -> SetResult:
        """Stores a value and states that it is current now. Any value counts: None is stored as JSON null.

        Never repeated once it may have arrived, since a repetition could overwrite a later set.

        Args:
            key: of the item.
            value: of the key's type.
            ttl: 1 ms .. the resource's maximum. Default: by the catalog and the operator's overrides.
            tags: extra tags, identifier name to value, each declared as a tag by the key's domain; at most 16.
            only_if_absent: leave a fresh value alone; a stale or invalidated one counts as absent.
            version: item version, 1..2^63-1; a lower one never overwrites a higher one.
            timeout_ms: time limit of the call.

        Raises:
            ValueEncodeError: the value is not of the key's type; nothing was sent.
            OutcomeUnknown, DeadlineExceeded: it may or may not be stored.
        """
        payload = messages.encoded(key, value)
        options = SetOptions(
            None if ttl is None else messages.ttl_ms(ttl),
            checked_tags(tags),
            checked_flag("only_if_absent", only_if_absent),
        )
        return await self._set(ValueSet(key, payload, options, checked_version(version)), timeout_ms)

    async def set_nothing(
        self,
        key: Key[Any],
        *,
        ttl: timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        only_if_absent: bool = False,
        version: int | None = None,
        timeout_ms: int | None = None,
    ) -> SetResult:
        """Remembers that there is nothing: `get` then answers None, not its default.

        Arguments and errors as `set`; ``ttl`` is required where the catalog remembers nothing for the resource.
        """
        if not isinstance(key, Key):
            raise messages.not_a_key(key)
        options = SetOptions(
            messages.ttl_ms(ttl), checked_tags(tags), checked_flag("only_if_absent", only_if_absent), negative=True
        )
        return await self._set(ValueSet(key, b"", options, checked_version(version)), timeout_ms)

    async def _set(self, request: ValueSet, timeout_ms: int | None) -> SetResult:
        try:
            return await self._transport.call(SET, request, self._limit_ms(timeout_ms), self._lenient)
        except NO_WRITE:
            if self._lenient:
                return DROPPED
            raise

    async def set_many(
        self,
        items: KeyValues[V],
        *,
        ttl: timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        timeout_ms: int | None = None,
    ) -> dict[Key[V], SetResult]:
        """Stores many values of any mix of resources, in as many calls as their number and size need.

        ``ttl`` and ``tags`` are those of every item. Items are concurrent. ``timeout_ms`` limits the whole call; within
        it items are sent again that failed and surely had no effect.

        Raises:
            ValueEncodeError: a value is not of its key's type; nothing was sent.
            BatchError: some items failed; carries the others' results.
        """
        limit = TimeLimit(self._limit_ms(timeout_ms))
        options = SetOptions(messages.ttl_ms(ttl), checked_tags(tags))
        sets = [(key, messages.encoded(key, value)) for key, value in checked_items(items).items()]
        return results_of(await write_many(self._transport, sets, options, limit, self._lenient))

    async def touch(self, key: Key[Any], ttl: timedelta | None = None, *, timeout_ms: int | None = None) -> bool:
        """Gives a fresh value a new TTL, counted from now; False if there is none.

        Args:
            key: of the item.
            ttl: range and default as in `set`.
            timeout_ms: time limit of the call.
        """
        request = pb.TouchRequest(key=messages.key_message(key), ttl_ms=messages.ttl_ms(ttl))
        try:
            return (await self._transport.call(TOUCH, request, self._limit_ms(timeout_ms), self._lenient)).touched
        except NO_WRITE:
            if self._lenient:
                return False
            raise

    # Changing.

    async def delete(self, key: Key[Any], *, timeout_ms: int | None = None) -> bool:
        """Removes one entry; whether one was stored, valid or not (after a repetition: whether one still was).

        A read that starts after the answer never returns the old value. Raises whenever that is not certain.
        """
        request = pb.DeleteRequest(key=messages.key_message(key))
        return (await self._transport.call(DELETE, request, self._limit_ms(timeout_ms))).existed

    async def invalidate(
        self, *selectors: Selector, wait_for_near_caches: bool = False, timeout_ms: int | None = None
    ) -> InvalidateResult:
        """Invalidates everything the selectors select, in time that does not depend on the number of entries.

        A read that starts after the answer never returns a value that was loaded before it. Raises whenever that is not
        certain, then some of it may hold; repeating is safe.

        Args:
            selectors: at least one: named invalidations (``User("user123")``), `Tag`, `Resource`, `Domain`, keys.
            wait_for_near_caches: answer only after every near cache has dropped it, whatever the catalog says.
            timeout_ms: time limit of the whole call, whatever the number of selectors.
        """
        if not selectors:
            reason = ErrorReason.ERROR_REASON_SELECTOR_INVALID
            raise InvalidRequest("nothing to invalidate: give at least one selector", reason=reason, field="selectors")
        chosen = [to_wire(selector) for selector in selectors]
        checked_flag("wait_for_near_caches", wait_for_near_caches)
        limit = TimeLimit(self._limit_ms(timeout_ms))
        tags: dict[str, None] = {}
        deleted_keys = 0
        for start in range(0, len(chosen), MAX_SELECTORS):
            request = pb.InvalidateRequest(
                selectors=chosen[start : start + MAX_SELECTORS], wait_for_near_caches=wait_for_near_caches
            )
            answer = await self._transport.call(INVALIDATE, request, limit.left_ms(changed=start > 0))
            tags.update(dict.fromkeys(answer.tags))
            deleted_keys += answer.deleted_keys
        return InvalidateResult(tuple(tags), deleted_keys)

    # Looking.

    async def metrics(self, *domains: str, timeout_ms: int | None = None) -> dict[str, pb.DomainMetrics]:
        """Counts by domain, in the order of the catalog; of every domain the caller may read if none is named.

        Counts and catalog are answered as the messages of the contract: a new count needs no second definition here,
        and ``cache_service.proto`` says what each means.
        """
        checked_names(domains)
        answer = await self._transport.call(METRICS, pb.MetricsRequest(domains=domains), self._limit_ms(timeout_ms))
        return {domain.domain: domain for domain in answer.domains}

    async def describe_catalog(self, *domains: str, timeout_ms: int | None = None) -> pb.DescribeCatalogResponse:
        """The catalog as the service runs it, with the operator's overrides; of all domains if none is named.

        As `metrics`, a message of the contract.
        """
        checked_names(domains)
        request = pb.DescribeCatalogRequest(domains=domains)
        return await self._transport.call(DESCRIBE_CATALOG, request, self._limit_ms(timeout_ms))


def transport_to(
    target: str,
    near_cache: bool | None,
    near_cache_bounds: NearCacheBounds | None,
    sessions: bool,
    tls: TlsConfig | None,
    token: str | None,
    failures: FailurePolicy | None,
    on_event: Callable[[Any], object] | None,
) -> Transport:
    """The transport of `CacheClient.connect`, whose arguments these are, and their errors."""
    check_threads()
    checked_kind("target", target, str, "text, host:port")
    checked_kind("near_cache", near_cache, (bool, NoneType), "True, False or None")
    checked_kind("near_cache_bounds", near_cache_bounds, (NearCacheBounds, NoneType), "a NearCacheBounds")
    checked_flag("sessions", sessions)
    checked_kind("tls", tls, (TlsConfig, NoneType), "a TlsConfig")
    checked_kind("token", token, (str, NoneType), "text")
    checked_kind("failures", failures, (FailurePolicy, NoneType), "a FailurePolicy")
    checked_hook(on_event)
    if not sessions:
        return UnaryTransport(target, tls=tls, token=token, failures=failures, on_event=on_event)
    bounds = None if near_cache is False else (near_cache_bounds or NearCacheBounds())
    return SessionTransport(target, tls=tls, token=token, near_cache=bounds, failures=failures, on_event=on_event)


def checked_hook(on_event: object) -> None:
    """Raises:
    TypeError: it cannot be called.
    """
    if on_event is not None and not callable(on_event):
        raise TypeError(f"on_event is a function of an event, not of type {type(on_event).__name__}")


def checked_timeout(timeout_ms: int) -> int:
    """The time limit itself.

    Raises:
        ValueError: it is no whole number, or out of its range.
    """
    return whole_number("timeout_ms", timeout_ms, 1, MAX_TIMEOUT_MS)
