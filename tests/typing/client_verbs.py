"""Types that flow through the verbs. Checked, not run: a wrong line must be an error, an unused ignore is one too."""

from __future__ import annotations

from typing import Any, assert_type

from coherd import CacheClient, Entry, Key, Resource, SetResult
from coherd.domains import analytics, celery, psychology
from coherd.domains.celery.v1 import celery_pb2
from coherd.domains.tags import User

TASK = celery.TaskMetrics(id="t1")
DAILY = analytics.Daily(user="u", date="20250806")


async def reading(cache: CacheClient) -> None:
    assert_type(await cache.get(TASK), celery_pb2.TaskMetrics | None)
    assert_type(await cache.get(TASK, default=5), celery_pb2.TaskMetrics | int | None)
    assert_type(await cache.get_entry(TASK), Entry[celery_pb2.TaskMetrics] | None)
    assert_type(await cache.get_many([TASK]), dict[Key[celery_pb2.TaskMetrics], celery_pb2.TaskMetrics | None])
    assert_type((await cache.get_many([TASK]))[TASK], celery_pb2.TaskMetrics | None)
    assert_type(await cache.get_many([TASK, DAILY]), dict[Key[Any], Any | None])
    await cache.get("celery:task_metrics:id:t1")  # type: ignore[call-overload]


async def writing(cache: CacheClient) -> None:
    message = celery_pb2.TaskMetrics()
    assert_type(await cache.set(TASK, message), SetResult)
    await cache.set(TASK, {"state": "SUCCESS"})  # type: ignore[misc]
    await cache.set(TASK, message, ttl=60)  # type: ignore[arg-type]
    assert_type(await cache.set_many({TASK: message}), dict[Key[celery_pb2.TaskMetrics], SetResult])
    days = {analytics.Daily(user=user, date="20250806"): {"words": 1} for user in "ab"}
    await cache.set_many(days)
    await cache.set_many({TASK: message, DAILY: [1]})
    await cache.set_many({TASK: {"state": "SUCCESS"}})  # type: ignore[misc]


async def changing(cache: CacheClient) -> None:
    assert_type(await cache.delete(TASK), bool)
    await cache.invalidate(User("u"), TASK, DAILY, Resource.of(psychology.Profile), Resource.of(celery.TaskMetrics))
    await cache.invalidate("user")  # type: ignore[arg-type]
