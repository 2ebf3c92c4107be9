"""Every method of the familiar services against a server: the coroutines, and the blocking ones."""

from __future__ import annotations

import asyncio
import datetime
import inspect
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from fake_server import FakeServer

from coherd import CacheClient, ClientClosed, InvalidRequest, Refusal, ValueEncodeError, sync
from coherd import compat as familiar
from coherd.compat import CacheInvalidationPatterns, CachePatterns, RedisService, UnifiedCacheService
from coherd.compat import sync as familiar_blocking
from coherd.domains.celery.v1 import celery_pb2
from coherd.testing import FakeCache
from rig.awaited import Awaited

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "writing_stats": ("user123", 30),
    "analytics_daily": ("user123", "20250806"),
    "mood_trends": ("user123", "30d"),
    "content_engagement": ("c1",),
    "psychology_profile": ("user123",),
    "content_analysis": ("c1",),
    "psychology_insights": ("user123", "emotional"),
    "crisis_assessment": ("abc12345",),
    "crisis_user_risk": ("user123",),
    "crisis_trends": ("7d",),
    "system_health": (),
    "component_status": ("database",),
    "performance_metrics": (),
    "session_data": ("session789",),
    "session_activity": ("user123",),
    "ai_model_instance": ("bert", "latest"),
    "ai_prompt": ("xyz789", "gpt4"),
    "content_topics": ("user123",),
    "celery_task_metrics": ("task123",),
    "celery_worker_status": ("worker1",),
}
TASK = {"task_name": "app.tasks.analyse", "state": "SUCCESS", "runtime_ms": 12.5, "retries": 2}


@dataclass
class Services:
    """Both services of one flavour."""

    unified: Any
    redis: Any


@pytest.fixture(params=["coroutines", "blocking"])
async def services(request: pytest.FixtureRequest, fake: FakeServer) -> AsyncIterator[Services]:
    if request.param == "coroutines":
        async with CacheClient.connect(fake.target) as cache:
            yield Services(UnifiedCacheService(cache), RedisService(cache))
        return
    blocking = sync.CacheClient.connect(fake.target)
    unified, redis = familiar_blocking.UnifiedCacheService(blocking), familiar_blocking.RedisService(blocking)
    async with Awaited(unified) as one, Awaited(redis) as other, Awaited(blocking) as client:
        yield Services(one, other)
        await client.close()


@pytest.fixture
def service(services: Services) -> Any:
    return services.unified


@pytest.mark.parametrize("kind", [UnifiedCacheService, familiar_blocking.UnifiedCacheService])
def test_every_operation_has_its_methods_and_its_pattern(kind: type) -> None:
    methods = {name for name, _ in inspect.getmembers(kind, inspect.isfunction)}
    pairs = {f"{verb}_{name}" for name in ARGUMENTS for verb in ("get", "set")}
    others = {"invalidate_user_cache", "invalidate_content_cache", "invalidate_daily_cache", "get_cache_metrics"}
    assert {name for name in methods if not name.startswith("_")} == pairs | others
    assert {name for name in vars(CachePatterns) if not name.startswith("_")} == set(ARGUMENTS)


@pytest.mark.parametrize("name", ARGUMENTS)
async def test_pair(service: Any, fake: FakeServer, name: str) -> None:
    get, set_ = getattr(service, f"get_{name}"), getattr(service, f"set_{name}")
    arguments = ARGUMENTS[name]
    value: Any = {"state": "online"} if name.startswith("celery_") else {"n": 0, "list": []}
    assert await get(*arguments) is None
    assert await set_(value, *arguments) is True
    [request] = fake.requests("Set")
    key = request.key.text
    assert key == getattr(CachePatterns, name)(*arguments)
    assert request.HasField("ttl_ms") is False
    assert value.items() <= (await get(*arguments)).items()
    assert await set_(value, *arguments, ttl=7) is True
    assert fake.ttl_ms(key) == 7_000


