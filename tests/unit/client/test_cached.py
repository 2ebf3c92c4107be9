"""Cached functions: methods of all kinds, the arguments of their keys, and what they are to others."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from coherd import sync as coherd_sync
from coherd.domains import celery, content
from coherd.testing import FakeCache

cache = FakeCache()
blocking = coherd_sync.CacheClient(cache.transport)
calls: list[Any] = []


class Service:
    def __init__(self, name: str) -> None:
        self.name = name

    @cache.cached(lambda self, user: content.Topics(user=f"{self.name}-{user}"))
    async def topics(self, user: str) -> str:
        """Of a user."""
        calls.append(user)
        return f"{self.name} {user}"

    @cache.cached(content.Topics)
    def plain(self, user: str) -> str:
        calls.append(user)
        return f"{self.name} {user}"

    @cache.cached(content.Topics)
    @classmethod
    async def of_class(cls, user: str) -> str:
        calls.append(user)
        return f"{cls.__name__} {user}"

    @cache.cached(content.Topics)
    @staticmethod
    async def static(user: str) -> str:
        calls.append(user)
        return f"static {user}"

    @classmethod
    @cache.cached(content.Topics)
    async def below_class(cls, user: str) -> str:
        calls.append(user)
        return f"{cls.__name__} {user}"

    @staticmethod
    @cache.cached(content.Topics)
    async def below_static(user: str) -> str:
        calls.append(user)
        return f"static {user}"

    @blocking.cached(content.Topics)
    def blocks(self, user: str) -> str:
        calls.append(user)
        return f"blocks {user}"

    @blocking.cached(content.Topics)
    @classmethod
    def blocks_of_class(cls, user: str) -> str:
        calls.append(user)
        return f"blocks {cls.__name__} {user}"


@pytest.mark.parametrize(
    ("method", "value", "key"),
    [
        (Service("s1").topics, "s1 m1", content.Topics(user="s1-m1")),
        (Service("s2").topics, "s2 m1", content.Topics(user="s2-m1")),
        (Service("s3").plain, "s3 m1", content.Topics(user="m1")),
        (Service.of_class, "Service m1", content.Topics(user="m1")),
        (Service("s4").of_class, "Service m1", content.Topics(user="m1")),
        (Service.static, "static m1", content.Topics(user="m1")),
        (Service("s5").static, "static m1", content.Topics(user="m1")),
        (Service.below_class, "Service m1", content.Topics(user="m1")),
        (Service("s6").below_class, "Service m1", content.Topics(user="m1")),
        (Service.below_static, "static m1", content.Topics(user="m1")),
        (Service("s7").below_static, "static m1", content.Topics(user="m1")),
    ],
)
async def test_methods_of_all_kinds_are_cached(method: Any, value: str, key: Any) -> None:
    calls.clear()
    await cache.delete(key)
    assert method.key("m1") == key
    assert [await method("m1"), await method(user="m1")] == [value] * 2
    assert calls == ["m1"]
    assert await method.invalidate("m1") is True
    assert await method.refresh("m1") == value
    assert calls == ["m1"] * 2
    assert await cache.get(key) == value


def test_methods_of_all_kinds_are_cached_by_the_blocking_client() -> None:
    for method, value in ((Service("s").blocks, "blocks b1"), (Service.blocks_of_class, "blocks Service b1")):
        calls.clear()
        assert [method("b1"), method(user="b1")] == [value] * 2
        assert calls == ["b1"]
        assert method.invalidate("b1") is True
        assert method.refresh("b1") == value
        assert method.invalidate("b1") is True


async def test_what_a_class_hides_of_a_cached_function_is_told() -> None:
    """From Python 3.13 on a `classmethod` is no more than its function: what is called without the class says so."""

    @cache.cached(content.Topics)
    async def of_class(cls: type, user: str) -> str:
        return user

    words = "of_class is called without its cls: write @cached above @classmethod"
    without_class: Any = of_class
    with pytest.raises(TypeError, match=words):
        without_class.key("u")
    for call in (without_class.invalidate("u"), without_class.refresh("u")):
        with pytest.raises(TypeError, match=words):
            await call


async def test_a_key_gets_the_defaults_of_the_function() -> None:
    @cache.cached(lambda user, page: content.Topics(user=f"{user}-{page}"), tags=lambda user, page: {})
    async def pages(user: str, page: int = 1) -> int:
        return page

    assert pages.key("u") == pages.key("u", 1) == pages.key(page=1, user="u") == content.Topics(user="u-1")
    assert [await pages("d"), await pages("d", page=2), await pages("d", 1)] == [1, 2, 1]

    @cache.cached(lambda who: content.Topics(user=who))
    async def otherwise(user: str) -> str:
        return user

    assert otherwise.key(user="u") == content.Topics(user="u")

    @cache.cached(lambda *users: content.Topics(user="-".join(users)))
    async def together(*users: str) -> str:
        return "".join(users)

    assert together.key("a", "b") == content.Topics(user="a-b")


def test_wrong_keys_say_what_is_wrong() -> None:
    async def topics(name: str, limit: int = 3) -> str:
        return name

    for client in (cache, blocking):
        with pytest.raises(TypeError, match=r"cached got topics for the key: write @cache.cached\(key\)"):
            client.cached(topics)  # type: ignore[arg-type]
        bare: Any = client.cached(lambda user: user)
        with pytest.raises(TypeError, match=r"cached decorates a function, not an object of str: write @cache"):
            bare("u1")
    for key in (content.Topics, lambda name: content.Topics(user=name)):
        decorate: Callable[..., Any] = cache.cached(key)
        with pytest.raises(TypeError, match=r"the key of topics cannot be made of its arguments \(name, limit\)"):
            decorate(topics)
    with pytest.raises(TypeError, match="the tags of topics cannot be made"):
        cache.cached(lambda name, **_: celery.TaskMetrics(id=name), tags=lambda user: {"user": user})(topics)  # type: ignore[arg-type]


def test_a_cached_function_is_a_coroutine_function() -> None:
    assert inspect.iscoroutinefunction(Service.topics)
    assert inspect.iscoroutinefunction(Service("s").topics)
    assert inspect.iscoroutinefunction(Service("s").plain)
    for function in (Service.of_class, Service.static, Service.below_class, Service.below_static):
        assert inspect.iscoroutinefunction(function)
        assert list(inspect.signature(function).parameters) == ["user"]
    assert not inspect.iscoroutinefunction(Service("s").blocks)
    assert list(inspect.signature(Service("s").topics).parameters) == ["user"]
    assert list(inspect.signature(Service.topics).parameters) == ["self", "user"]
    assert Service.topics.__doc__ == "Of a user."
