"""Arguments of a plainly wrong type: each verb names what is wrong and what it expects, and sends nothing."""

from __future__ import annotations

import asyncio
import datetime
import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from coherd import CacheClient, CacheError, InvalidRequest, LoadLimits, LoadPolicy, OpenKey, Refusal
from coherd import sync as coherd_sync
from coherd.domains import analytics, content, session
from coherd.domains.tags import Date, User
from coherd.selectors import Domain, Resource, Tag
from coherd.testing import FakeCache

KEY: Any = content.Topics(user="secret")
DATA: Any = session.Data(id="secret")
DAY = datetime.date(2025, 8, 6)


def load(_: Any) -> int:
    return 1


def load_many(keys: list[Any]) -> dict[Any, int]:
    return dict.fromkeys(keys, 1)


Verb = Callable[[Any, Any], Any]

OF_A_KEY: dict[str, Verb] = {
    "get": lambda cache, key: cache.get(key),
    "get_entry": lambda cache, key: cache.get_entry(key),
    "get_many": lambda cache, key: cache.get_many([key]),
    "get_or_load": lambda cache, key: cache.get_or_load(key, load),
    "get_or_load_many": lambda cache, key: cache.get_or_load_many([key], load_many),
    "set": lambda cache, key: cache.set(key, 1),
    "set_nothing": lambda cache, key: cache.set_nothing(key),
    "set_many": lambda cache, key: cache.set_many({key: 1}),
    "touch": lambda cache, key: cache.touch(key),
    "delete": lambda cache, key: cache.delete(key),
}
OF_KEYS: dict[str, Verb] = {
    "get_many": lambda cache, keys: cache.get_many(keys),
    "get_or_load_many": lambda cache, keys: cache.get_or_load_many(keys, load_many),
}
WITH_TAGS: dict[str, Verb] = {
    "set": lambda cache, tags: cache.set(DATA, 1, tags=tags),
    "set_nothing": lambda cache, tags: cache.set_nothing(DATA, ttl=timedelta(minutes=1), tags=tags),
    "set_many": lambda cache, tags: cache.set_many({DATA: 1}, tags=tags),
    "get_or_load": lambda cache, tags: cache.get_or_load(DATA, load, tags=tags),
    "get_or_load_many": lambda cache, tags: cache.get_or_load_many([DATA], load_many, tags=tags),
    "cached": lambda cache, tags: cache.cached(session.Data, tags=lambda id: tags)(lambda id: 1)("secret"),
}
WITH_A_TTL: dict[str, Verb] = {
    "set": lambda cache, ttl: cache.set(KEY, 1, ttl=ttl),
    "set_nothing": lambda cache, ttl: cache.set_nothing(KEY, ttl=ttl),
    "set_many": lambda cache, ttl: cache.set_many({KEY: 1}, ttl=ttl),
    "touch": lambda cache, ttl: cache.touch(KEY, ttl),
    "get_or_load": lambda cache, ttl: cache.get_or_load(KEY, load, ttl=ttl),
    "get_or_load_many": lambda cache, ttl: cache.get_or_load_many([KEY], load_many, ttl=ttl),
    "cached": lambda cache, ttl: cache.cached(content.Topics, ttl=ttl),
}
WITH_A_FLAG: dict[str, Verb] = {
    "only_if_absent": lambda cache, flag: cache.set(KEY, 1, only_if_absent=flag),
    "accept_stale": lambda cache, flag: cache.get(KEY, accept_stale=flag),
    "wait_for_near_caches": lambda cache, flag: cache.invalidate(KEY, wait_for_near_caches=flag),
}
SHARING: dict[str, Verb] = {
    "get": lambda cache, flag: cache.get(KEY, shared=flag),
    "get_many": lambda cache, flag: cache.get_many([KEY], shared=flag),
    "get_or_load": lambda cache, flag: cache.get_or_load(KEY, load, shared=flag),
    "get_or_load_many": lambda cache, flag: cache.get_or_load_many([KEY], load_many, shared=flag),
    "cached": lambda cache, flag: cache.cached(content.Topics, shared=flag),
    "peek": lambda cache, flag: cache.peek(KEY, shared=flag),
}
ASKED: Any = content.Topics(user="asked")


