"""The blocking client: what the near cache will serve, closing, and that it is the asynchronous client's equal."""

from __future__ import annotations

import ast
import asyncio
import inspect
import pydoc
import threading
import typing
from collections.abc import Iterator
from typing import Any

import pytest

import coherd
from coherd import BatchError, ClientClosed, LoadPolicy, OpenKey, UndecodableValue
from coherd._loading.cached import Cached
from coherd._near.kept import Growth, Kept
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


class WithoutAwaitables(ast.NodeTransformer):
    """``Awaitable[X] | X`` becomes ``X``."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        node.left, node.right = self.visit(node.left), self.visit(node.right)
        match node.left:
            case ast.Subscript(value=ast.Name(id="Awaitable")):
                return node.right
        return node


def plain(annotation: str) -> str:
    """An annotation, without what only a coroutine function returns."""
    return ast.unparse(WithoutAwaitables().visit(ast.parse(annotation, mode="eval")))


def shown(function: Any) -> list[tuple[str, Any, Any, str]]:
    """Parameters with their kinds, defaults and types, and the type of the result."""
    signature = inspect.signature(function)
    empty = inspect.Parameter.empty
    rows = [
        (each.name, each.kind, each.default, "" if each.annotation is empty else plain(each.annotation))
        for each in signature.parameters.values()
    ]
    return [*rows, ("return", None, None, str(signature.return_annotation))]


def methods(of: type) -> dict[str, Any]:
    """Public methods and special ones by name."""
    members = inspect.getmembers(of, lambda member: inspect.isfunction(member) or inspect.ismethod(member))
    return {name: member for name, member in members if not name.startswith("_") or name.startswith("__")}


@pytest.mark.parametrize(("kind", "twin"), PAIRS)
def test_twins_have_the_same_methods_signatures_and_overloads(kind: type, twin: type) -> None:
    theirs = {ASYNC_ONLY.get(name, name): member for name, member in methods(kind).items()}
    ours = methods(twin)
    assert set(theirs) == set(ours)
    for name, method in theirs.items():
        assert shown(method) == shown(ours[name]), name
        assert inspect.iscoroutinefunction(inspect.unwrap(ours[name])) is False
        overloads = [shown(each) for each in typing.get_overloads(method)]
        assert overloads == [shown(each) for each in typing.get_overloads(ours[name])], name


@pytest.mark.parametrize("twin", [twin for _, twin in PAIRS])
def test_annotations_of_twins_can_be_resolved(twin: type) -> None:
    for name, method in methods(twin).items():
        hints = typing.get_type_hints(method)
        annotated = [
            each for each in inspect.signature(method).parameters.values() if each.annotation is not each.empty
        ]
        assert {each.name for each in annotated} <= set(hints), name


@pytest.mark.parametrize(("kind", "twin"), PAIRS)
def test_twins_are_documented_as_what_they_are(kind: type, twin: type) -> None:
    theirs = {ASYNC_ONLY.get(name, name): member for name, member in methods(kind).items()}
    for name, method in methods(twin).items():
        doc = inspect.getdoc(method)
        assert bool(doc) == bool(inspect.getdoc(theirs[name])), name
        for falsehood in ("await", "suspend"):
            assert falsehood not in (doc or ""), name
    text = pydoc.render_doc(twin, renderer=pydoc.plaintext)
    assert "async " not in text
    assert "await" not in text


def test_help_shows_parameters_and_what_they_mean() -> None:
    text = pydoc.render_doc(CacheClient.set, renderer=pydoc.plaintext)
    assert "set(self, key: 'Key[V]', value: 'V', *, ttl: 'timedelta | None' = None," in text
    assert "-> 'SetResult'" in text
    assert "only_if_absent: leave a fresh value alone" in text
    assert CacheClient.set.__name__ == "set"
    assert CacheClient.set.__qualname__ == "CacheClient.set"


class Near(CacheClient):
    """With a near cache of the test's own."""

    kept: dict[str, Any]

    def _near_hit(self, key: Any) -> Any:
        return self.kept.get(key)


def kept(payload: bytes, *, negative: bool = False) -> Any:
    """An entry of a near cache."""
    return Kept("key", payload, negative, 1e9, 0, int, Growth(1_000_000))


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


def test_near_hits_of_familiar_names_need_no_other_thread(near: Near) -> None:
    key = content.Topics(user="u")
    near.kept = {key: kept(key.codec.encode(["near"]))}
    before = threading.active_count()
    assert blocking_compat.UnifiedCacheService(near).get_content_topics("u") == ["near"]
    assert blocking_compat.RedisService(near).get("topics:u:list") == ["near"]
    assert threading.active_count() == before


def test_a_familiar_method_that_waits_for_something_else_is_refused(near: Near) -> None:
    async def waits() -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="something else than the cache"):
        blocking_compat.UnifiedCacheService(near)._wait(waits())


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
        assert client._asynchronous._load_policy.stale == "wait"
        with pytest.raises(TypeError, match="a key is needed"):
            client.get("content:topics:user:u")  # type: ignore[call-overload]
