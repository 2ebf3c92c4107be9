# Generated from coherd/verbs/changing.py by `make gen`. Do not edit.
"""Changing: delete, invalidate."""

from __future__ import annotations

from typing import Any

from coherd.key import Key
from coherd.results import InvalidateResult
from coherd.selectors import Selector
from coherd.sync.blocking import Blocking


class Changing(Blocking):
    """Verbs after which the old value is never read again."""

    def delete(self, key: Key[Any], *, timeout_ms: int | None = None) -> bool:
        """Removes one entry; whether one was stored, valid or not (after a repetition: whether one still was).

        A read that starts after the answer never returns the old value. Raises whenever that is not certain.
        """
        return self._wait(self._cache.delete(key, timeout_ms=timeout_ms))

    def invalidate(
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
        return self._wait(
            self._cache.invalidate(*selectors, wait_for_near_caches=wait_for_near_caches, timeout_ms=timeout_ms)
        )
