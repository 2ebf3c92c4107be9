"""Reading: get, get_entry, get_many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, overload

from coherd import values
from coherd._rpc.methods import GET
from coherd.batches import Part, joined, near_part, read_call, results_of, run_calls, split_keys
from coherd.errors import ServerDefect
from coherd.key import Key, ReadKey
from coherd.results import Entry
from coherd.v1 import cache_service_pb2 as wire
from coherd.verbs.base import NO_READ, Verbs

V = TypeVar("V")
D = TypeVar("D")


class Reading(Verbs):
    """Verbs that change nothing."""

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

        What the near cache holds is answered from this process, without suspending the caller.

        Args:
            key: of the item.
            default: told apart from a remembered "nothing" by its identity.
            accept_stale: also take a value past its TTL, within the resource's stale time.
            timeout_ms: time limit of the call.

        Raises:
            UndecodableValue: what is stored is not a value of the key's type.
        """
        kept = self._transport.lookup_near(key)
        if kept is not None and isinstance(key, Key):
            return values.decoded_near(key, kept)
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
        if not isinstance(key, Key):
            raise values.not_a_key(key)
        try:
            answer = await self._transport.call(GET, (key, accept_stale), self._limit_ms(timeout_ms))
        except NO_READ:
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
        limit_ms = self._limit_ms(timeout_ms)
        near = near_part(self._transport, wanted)
        far = [key for key in wanted if key not in near.results and key not in near.errors]
        if not far:
            return results_of(near)

        async def read(call: Sequence[Key[V]]) -> Part:
            return await read_call(self._transport, call, accept_stale, limit_ms)

        try:
            part = await run_calls(split_keys(far), read, iter)
        except NO_READ:
            if not self._lenient:
                raise
            part = Part({}, {})
        if self._lenient:
            part = Part(part.results, {k: e for k, e in part.errors.items() if not isinstance(e, NO_READ)})
        if near.results or near.errors:
            part = joined(wanted, near, part)
        return results_of(part)
