"""The blocking client: what the near cache will serve, closing, and that it is the asynchronous client's equal."""

from __future__ import annotations

import inspect
import threading
import typing
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import coherd
from coherd import BatchError, ClientClosed, LoadPolicy, OpenKey, UndecodableValue
from coherd._loading.cached import Cached
from coherd.codegen.without_async import without_async
from coherd.compat import RedisService, UnifiedCacheService
from coherd.compat import sync as blocking_compat
from coherd.domains import celery, content
from coherd.domains.celery.v1 import celery_pb2
from coherd.sync import CacheClient
from coherd.sync import Cached as BlockingCached
from coherd.sync.loop_thread import LOOP
from coherd.testing import FakeCache

PAIRS = [
    (coherd.CacheClient, CacheClient),
    (Cached, BlockingCached),
    (UnifiedCacheService, blocking_compat.UnifiedCacheService),
    (RedisService, blocking_compat.RedisService),
]
ASYNC_ONLY = {"__aenter__": "__enter__", "__aexit__": "__exit__"}


def shown(function: Any) -> list[tuple[str, Any, Any, str]]:
    """Parameters with their kinds, defaults and types, and the type of the result."""
    signature = inspect.signature(function)
    rows = [
        (each.name, each.kind, each.default, "".join(without_async(str(each.annotation)).split()))
        for each in signature.parameters.values()
    ]
    return [*rows, ("return", None, None, str(signature.return_annotation))]


@pytest.mark.parametrize(("kind", "twin"), PAIRS)
def test_twins_have_the_same_methods_signatures_and_overloads(kind: type, twin: type) -> None:
    def methods(of: type) -> dict[str, Any]:
        found = inspect.getmembers(of, lambda member: inspect.isfunction(member) or inspect.ismethod(member))
        return {name: member for name, member in found if not name.startswith("_") or name.startswith("__")}

    theirs = {ASYNC_ONLY.get(name, name): member for name, member in methods(kind).items()}
    ours = methods(twin)
    assert set(theirs) == set(ours)
    for name, method in theirs.items():
        assert shown(method) == shown(ours[name]), name
        assert inspect.iscoroutinefunction(ours[name]) is False
        assert bool(inspect.getdoc(method)) == bool(inspect.getdoc(ours[name])), name
        overloads = [shown(each) for each in typing.get_overloads(method)]
        assert overloads == [shown(each) for each in typing.get_overloads(ours[name])], name


class Near(CacheClient):
    """With a near cache of the test's own."""

    kept: dict[str, Any]

    def _near_hit(self, key: Any) -> Any:
        return self.kept.get(key)


def kept(payload: bytes, *, negative: bool = False) -> Any:
    """An entry of a near cache."""
    return SimpleNamespace(payload=payload, negative=negative)


@pytest.fixture
def near() -> Iterator[Near]:
    with Near(FakeCache().transport) as client:
        client.kept = {}
        yield client


def test_near_hits_need_no_other_thread(near: Near) -> None:
    key, nothing = content.Topics(user="u"), content.Topics(user="nothing")
    near.kept = {key: kept(key.codec.encode(["near"])), nothing: kept(b"", negative=True)}
    before = threading.active_count()
    assert near.get(key) == near.get_or_load(key, lambda _: "loaded") == ["near"]
    assert near.get(nothing, default="a miss") is None
    assert near.get_many([nothing, key]) == {nothing: None, key: ["near"]}
    assert near.get_or_load_many([key], lambda _: {}) == {key: ["near"]}
    assert threading.active_count() == before
    value = near.get(key)
    value.append("mine")
    assert near.get(key) == ["near"]


def test_many_are_joined_in_the_callers_order(near: Near) -> None:
    keys = [OpenKey("content", "drafts", {"n": str(n)}) for n in range(4)]
    near.kept = {keys[2]: kept(keys[2].codec.encode(2))}
    near.set_many({keys[3]: 3, keys[0]: 0})
    assert list(near.get_many(keys).items()) == [(keys[0], 0), (keys[2], 2), (keys[3], 3)]
    bad = OpenKey("nowhere", "x")
    with pytest.raises(BatchError) as caught:
        near.get_many([keys[3], bad, keys[2]])
    assert list(caught.value.results.items()) == [(keys[3], 3), (keys[2], 2)]
    assert list(caught.value.errors) == [bad]


def test_a_near_payload_of_another_type_is_an_error(near: Near) -> None:
    key = celery.TaskMetrics(id="x")
    near.kept = {key: kept(b"\xff")}
    with pytest.raises(UndecodableValue, match="celery:task_metrics"):
        near.get(key)
    near.set(key, celery_pb2.TaskMetrics(worker="w"))
    assert near.get_many([key]) == {key: celery_pb2.TaskMetrics(worker="w")}


def test_closing_ends_the_thread_and_later_calls() -> None:
    fake = FakeCache()
    first, second = CacheClient(fake.transport), CacheClient(FakeCache().transport)
    assert first.set(content.Topics(user="u"), 1)
    assert second.get(content.Topics(user="u")) is None
    thread = LOOP._thread
    first.close()
    first.close()
    with pytest.raises(ClientClosed):
        first.get(content.Topics(user="u"))
    with pytest.raises(ClientClosed):
        first.get_or_load(content.Topics(user="u"), lambda _: 1)
    assert thread is not None
    assert thread.is_alive()
    second.close()
    assert not thread.is_alive()


def test_connect_checks_its_arguments() -> None:
    with pytest.raises(ValueError, match="timeout_ms"):
        CacheClient.connect("localhost:1", timeout_ms=0)
    with CacheClient.connect("localhost:1", loading=LoadPolicy(stale="wait")) as client:
        assert client._load_policy.stale == "wait"
        with pytest.raises(TypeError, match="a key is needed"):
            client.get("content:topics:user:u")  # type: ignore[call-overload]
