"""What type checkers must accept, with the types they must find. Never run: `test_typing.py` gives it to them."""

from __future__ import annotations

import datetime
from typing import Any, assert_type

from coherd._loading.policy import NOTHING, Nothing
from coherd.client import CacheClient
from coherd.domains import ai_model, analytics, celery, content, crisis, maintenance, psychology, session
from coherd.domains.celery.v1 import celery_pb2
from coherd.domains.tags import Content, Date, User
from coherd.key import Key, OpenKey
from coherd.selectors import Domain, Resource, Selector, Tag


async def values_have_the_type_of_their_key(cache: CacheClient) -> None:
    assert_type(await cache.get(psychology.Profile(user="u")), Any | None)
    assert_type(await cache.get(celery.TaskMetrics(id="x")), celery_pb2.TaskMetrics | None)
    assert_type(await cache.get(celery.WorkerStatus(name="w")), celery_pb2.WorkerStatus | None)
    assert_type(await cache.get(OpenKey("content", "drafts", {"user": "u"})), Any | None)
    assert_type(await cache.get(celery.TaskMetrics(id="x"), default="none"), celery_pb2.TaskMetrics | str | None)
    print(await cache.get(celery.TaskMetrics(id="x")), await cache.get_entry(celery.TaskMetrics(id="x")))
    assert_type(await cache.get(celery.TaskMetrics(id="x"), shared=True), celery_pb2.TaskMetrics | None)
    assert_type(cache.peek(celery.TaskMetrics(id="x")), celery_pb2.TaskMetrics | None)
    assert_type(
        cache.peek(celery.TaskMetrics(id="x"), default="none", shared=True), celery_pb2.TaskMetrics | str | None
    )
    print(cache.peek(celery.TaskMetrics(id="x")))
    task = await cache.get(celery.TaskMetrics(id="x"))
    if task is not None:
        assert_type(task.runtime_ms, float)


async def many_values_have_the_type_of_their_keys(cache: CacheClient) -> None:
    tasks = await cache.get_many([celery.TaskMetrics(id=name) for name in ("a", "b")])
    assert_type(tasks, dict[Key[celery_pb2.TaskMetrics], celery_pb2.TaskMetrics | None])
    days = await cache.get_many([analytics.Daily(user="u", date=datetime.date(2025, 8, 6))])
    assert_type(days, dict[Key[Any], Any | None])
    await cache.set_many({celery.TaskMetrics(id="x"): celery_pb2.TaskMetrics(worker="w")})
    await cache.set_many({analytics.Daily(user="u", date="20250806"): {"words": 812}})


async def every_verb_takes_every_key(cache: CacheClient) -> None:
    keys: list[Key[Any]] = [
        analytics.WritingStats(user="u", days=30),
        ai_model.Prompt(hash="h", model="m"),
        content.Topics(user="u"),
        crisis.Trends(timeframe="7d"),
        maintenance.SystemHealth(),
        session.Data(id="s"),
    ]
    for key in keys:
        await cache.set(key, {"any": ["json"]}, ttl=datetime.timedelta(minutes=5))
        await cache.delete(key)
        await cache.touch(key)
        await cache.invalidate(key)
    await cache.set(session.Data(id="s"), [], tags={"user": "u"})
    await cache.set(celery.WorkerStatus(name="w"), celery_pb2.WorkerStatus(state="online"))


async def every_selector(cache: CacheClient) -> None:
    await cache.invalidate(User("u"), Content("c"), Date("20250806"), Date(datetime.date(2025, 8, 6)))
    await cache.invalidate(Tag("user", "u", "analytics"), Domain("crisis"), Resource.of(celery.TaskMetrics))
    chosen: list[Selector] = [User("u"), analytics.ContentEngagement(content="c"), celery.TaskMetrics(id="x")]
    await cache.invalidate(*chosen)


def identifiers_have_their_types() -> None:
    assert_type(analytics.WritingStats(user="u", days=30).days, int)
    assert_type(analytics.Daily(user="u", date="20250806").date, datetime.date)
    assert_type(analytics.Daily(user="u", date="20250806").user, str)
    assert_type(celery.TaskMetrics.parse("celery:task_metrics:id:x"), celery.TaskMetrics)
    text: str = maintenance.ComponentStatus(component="db")
    assert_type(text.upper(), str)


