"""A stored value that does not decode is a miss for verbs that load, and is replaced."""

from __future__ import annotations

import asyncio
import logging

import pytest
from fake_server import FakeServer, Fault
from loaders import AWAY, Loader

from coherd import BatchError, CacheClient, ErrorReason, UndecodableValue
from coherd.domains import celery
from coherd.domains.celery.v1 import celery_pb2

pytestmark = pytest.mark.usefixtures("no_task_is_left")

KEYS = [celery.TaskMetrics(id=f"t{number}") for number in range(3)]
KEY = KEYS[0]
NEW = celery_pb2.TaskMetrics(state="new")


@pytest.fixture(autouse=True)
def garbage(fake: FakeServer) -> None:
    for key in KEYS[:2]:
        fake.put(key, b"\xff\xff", fresh_s=60.0)


async def test_what_does_not_decode_is_loaded_and_replaced_and_told_once(
    cache: CacheClient, fake: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    loader = Loader(NEW)
    assert await asyncio.gather(*(cache.get_or_load(KEY, loader) for _ in range(20))) == [NEW] * 20
    assert (loader.calls, fake.calls["Delete"]) == (1, 1)
    assert await cache.get(KEY) == NEW
    assert await cache.get_or_load(KEYS[1], loader) == NEW
    assert cache.load_counts == {"celery:task_metrics": {"undecodable": 2}}
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert ["celery:task_metrics" in record.message for record in warnings] == [True]


async def test_many_are_loaded_together_and_replaced(cache: CacheClient, fake: FakeServer) -> None:
    calls: list[int] = []

    def loader(keys: list[celery.TaskMetrics]) -> dict[celery.TaskMetrics, celery_pb2.TaskMetrics]:
        calls.append(len(keys))
        return dict.fromkeys(keys, NEW)

    answer = await cache.get_or_load_many(KEYS, loader)
    assert list(answer.items()) == [(key, NEW) for key in KEYS]
    assert sorted(calls) == [1, 2]
    assert await cache.get_many(KEYS) == dict.fromkeys(KEYS, NEW)


@pytest.mark.parametrize("reason", [AWAY, ErrorReason.ERROR_REASON_PERMISSION_DENIED])
async def test_what_cannot_be_replaced_is_loaded_around(cache: CacheClient, fake: FakeServer, reason: int) -> None:
    fake.fail("Delete", *[Fault(reason=reason)] * 30)
    assert await cache.get_or_load(KEY, Loader(NEW)) == NEW
    assert await cache.get_or_load_many([KEY], lambda keys: dict.fromkeys(keys, NEW)) == {KEY: NEW}
    with pytest.raises(UndecodableValue):
        await cache.get(KEY)


async def test_strictness_is_an_option(cache: CacheClient, fake: FakeServer) -> None:
    loader = Loader(NEW)
    with pytest.raises(UndecodableValue):
        await cache.get_or_load(KEY, loader, on_undecodable="raise")
    with pytest.raises(BatchError) as failed:
        await cache.get_or_load_many([KEY], loader, on_undecodable="raise")
    assert isinstance(failed.value.errors[KEY], UndecodableValue)
    with pytest.raises(ValueError, match="on_undecodable"):
        await cache.get_or_load(KEY, loader, on_undecodable="miss")  # type: ignore[call-overload]
    assert (loader.calls, fake.calls["Delete"]) == (0, 0)
