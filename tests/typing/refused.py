"""What type checkers must refuse: each line that ends in ``# refused``, and no other. Never run."""

from __future__ import annotations

import datetime

from coherd.client import CacheClient
from coherd.domains import analytics, celery, maintenance, psychology
from coherd.domains.celery.v1 import celery_pb2
from coherd.domains.tags import Date, User


def keys() -> None:
    psychology.Profile(usr="u")  # refused
    psychology.Profile()  # refused
    psychology.Profile("u")  # refused
    psychology.Profile(user=5)  # refused
    psychology.Profile(user=None)  # refused
    psychology.Profile(user="u", more="m")  # refused
    analytics.WritingStats(user="u", days="30")  # refused
    analytics.WritingStats(user="u", days=1.5)  # refused
    analytics.Daily(user="u", date=20250806)  # refused
    maintenance.SystemHealth(component="db")  # refused
    analytics.Weekly(user="u")  # refused
    print(analytics.WritingStats(user="u", days=30).hours)  # refused
    analytics.WritingStats(user="u", days=30).days = 5  # refused
    psychology.Profile(user="u")


async def values(cache: CacheClient) -> None:
    await cache.set(celery.TaskMetrics(id="x"), celery_pb2.WorkerStatus())  # refused
    await cache.set(celery.TaskMetrics(id="x"), {"worker": "w"})  # refused
    await cache.set(celery.TaskMetrics(id="x"), None)  # refused
    await cache.set_many({celery.TaskMetrics(id="x"): 5})  # refused
    await cache.get("celery:task_metrics:id:x")  # refused
    await cache.set(psychology.Profile(user="u"), {}, ttl=60)  # refused
    status: celery_pb2.WorkerStatus | None = await cache.get(celery.TaskMetrics(id="x"))  # refused
    await cache.set(celery.TaskMetrics(id="x"), celery_pb2.TaskMetrics())
    await cache.set(psychology.Profile(user="u"), {}, ttl=datetime.timedelta(seconds=60))
    print(status)


async def selectors(cache: CacheClient) -> None:
    User(5)  # refused
    User()  # refused
    Date(20250806)  # refused
    await cache.invalidate("user")  # refused
    await cache.invalidate(User)  # refused
    await cache.invalidate(User("u"))