def with_answer(answer: Any) -> Verb:
    """Loads two keys with a loader that returns this."""
    return lambda cache, _: cache.get_or_load_many([KEY, ASKED], lambda keys: answer)


def cases() -> list[Any]:
    """Verb, argument, and the words of its error."""
    table: list[tuple[str, Verb, Any, str]] = []
    for name, verb in OF_A_KEY.items():
        table += [
            (name, verb, wrong, f"a key is needed, not {type(wrong).__name__}") for wrong in ("a:b", None, 5, b"x")
        ]
        table += [(name, verb, User("secret"), "a key is needed, not User")]
        table += [(name, verb, content.Topics, "a key is needed, not the class Topics")]
    for name, verb in OF_KEYS.items():
        table += [(name, verb, wrong, f"{name} takes keys, such as a list of them") for wrong in (None, 5)]
        table += [(name, verb, wrong, f"{name} takes several keys, as a list") for wrong in (KEY, "a:b")]
        table += [(name, verb, [[KEY]], "a key is needed, not list")]
    for wrong in (None, 5, [KEY], [(KEY, 1)], KEY):
        table.append(
            ("set_many", lambda cache, items: cache.set_many(items), wrong, "set_many takes a mapping from keys")
        )
    for name, verb in WITH_TAGS.items():
        for wrong in (5, "user", ["user"], ("user", "u"), [("user", "u")], {5: "u"}):
            table.append((name, verb, wrong, "tags is a mapping from identifier names to values"))
        for wrong in (5, None, 1.5, b"u", True):
            kind = type(wrong).__name__
            table.append((name, verb, {"user": wrong}, f"the value of tag 'user' is text, .*not of type {kind}"))
        table.append((name, verb, {"user": datetime.datetime(2025, 8, 6)}, "'user' must be a date without a time"))
        table.append((name, verb, {"user": "secret\ud800"}, "'user' holds a lone surrogate"))
        table.append((name, verb, {"secret\ud800": "u"}, "'tags' holds a lone surrogate"))
    for name, verb in WITH_A_TTL.items():
        table += [(name, verb, wrong, "^ttl is a datetime.timedelta") for wrong in (60, 1.5, "60", True)]
    for name, verb in (("get_or_load", lambda c, ttl: c.get_or_load(KEY, load, nothing_ttl=ttl)),):
        table += [(name, verb, wrong, "^nothing_ttl is a datetime.timedelta") for wrong in (60, "60")]
    for name, verb in WITH_A_FLAG.items():
        table += [(name, verb, wrong, f"{name} is True or False") for wrong in ("yes", 1, None, "", [])]
    for name, verb in SHARING.items():
        table += [(f"{name}, shared", verb, wrong, "^shared is True or False") for wrong in ("yes", 1, 0, "", [])]
    for wrong in ("1", 1.5, -1, 2**63, True):
        table.append(("version", lambda cache, version: cache.set(KEY, 1, version=version), wrong, "version must be"))
    for wrong in (None, 5, "f", [1]):
        words = "the loader is a function that takes what is to be loaded, not "
        table.append(("get_or_load", lambda cache, loader: cache.get_or_load(KEY, loader), wrong, words))
        table.append(("get_or_load_many", lambda cache, loader: cache.get_or_load_many([KEY], loader), wrong, words))
    for wrong in ([1, 1], None, 5, [(KEY, 1), (ASKED, 1)]):
        table.append(
            ("answer", with_answer(wrong), wrong, "returns a mapping from the keys it was given to values, not")
        )
    for wrong in ({"secret": 1}, {5: 1}, {KEY: 1, "other": 1}, {("a", "b"): 1}):
        table.append(("answer", with_answer(wrong), wrong, "one of its keys is of type .* and was not asked for"))
    selectors: list[tuple[Any, str]] = [
        (analytics.Daily, r"the class Daily; all entries of its resource are Resource.of\(Daily\)"),
        (User, r"the class User; write User\(value\)"),
        ("user=u", r"of type str; a key of its text is OpenKey.parse\(text\), a tag is Tag"),
        ([User("u")], r"of type list; give selectors one by one"),
        (None, "of type NoneType; a selector is a named invalidation"),
        (analytics, "of type module; a selector is a named invalidation"),
        (Domain, "the class Domain; a selector is"),
    ]
    for wrong, words in selectors:
        table.append(
            ("invalidate", lambda cache, selector: cache.invalidate(selector), wrong, f"not a selector: {words}")
        )
    for name in ("metrics", "describe_catalog"):
        for wrong in (5, None, analytics, ["analytics"]):
            words = "domains are given by their names"
            table.append((name, lambda cache, domain, name=name: getattr(cache, name)(domain), wrong, words))  # type: ignore[misc]
    return [pytest.param(*row[1:], id=f"{row[0]}-{row[2]!r:.25}") for row in table]


