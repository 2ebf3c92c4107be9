"""Writing: set, set_nothing, set_many, touch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from itertools import starmap
from typing import Any, Final, Protocol, TypeVar

from coherd import values
from coherd._rpc.methods import SET, TOUCH
from coherd.batches import Part, SetItems, results_of, run_calls, split_sets, write_call
from coherd.key import Key
from coherd.results import SetOutcome, SetResult
from coherd.v1 import cache_service_pb2 as wire
from coherd.verbs.base import NO_WRITE, Verbs

V = TypeVar("V")

_DROPPED: Final = SetResult(SetOutcome.DROPPED)


class KeyValues(Protocol[V]):
    """A mapping from keys to values of their types, for instance ``dict[Daily, Any]``."""

    def items(self) -> Iterable[tuple[Key[V], V]]:
        """Key and value of each item."""
        ...


class Writing(Verbs):
    """Verbs that state what is current."""

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
            answer = await self._transport.call(SET, request, self._limit_ms(timeout_ms))
        except NO_WRITE:
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
            except NO_WRITE:
                if self._lenient:
                    return Part({key: _DROPPED for key, _ in call}, {})
                raise

        part = await run_calls(calls, write, lambda call: (key for key, _ in call))
        if self._lenient:
            dropped = {key: _DROPPED for key, error in part.errors.items() if isinstance(error, NO_WRITE)}
            part = Part(part.results | dropped, {k: e for k, e in part.errors.items() if k not in dropped})
        return results_of(part)

    async def touch(self, key: Key[Any], ttl: timedelta | None = None, *, timeout_ms: int | None = None) -> bool:
        """Gives a fresh value a new TTL, counted from now; False if there is none.

        Args:
            key: of the item.
            ttl: range and default as in `set`.
            timeout_ms: time limit of the call.
        """
        request = wire.TouchRequest(key=values.key_message(key), ttl_ms=values.ttl_ms(ttl))
        try:
            return (await self._transport.call(TOUCH, request, self._limit_ms(timeout_ms))).touched
        except NO_WRITE:
            if self._lenient:
                return False
            raise
