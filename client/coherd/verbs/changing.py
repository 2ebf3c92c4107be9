"""Changing: delete, invalidate."""

from __future__ import annotations

from typing import Any, Final

from coherd import values
from coherd._rpc.methods import DELETE, INVALIDATE
from coherd.errors import InvalidRequest
from coherd.key import Key
from coherd.results import InvalidateResult
from coherd.selectors import Selector, to_wire
from coherd.v1 import cache_service_pb2 as wire
from coherd.v1.errors_pb2 import ErrorReason
from coherd.verbs.base import Verbs

MAX_SELECTORS: Final = 100
"""Most selectors of one call; more are sent in several."""


class Changing(Verbs):
    """Verbs after which the old value is never read again."""

    async def delete(self, key: Key[Any], *, timeout_ms: int | None = None) -> bool:
        """Removes one entry; whether one was stored, valid or not (after a repetition: whether one still was).

        A read that starts after the answer never returns the old value. Raises whenever that is not certain.
        """
        request = wire.DeleteRequest(key=values.key_message(key))
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
            answer = await self._transport.call(INVALIDATE, request, limit_ms)
            tags.update(dict.fromkeys(answer.tags))
            deleted_keys += answer.deleted_keys
        return InvalidateResult(tuple(tags), deleted_keys)
