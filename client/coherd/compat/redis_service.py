"""Get, set and delete for code that still passes key text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from coherd.client import CacheClient
from coherd.compat.arguments import lifetime
from coherd.compat.celery_values import dict_of, message_of
from coherd.compat.default_client import default_client
from coherd.compat.migration import CacheMigrationHelper
from coherd.contract.keys import parse_key
from coherd.domains import celery
from coherd.domains.celery.v1 import celery_pb2
from coherd.key import Key, OpenKey

_MESSAGES: Final[Mapping[tuple[str, str], tuple[type[Key[Any]], type[Any]]]] = {
    ("celery", "task_metrics"): (celery.TaskMetrics, celery_pb2.TaskMetrics),
    ("celery", "worker_status"): (celery.WorkerStatus, celery_pb2.WorkerStatus),
}
"""Resources of the built-in catalog whose values are no JSON."""


class RedisService:
    """Values are JSON; of ``celery:task_metrics`` and ``celery:worker_status`` dicts of their messages' fields.

    Keys are canonical text, or text of an older form (`CacheMigrationHelper.convert_legacy_key`).
    """

    def __init__(self, client: CacheClient | None = None) -> None:
        """
        Args:
            client: None: the default client, opened on first use.
        """
        self._client = client

    @property
    def _cache(self) -> CacheClient:
        return self._client or default_client()

    async def get(self, key: str) -> Any:
        """The value, or None."""
        typed, message = _typed(key)
        value = await self._cache.get(typed)
        return value if value is None or message is None else dict_of(value)

    async def set(self, key: str, value: Any, ttl: int | None = None) -> bool:
        """Stores a value for ``ttl`` seconds (default: as the catalog says); whether it was stored."""
        typed, message = _typed(key)
        stored = value if message is None else message_of(message, value)
        return bool(await self._cache.set(typed, stored, ttl=lifetime(ttl)))

    async def delete(self, key: str) -> bool:
        """Removes an entry; whether one was stored."""
        return await self._cache.delete(_typed(key)[0])


def _typed(text: str) -> tuple[Key[Any], type[Any] | None]:
    """The key of a text, and its value message if that is no JSON."""
    canonical = CacheMigrationHelper.convert_legacy_key(text)
    parts = parse_key(canonical)
    known = None if parts.suffix is not None else _MESSAGES.get((parts.domain, parts.resource))
    if known is None:
        return OpenKey.parse(canonical), None
    return known[0].parse(canonical), known[1]
