"""The asynchronous client: a fixed set of verbs on typed keys."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import starmap
from types import TracebackType
from typing import Any, Final, Literal, Protocol, Self, TypeVar, overload

from coherd import values
from coherd.batches import Part, SetItems, read_call, results_of, run_calls, split_keys, split_sets, write_call
from coherd.errors import DeadlineExceeded, InvalidRequest, OutcomeUnknown, ServerDefect, Unavailable
from coherd.key import Key, ReadKey
from coherd.metrics import DomainMetrics, metrics_of
from coherd.results import Entry, InvalidateResult, SetOutcome, SetResult
from coherd.selectors import Selector, to_wire
from coherd.transport.protocol import Transport
from coherd.transport.tls import TlsConfig
from coherd.transport.unary import UnaryTransport
from coherd.v1 import cache_service_pb2 as wire
from coherd.v1.errors_pb2 import ErrorReason

V = TypeVar("V")
D = TypeVar("D")

DEFAULT_TIMEOUT_MS: Final = 2_000
MAX_SELECTORS: Final = 100
"""Most selectors of one call; more are sent in several."""

_NO_READ: Final = (Unavailable, DeadlineExceeded)
_NO_WRITE: Final = (Unavailable, DeadlineExceeded, OutcomeUnknown)
_DROPPED: Final = SetResult(SetOutcome.DROPPED)


class KeyValues(Protocol[V]):
    """A mapping from keys to values of their types, for instance ``dict[Daily, Any]``."""

    def items(self) -> Iterable[tuple[Key[V], V]]:
        """Key and value of each item."""
        ...


class CacheClient:
    """Gets, sets and invalidates entries of a Coherd service.

    One client serves any number of tasks and event loops, and works in processes forked later; make one per program.

    Every verb takes ``timeout_ms``, the time limit of the whole call (>= 1, default: the client's), which covers
    connecting and repetitions. What may be repeated is repeated within it: nothing that might take effect twice.

    Every verb raises `coherd.errors.CacheError`; the tree is documented there. With ``on_unavailable="miss"``:

    - `get`, `get_entry` and `get_many` treat a service that is unavailable or late as a miss,
    - `set`, `set_many`, `set_nothing` and `touch` drop what is not known to be stored, and answer false,
    - `delete` and `invalidate` raise all the same: what was not invalidated would be served later.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
        on_unavailable: Literal["raise", "miss"] = "raise",
    ) -> None:
        """
        Args:
            transport: carries the requests; closed with the client.
            timeout_ms: time limit of calls that give none, >= 1.
            on_unavailable: what reads and sets do while the service is away.

        Raises:
            ValueError: an argument is out of its range.
        """
        if on_unavailable not in ("raise", "miss"):
            raise ValueError('on_unavailable is "raise" or "miss"')
        self._transport = transport
        self._timeout_ms = _checked(timeout_ms)
        self._lenient = on_unavailable == "miss"

    @classmethod
    def connect(
        cls,
        target: str,
        *,
        near_cache: bool | None = None,
        tls: TlsConfig | None = None,
        token: str | None = None,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
        on_unavailable: Literal["raise", "miss"] = "raise",
    ) -> Self:
        """A client of the service at a target. Does no I/O: it connects with its first call.

        Args:
            target: ``host:port``, or any gRPC target.
            near_cache: keep values in this process: None: as the catalog says, False: never, True: where the catalog
                allows it. This version keeps none, whatever is given: every read asks the service, which is what
                False promises, and never less coherent than the others. True warns.
            tls: None: plain text.
            token: bearer token; without ``tls`` it crosses the network readable.
            timeout_ms: time limit of calls that give none, >= 1.
            on_unavailable: what reads and sets do while the service is away.

        Raises:
            ValueError: an argument is out of its range.
        """
        if near_cache:
            warnings.warn("this version of coherd keeps no near cache: every read asks the service", stacklevel=2)
        return cls(UnaryTransport(target, tls=tls, token=token), timeout_ms=timeout_ms, on_unavailable=on_unavailable)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends calls in flight; they and later ones raise `ClientClosed`. Safe to repeat."""
        await self._transport.close()

    # Reading.

    @overload
    async def get(self, key: ReadKey[V], *, accept_stale: bool = False, timeout_ms: int | None = None) -> V | None: ...
    @overload
    async def get(
        self, key: ReadKey[V], *, default: D, accept_stale: bool = False, timeout_ms: int | None = None
    ) -> V | D | None: ...
    async def get(
        self, key: ReadKey[Any], *, default: Any = None, accept_stale: bool = False, timeout_ms: int | None = None
    ) -> Any:
        """The value; ``default`` for a miss; None for a remembered "there is nothing". Falsy values are values.

        Args:
            key: of the item.
            default: told apart from a remembered "nothing" by its identity.
            accept_stale: also take a value past its TTL, within the resource's stale time.
            timeout_ms: time limit of the call.

        Raises:
            UndecodableValue: what is stored is not a value of the key's type.
        """
        hit = await self._hit(key, accept_stale, timeout_ms)
        return default if hit is None else values.decoded(key, hit)

    async def get_entry(
        self, key: ReadKey[V], *, accept_stale: bool = False, timeout_ms: int | None = None
    ) -> Entry[V] | None:
        """The value with its age, remaining TTL, version and tags; None for a miss.

        Raises:
            UndecodableValue: what is stored is not a value of the key's type.
        """
        hit = await self._hit(key, accept_stale, timeout_ms)
        if hit is None:
            return None
        return Entry(
            value=values.decoded(key, hit),
            age_ms=hit.age_ms,
            remaining_ttl_ms=hit.remaining_ttl_ms,
            stale=hit.stale,
            negative=hit.negative,
            version=hit.version if hit.HasField("version") else None,
            extra_tags=dict(hit.extra_tags),
        )

    async def _hit(self, key: ReadKey[Any], accept_stale: bool, timeout_ms: int | None) -> wire.Hit | None:
        request = wire.GetRequest(key=values.key_message(key), accept_stale=accept_stale)
        try:
            answer = await self._transport.get(request, self._limit_ms(timeout_ms))
        except _NO_READ:
            if self._lenient:
                return None
            raise
        if answer.HasField("hit"):
            return answer.hit
        if answer.HasField("miss"):
            return None
        raise ServerDefect("the answer is neither a value nor a miss")

    async def get_many(
        self, keys: Iterable[Key[V]], *, accept_stale: bool = False, timeout_ms: int | None = None
    ) -> dict[Key[V], V | None]:
        """The values of many keys of any mix of resources, by the caller's keys and in their order.

        Misses are absent; a remembered "there is nothing" is None. More than 1,000 keys are asked for in several calls,
        a few at a time.

        Raises:
            BatchError: some keys failed, by the service or because they do not decode; carries the others' values.
        """
        wanted = list(dict.fromkeys(keys))
        if not wanted:
            return {}
        limit_ms = self._limit_ms(timeout_ms)

        async def read(call: Sequence[Key[V]]) -> Part:
            return await read_call(self._transport, call, accept_stale, limit_ms)

        try:
            part = await run_calls(split_keys(wanted), read, iter)
        except _NO_READ:
            if self._lenient:
                return {}
            raise
        if self._lenient:
            part = Part(part.results, {k: e for k, e in part.errors.items() if not isinstance(e, _NO_READ)})
        return results_of(part)

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
        request = values.set_request(
            key,
            values.encoded(key, value),
            ttl_ms=values.ttl_ms(ttl),
            tags=tags,
            only_if_absent=only_if_absent,
            version=version,
        )
        return await self._set(request, timeout_ms)

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
        request = values.set_request(
            key,
            b"",
            ttl_ms=values.ttl_ms(ttl),
            tags=tags,
            only_if_absent=only_if_absent,
            version=version,
            negative=True,
        )
        return await self._set(request, timeout_ms)

    async def _set(self, request: wire.SetRequest, timeout_ms: int | None) -> SetResult:
        try:
            answer = await self._transport.set(request, self._limit_ms(timeout_ms))
        except _NO_WRITE:
            if self._lenient:
                return _DROPPED
            raise
        return values.set_result(answer)

    async def set_many(
        self,
        items: KeyValues[V],
        *,
        ttl: timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        timeout_ms: int | None = None,
    ) -> dict[Key[V], SetResult]:
        """Stores many values of any mix of resources, in as many calls as their number and size need.

        ``ttl`` and ``tags`` are those of every item. Items are concurrent.

        Raises:
            ValueEncodeError: a value is not of its key's type; nothing was sent.
            BatchError: some items failed; carries the others' results.
        """
        lifetime_ms = values.ttl_ms(ttl)

        def request(key: Key[V], value: V) -> tuple[Key[V], wire.SetRequest]:
            payload = values.encoded(key, value)
            return key, values.set_request(
                key, payload, ttl_ms=lifetime_ms, tags=tags, only_if_absent=False, version=None
            )

        calls = split_sets(list(starmap(request, items.items())))
        if not calls:
            return {}
        limit_ms = self._limit_ms(timeout_ms)

        async def write(call: SetItems) -> Part:
            try:
                return await write_call(self._transport, call, limit_ms)
            except _NO_WRITE:
                if self._lenient:
                    return Part({key: _DROPPED for key, _ in call}, {})
                raise

        part = await run_calls(calls, write, lambda call: (key for key, _ in call))
        if self._lenient:
            dropped = {key: _DROPPED for key, error in part.errors.items() if isinstance(error, _NO_WRITE)}
            part = Part(part.results | dropped, {k: e for k, e in part.errors.items() if k not in dropped})
        return results_of(part)

    async def delete(self, key: Key[Any], *, timeout_ms: int | None = None) -> bool:
        """Removes one entry; whether one was stored, valid or not (after a repetition: whether one still was).

        A read that starts after the answer never returns the old value. Raises whenever that is not certain.
        """
        request = wire.DeleteRequest(key=values.key_message(key))
        return (await self._transport.delete(request, self._limit_ms(timeout_ms))).existed

    async def touch(self, key: Key[Any], ttl: timedelta | None = None, *, timeout_ms: int | None = None) -> bool:
        """Gives a fresh value a new TTL, counted from now; False if there is none.

        Args:
            key: of the item.
            ttl: range and default as in `set`.
            timeout_ms: time limit of the call.
        """
        request = wire.TouchRequest(key=values.key_message(key), ttl_ms=values.ttl_ms(ttl))
        try:
            return (await self._transport.touch(request, self._limit_ms(timeout_ms))).touched
        except _NO_WRITE:
            if self._lenient:
                return False
            raise

    async def invalidate(
        self, *selectors: Selector, wait_for_near_caches: bool = False, timeout_ms: int | None = None
    ) -> InvalidateResult:
        """Invalidates everything the selectors select, in time that does not depend on the number of entries.

        A read that starts after the answer never returns a value that was loaded before it. Raises whenever that is not
        certain, then some of it may hold; repeating is safe.

        Args:
            selectors: at least one: named invalidations (``User("user123")``), `Tag`, `Resource`, `Domain`, keys.
            wait_for_near_caches: answer only after every near cache has dropped it, whatever the catalog says.
            timeout_ms: time limit, of each 100 selectors.
        """
        if not selectors:
            reason = ErrorReason.ERROR_REASON_SELECTOR_INVALID
            raise InvalidRequest("nothing to invalidate: give at least one selector", reason=reason, field="selectors")
        chosen = [to_wire(selector) for selector in selectors]
        limit_ms = self._limit_ms(timeout_ms)
        tags: dict[str, None] = {}
        deleted_keys = 0
        for start in range(0, len(chosen), MAX_SELECTORS):
            request = wire.InvalidateRequest(
                selectors=chosen[start : start + MAX_SELECTORS], wait_for_near_caches=wait_for_near_caches
            )
            answer = await self._transport.invalidate(request, limit_ms)
            tags.update(dict.fromkeys(answer.tags))
            deleted_keys += answer.deleted_keys
        return InvalidateResult(tuple(tags), deleted_keys)

    # Looking.

    async def metrics(self, *domains: str, timeout_ms: int | None = None) -> dict[str, DomainMetrics]:
        """Counts by domain, in the order of the catalog; of every domain the caller may read if none is named."""
        answer = await self._transport.metrics(wire.MetricsRequest(domains=domains), self._limit_ms(timeout_ms))
        return metrics_of(answer)

    async def describe_catalog(self, *domains: str, timeout_ms: int | None = None) -> wire.DescribeCatalogResponse:
        """The catalog as the service runs it, with the operator's overrides; of all domains if none is named.

        The answer is the message of the contract itself: it is documentation, and tools read it as such.
        """
        request = wire.DescribeCatalogRequest(domains=domains)
        return await self._transport.describe_catalog(request, self._limit_ms(timeout_ms))

    def _limit_ms(self, timeout_ms: int | None) -> int:
        return self._timeout_ms if timeout_ms is None else _checked(timeout_ms)


def _checked(timeout_ms: int) -> int:
    if timeout_ms < 1:
        raise ValueError(f"timeout_ms must be at least 1, not {timeout_ms}")
    return timeout_ms
