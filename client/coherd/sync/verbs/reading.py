# Generated from coherd/verbs/reading.py by `make gen`. Do not edit.
"""Reading: get, get_entry, get_many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar, overload

from coherd import values
from coherd.key import Key, ReadKey
from coherd.results import Entry
from coherd.sync.blocking import Blocking

V = TypeVar("V")
D = TypeVar("D")


class Reading(Blocking):
    """Verbs that change nothing."""

    @overload
    def get(self, key: ReadKey[V], *, accept_stale: bool = False, timeout_ms: int | None = None) -> V | None: ...
    @overload
    def get(
        self, key: ReadKey[V], *, default: D, accept_stale: bool = False, timeout_ms: int | None = None
    ) -> V | D | None: ...
    def get(
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
        if (kept := self._near_hit(key)) is not None:
            return values.decoded_near(key, kept)
        return self._wait(self._cache.get(key, default=default, accept_stale=accept_stale, timeout_ms=timeout_ms))

    def get_entry(
        self, key: ReadKey[V], *, accept_stale: bool = False, timeout_ms: int | None = None
    ) -> Entry[V] | None:
        """The value with its age, remaining TTL, version and tags; None for a miss.

        Raises:
            UndecodableValue: what is stored is not a value of the key's type.
        """
        return self._wait(self._cache.get_entry(key, accept_stale=accept_stale, timeout_ms=timeout_ms))

    def get_many(
        self, keys: Iterable[Key[V]], *, accept_stale: bool = False, timeout_ms: int | None = None
    ) -> dict[Key[V], V | None]:
        """The values of many keys of any mix of resources, by the caller's keys and in their order.

        Misses are absent; a remembered "there is nothing" is None. More than 1,000 keys are asked for in several calls,
        a few at a time.

        Raises:
            BatchError: some keys failed, by the service or because they do not decode; carries the others' values.
        """
        return self._many(
            keys, lambda some: self._wait(self._cache.get_many(some, accept_stale=accept_stale, timeout_ms=timeout_ms))
        )