async def loaded_values_have_the_type_of_their_key(cache: CacheClient) -> None:
    async def task(key: celery.TaskMetrics) -> celery_pb2.TaskMetrics:
        return celery_pb2.TaskMetrics(worker=key.id)

    def task_in_a_thread(key: celery.TaskMetrics) -> celery_pb2.TaskMetrics:
        return celery_pb2.TaskMetrics(worker=key.id)

    async def perhaps(key: celery.TaskMetrics) -> celery_pb2.TaskMetrics | Nothing:
        return NOTHING if key.id == "x" else celery_pb2.TaskMetrics()

    async def profile(key: psychology.Profile) -> dict[str, Any]:
        return {"user": key.user}

    assert_type(await cache.get_or_load(celery.TaskMetrics(id="x"), task), celery_pb2.TaskMetrics)
    assert_type(await cache.get_or_load(celery.TaskMetrics(id="x"), task_in_a_thread), celery_pb2.TaskMetrics)
    assert_type(await cache.get_or_load(celery.TaskMetrics(id="x"), perhaps), celery_pb2.TaskMetrics | None)
    await cache.get_or_load(celery.TaskMetrics(id="x"), lambda key: celery_pb2.TaskMetrics(worker=key.id))
    await cache.get_or_load(psychology.Profile(user="u"), profile, stale="wait", soft_timeout_ms=50, lease_ms=1_000)
    await cache.get_or_load(session.Data(id="s"), lambda key: {"cart": []}, tags={"user": "u"})


async def many_loaded_values_have_the_type_of_their_keys(cache: CacheClient) -> None:
    async def tasks(keys: list[celery.TaskMetrics]) -> dict[celery.TaskMetrics, celery_pb2.TaskMetrics]:
        return {key: celery_pb2.TaskMetrics(worker=key.id) for key in keys}

    many = await cache.get_or_load_many([celery.TaskMetrics(id="x")], tasks)
    assert_type(many, dict[Key[celery_pb2.TaskMetrics], celery_pb2.TaskMetrics | None])


async def decorated_functions_keep_their_parameters(cache: CacheClient) -> None:
    @cache.cached(lambda id, **_: celery.TaskMetrics(id=id), ttl=datetime.timedelta(minutes=1))
    async def task(id: str, *, retries: int = 0) -> celery_pb2.TaskMetrics:
        return celery_pb2.TaskMetrics(worker=id, retries=retries)

    @cache.cached(celery.TaskMetrics)
    def perhaps(id: str) -> celery_pb2.TaskMetrics | Nothing:
        return NOTHING

    assert_type(await task("x", retries=2), celery_pb2.TaskMetrics)
    assert_type(await task.refresh("x"), celery_pb2.TaskMetrics)
    assert_type(await task.invalidate("x"), bool)
    assert_type(task.key("x"), Key[celery_pb2.TaskMetrics])
    assert_type(await perhaps("x"), celery_pb2.TaskMetrics | None)


class Tasks:
    """Cached methods."""

    cache: CacheClient = CacheClient.connect("localhost:1")

    @cache.cached(lambda self, id: celery.TaskMetrics(id=id))
    async def of_object(self, id: str) -> celery_pb2.TaskMetrics:
        return celery_pb2.TaskMetrics()

    @cache.cached(celery.TaskMetrics)
    @staticmethod
    async def static(id: str) -> celery_pb2.TaskMetrics:
        return celery_pb2.TaskMetrics()


async def cached_methods_keep_their_parameters(tasks: Tasks) -> None:
    assert_type(await tasks.of_object("x"), celery_pb2.TaskMetrics)
    assert_type(await tasks.of_object(id="x"), celery_pb2.TaskMetrics)
    assert_type(await tasks.of_object.refresh("x"), celery_pb2.TaskMetrics)
    assert_type(await tasks.of_object.invalidate(id="x"), bool)
    assert_type(await Tasks.of_object(tasks, "x"), celery_pb2.TaskMetrics)
    assert_type(await Tasks.static("x"), celery_pb2.TaskMetrics)
    assert_type(await Tasks.static.invalidate("x"), bool)