async def test_session_data_goes_with_its_user(service: Any) -> None:
    await service.set_session_data({"cart": []}, "s1", user_id="user123")
    await service.set_session_data({"cart": []}, "s2", "user456", 60)
    assert await service.invalidate_user_cache("user123") == CacheInvalidationPatterns.user("user123")
    assert await service.get_session_data("s1") is None
    assert await service.get_session_data("s2") == {"cart": []}


async def test_invalidations(service: Any) -> None:
    await service.set_analytics_daily(1, "u", "20250805")
    await service.set_analytics_daily(2, "u")
    await service.set_content_analysis(3, "c1")
    assert await service.invalidate_daily_cache("20250805") == CacheInvalidationPatterns.daily("20250805")
    assert await service.invalidate_content_cache("c1") == CacheInvalidationPatterns.content("c1")
    assert await service.get_analytics_daily("u", "20250805") is None
    assert await service.get_content_analysis("c1") is None
    assert await service.get_analytics_daily("u") == 2
    assert (await service.invalidate_daily_cache())[1:] == ["maintenance/date:*"]
    assert await service.get_analytics_daily("u") is None


async def test_metrics_are_plain(service: Any) -> None:
    await service.set_content_topics(["a"], "u")
    assert [await service.get_content_topics(user) for user in "uuux"] == [["a"]] * 3 + [None]
    metrics = await service.get_cache_metrics()
    assert set(metrics) == {domain.value for domain in familiar.CacheDomain}
    assert (metrics["content"]["hit_ratio"], metrics["content"]["keyspace"]["keys"]) == (0.75, 1)
    assert metrics["content"]["resources"][0]["key_pattern"] == "content:topics:user:{user}"


async def test_celery_values_are_dicts_or_messages(service: Any) -> None:
    ended = datetime.datetime(2025, 8, 6, 12, tzinfo=datetime.UTC)
    await service.set_celery_task_metrics({**TASK, "finished_at": ended}, "t1")
    shown = await service.get_celery_task_metrics("t1")
    unset = {"queue_ms": 0.0, "worker": "", "error": ""}
    assert shown == {**TASK, **unset, "finished_at": "2025-08-06T12:00:00Z"}
    await service.set_celery_task_metrics(shown, "t2")
    assert await service.get_celery_task_metrics("t2") == shown
    status = celery_pb2.WorkerStatus(processed_tasks=2**53 + 1, queues=["a"], load_average=[0.5])
    await service.set_celery_worker_status(status, "w1")
    shown = await service.get_celery_worker_status("w1")
    assert shown is not None
    assert (shown["processed_tasks"], shown["queues"], shown["last_heartbeat_at"]) == (2**53 + 1, ["a"], None)
    for wrong in ({"secret": 1}, {"retries": "many"}, [1], "text", {"finished_at": "yesterday"}):
        with pytest.raises(ValueEncodeError) as caught:
            await service.set_celery_task_metrics(wrong, "t1")
        assert "secret" not in str(caught.value)


async def test_a_ttl_that_is_none_is_an_error(service: Any) -> None:
    with pytest.raises(InvalidRequest):
        await service.set_system_health({}, ttl=0)


async def test_ids_are_numbers_and_days_iso_text(service: Any) -> None:
    await service.set_analytics_daily(1, 5, "2025-08-06")
    assert await service.get_analytics_daily("5", "20250806") == 1
    await service.set_session_data(2, uuid.UUID(int=5), user_id=5)
    assert await service.invalidate_user_cache(5) == CacheInvalidationPatterns.user("5")
    assert await service.get_session_data(str(uuid.UUID(int=5))) is None
    assert await service.get_analytics_daily(5, "2025-08-06") is None
    await service.set_analytics_daily(1, 5, "2025-08-06")
    await service.invalidate_daily_cache("2025-08-06")
    assert await service.get_analytics_daily(5, "2025-08-06") is None


