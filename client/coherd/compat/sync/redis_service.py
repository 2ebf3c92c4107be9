"""Get, set and delete for code that still passes key text, blocking."""

from __future__ import annotations

from coherd.compat.redis_service import RedisService as AsyncService
from coherd.compat.sync.service import BlockingService
from coherd.sync.blocking import blocking


class RedisService(BlockingService):
    """Values are JSON; of ``celery:task_metrics`` and ``celery:worker_status`` dicts of their messages' fields.

    Keys are canonical text, or text of an older form (`CacheMigrationHelper.convert_legacy_key`).
    """

    _kind = AsyncService

    get = blocking(AsyncService.get)
    set = blocking(AsyncService.set)
    delete = blocking(AsyncService.delete)