@pytest.mark.parametrize(("verb", "wrong", "words"), cases())
async def test_wrong_arguments_are_named_by_both_clients(verb: Verb, wrong: Any, words: str) -> None:
    fake = FakeCache()
    blocking = coherd_sync.CacheClient(fake.transport)

    async def used(client: Any) -> Any:
        answer = verb(client, wrong)
        return await answer if inspect.isawaitable(answer) else answer

    async def used_blocking() -> Any:
        return await asyncio.to_thread(verb, blocking, wrong)

    for use in (lambda: used(fake), used_blocking):
        with pytest.raises((TypeError, ValueError), match=words) as refused:
            await use()
        assert "secret" not in str(refused.value)
        assert not {call.rpc for call in fake.calls} & {"Get", "Set", "Delete", "Touch", "Invalidate"}
    assert not fake.stored_keys()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Tag("user", 5), "the value of tag 'user' is text.*not of type int"),  # type: ignore[arg-type]
        (lambda: Tag("user", None), "the value of tag 'user' is text.*not of type NoneType"),  # type: ignore[arg-type]
        (lambda: Tag("date", datetime.datetime(2025, 8, 6)), "'date' must be a date without a time"),
        (lambda: Tag("user", "secret\ud800"), "'user' holds a lone surrogate"),
        (lambda: Tag(5, "u"), "the identifier of a Tag is text, such as 'user', not of type int"),  # type: ignore[arg-type]
        (lambda: Tag("user", "u", 5), "the domain of a Tag is text"),  # type: ignore[arg-type]
        (lambda: Domain(analytics), "the name of a Domain is text, such as 'analytics', not of type module"),  # type: ignore[arg-type]
        (lambda: Domain(None), "the name of a Domain is text"),  # type: ignore[arg-type]
        (lambda: Resource("analytics", 5), "the name of a Resource is text"),  # type: ignore[arg-type]
        (lambda: Resource(analytics.Daily, "daily"), "the domain of a Resource is text.*the class Daily"),  # type: ignore[arg-type]
        (lambda: Resource.of("daily"), "Resource.of takes the key class of a resource.*not of type str"),  # type: ignore[arg-type]
        (lambda: Resource.of(KEY), "Resource.of takes the key class of a resource.*not of type Topics"),
        (lambda: Resource.of(User), "Resource.of takes the key class of a resource.*not the class User"),  # type: ignore[arg-type]
        (lambda: Resource.of(OpenKey), "Resource.of takes the key class of a resource.*not the class OpenKey"),
        (lambda: User(5), "'user' must be a string, not int"),  # type: ignore[arg-type]
        (lambda: Date("2025-08-06"), "'date' must be a day that exists, as YYYYMMDD: .*leave the hyphens out"),
        (lambda: analytics.Daily(user="u", date="2025-08-06"), "as YYYYMMDD: .*leave the hyphens out"),
        (lambda: analytics.Daily.parse(5), "a key is parsed from text, not from int"),  # type: ignore[arg-type]
        (lambda: OpenKey.parse(None), "a key is parsed from text, not from NoneType"),  # type: ignore[arg-type]
        (lambda: OpenKey("content", "x", ["user"]), "identifiers is a mapping from names to texts"),  # type: ignore[arg-type]
        (lambda: OpenKey("content", "x", suffix=5), "'suffix' must be a string, not int"),  # type: ignore[arg-type]
        (lambda: analytics.WritingStats(user="u", days="secret"), "'days' is text that holds no integer"),  # type: ignore[arg-type]
        (lambda: analytics.WritingStats(user="u", days="30"), "'days' is text without its unit 'd'"),  # type: ignore[arg-type]
        (lambda: analytics.WritingStats(user="u", days="030d"), "'days' is text with leading zeros"),  # type: ignore[arg-type]
        (lambda: analytics.WritingStats(user="u", days="1" * 21 + "d"), "more than 20 digits"),  # type: ignore[arg-type]
    ],
)
def test_wrong_parts_of_selectors_and_keys_are_named(make: Callable[[], Any], words: str) -> None:
    with pytest.raises((TypeError, Refusal), match=words) as refused:
        make()
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"target": 5}, "target is text"),
        ({"target": b"localhost:1"}, "target is text, host:port, not of type bytes"),
        ({"token": 5}, "token is text"),
        ({"tls": True}, "tls is a TlsConfig, not of type bool"),
        ({"tls": "ca.pem"}, "tls is a TlsConfig"),
        ({"loading": {}}, "loading is a LoadPolicy"),
        ({"load_limits": 5}, "load_limits is a LoadLimits"),
        ({"near_cache": "yes"}, "near_cache is True, False or None"),
        ({"near_cache_bounds": 5}, "near_cache_bounds is a NearCacheBounds"),
        ({"on_event": 5}, "on_event is a function"),
        ({"sessions": None}, "sessions is True or False"),
    ],
)
def test_wrong_arguments_of_connect_are_named(arguments: dict[str, Any], words: str) -> None:
    for client in (CacheClient, coherd_sync.CacheClient):
        with pytest.raises(TypeError, match=words):
            client.connect(**{"target": "localhost:1", **arguments})
        with pytest.raises(TypeError, match=r"made by CacheClient.connect\(target\), not of type str"):
            client("localhost:50051")  # type: ignore[arg-type]