@pytest.mark.parametrize("ttl", [1.5, "300", -1, True, datetime.timedelta(1), 10**11])
async def test_a_ttl_that_is_no_number_of_seconds_is_refused_by_name(services: Services, ttl: Any) -> None:
    with pytest.raises(ValueError, match=r"ttl \(in seconds\) must be"):
        await services.unified.set_system_health({}, ttl=ttl)
    with pytest.raises(ValueError, match=r"ttl \(in seconds\) must be"):
        await services.redis.set("content:topics:user:u", 1, ttl=ttl)


@pytest.mark.parametrize("value", [{5: "a"}, {"at": datetime.date(2025, 8, 6)}, object()])
async def test_what_json_would_change_is_refused(services: Services, value: Any) -> None:
    for setting in (services.unified.set_system_health(value), services.redis.set("content:topics:user:u", value)):
        with pytest.raises(ValueEncodeError, match="cannot be JSON"):
            await setting


@pytest.mark.parametrize("key", [5, None, b"topics:u:list"])
async def test_a_key_that_is_no_text_is_refused(services: Services, key: Any) -> None:
    for call in (services.redis.get(key), services.redis.set(key, 1), services.redis.delete(key)):
        with pytest.raises(Refusal, match="a key is text, not of type"):
            await call


async def test_key_text(services: Services, fake: FakeServer) -> None:
    redis = services.redis
    assert await redis.set("topics:user123:list", ["a"], ttl=300)
    assert fake.ttl_ms("content:topics:user:user123") == 300_000
    assert await redis.get("content:topics:user:user123") == ["a"]
    assert await redis.set("task_metrics:t1", TASK)
    shown = await redis.get("celery:task_metrics:id:t1")
    assert TASK.items() <= shown.items()
    assert (await services.unified.get_celery_task_metrics("t1")) == shown
    assert await redis.set("content:drafts:user:u:list", None)
    assert await redis.delete("task_metrics:t1") is True
    assert await redis.delete("task_metrics:t1") is False
    assert await redis.get("task_metrics:t1") is None


@pytest.fixture
async def at_default_target(fake: FakeServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeServer]:
    monkeypatch.setenv("COHERD_TARGET", fake.target)
    yield fake
    await familiar.close_default_client()


async def test_module_level_services_connect_on_first_use(at_default_target: FakeServer) -> None:
    assert await familiar.unified_cache_service.set_content_topics(["a"], "u")
    assert await familiar.redis_service.get("topics:u:list") == ["a"]
    await familiar.close_default_client()
    assert await familiar.redis_service.get("topics:u:list") == ["a"]


async def test_blocking_module_level_services_connect_on_first_use(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COHERD_TARGET", fake.target)

    def use() -> list[object]:
        answers: list[object] = [familiar_blocking.unified_cache_service.set_content_topics(["a"], "u")]
        answers.append(familiar_blocking.redis_service.get("topics:u:list"))
        familiar_blocking.close_default_client()
        answers.append(familiar_blocking.redis_service.get("topics:u:list"))
        familiar_blocking.close_default_client()
        return answers

    assert await asyncio.to_thread(use) == [True, ["a"], ["a"]]


async def test_module_level_services_use_the_client_they_are_given() -> None:
    fake = FakeCache()
    familiar.set_default_client(fake)
    familiar_blocking.set_default_client(sync.CacheClient(fake.transport))
    try:
        await familiar.unified_cache_service.set_content_topics(["a"], 5)
        assert await familiar.redis_service.get("topics:5:list") == ["a"]
        assert await asyncio.to_thread(familiar_blocking.redis_service.get, "topics:5:list") == ["a"]
        with pytest.raises(TypeError, match=r"a coherd.CacheClient is needed, not of type CacheClient of coherd.sync"):
            familiar.set_default_client(sync.CacheClient(fake.transport))  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"a coherd.sync.CacheClient is needed, not of type FakeCache"):
            familiar_blocking.set_default_client(fake)  # type: ignore[arg-type]
    finally:
        await asyncio.to_thread(familiar_blocking.close_default_client)
        await familiar.close_default_client()
    with pytest.raises(ClientClosed):
        await fake.get(CachePatterns.content_topics(5))
