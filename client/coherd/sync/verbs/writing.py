# Generated from coherd/verbs/writing.py by `make gen`. Do not edit.
"""Writing: set, set_nothing, set_many, touch."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeVar

from coherd.key import Key
from coherd.results import SetResult
from coherd.sync.blocking import Blocking
from coherd.verbs.writing import KeyValues

V = TypeVar("V")


class Writing(Blocking):
    """Verbs that state what is current."""

    def set(
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
        return self._wait(
            self._cache.set(
                key, value, ttl=ttl, tags=tags, only_if_absent=only_if_absent, version=version, timeout_ms=timeout_ms
            )
        )

    def set_nothing(
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
        return self._wait(
            self._cache.set_nothing(
                key, ttl=ttl, tags=tags, only_if_absent=only_if_absent, version=version, timeout_ms=timeout_ms
            )
        )

    def set_many(
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
        return self._wait(self._cache.set_many(items, ttl=ttl, tags=tags, timeout_ms=timeout_ms))

    def touch(self, key: Key[Any], ttl: timedelta | None = None, *, timeout_ms: int | None = None) -> bool:
        """Gives a fresh value a new TTL, counted from now; False if there is none.

        Args:
            key: of the item.
            ttl: range and default as in `set`.
            timeout_ms: time limit of the call.
        """
        return self._wait(self._cache.touch(key, ttl, timeout_ms=timeout_ms))