def test_wrong_arguments_of_others_are_named() -> None:
    with pytest.raises(TypeError, match="clock is a FakeClock"):
        FakeCache(clock=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="catalog is a Catalog, as read_catalog"):
        FakeCache(catalog="x")  # type: ignore[arg-type]
    assert FakeCache(loading=LoadPolicy(), load_limits=LoadLimits())


async def test_a_loader_that_was_called_already_is_named() -> None:
    async def load_it(_: Any) -> int:
        return 1

    with pytest.raises(TypeError, match="not of type coroutine: give the function, without calling it"):
        await FakeCache().get_or_load(KEY, load_it(KEY))  # type: ignore[call-overload]


async def test_days_are_dates_too() -> None:
    cache = FakeCache()
    daily = analytics.Daily(user="u", date=DAY)
    assert Tag("date", DAY, "analytics") == Tag("date", "20250806", "analytics")
    await cache.set(daily, 1)
    assert (await cache.invalidate(Tag("date", DAY, "analytics"))).tags == ("analytics/date:20250806",)
    assert await cache.get(daily) is None
    profile = analytics.MoodTrends(user="u", range="r")
    await cache.set(profile, 1, tags={"date": DAY})  # type: ignore[dict-item]
    stored = cache.stored(profile)
    assert stored is not None
    assert stored.extra_tags == {"date": "20250806"}


async def test_a_loader_of_many_may_load_more_than_it_must() -> None:
    cache, other = FakeCache(), content.Topics(user="other")
    assert await cache.get_or_load_many([KEY], lambda keys: {str(KEY): 1, other: 2}) == {KEY: 1}
    assert cache.stored(other) is None


async def test_what_the_service_refuses_is_an_invalid_request() -> None:
    cache = FakeCache()
    for wrong in (cache.set(DATA, 1, tags={"nope": "u"}), cache.set(DATA, 1, version=0), cache.metrics("nope")):
        with pytest.raises(InvalidRequest):
            await wrong
    with pytest.raises(CacheError):
        await cache.invalidate()
