"""A new version of a catalog comes into force: servers first, clients first, and servers of both side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytest

from coherd import CacheClient, InvalidRequest, Key, LoadEvent, OpenKey, Tag
from coherd.codec import JSON
from coherd.sync import CacheClient as BlockingClient
from rig.protos import HEAD, compile_text
from rig.server import CoherdServer
from rig.valkey import standalone
from rig.waiting import until

N = """
service RollCache { option (coherd.v1.domain) = { name: "roll" ttl: {seconds: 60} tags: "product" };
  rpc Page(PageKey) returns (coherd.v1.Json) {}
}
message PageKey { string product = 1; }
"""
N_PLUS_1 = (
    N.replace("}\nmessage", "  rpc Price(PriceKey) returns (coherd.v1.Json) {}\n}\nmessage")
    + """
service FreshCache {
  option (coherd.v1.domain) = { name: "fresh" ttl: {seconds: 60} tags: "product" near_cache: NEAR_CACHE_PUSH };
  rpc Page(PageKey) returns (coherd.v1.Json) {}
}
message PriceKey { string product = 1; string currency = 2; }
"""
)


class Page(Key[Any]):
    """``roll:page:product:{product}``, which both versions have."""

    __slots__ = ()
    domain, resource, codec = "roll", "page", JSON

    def __new__(cls, product: str) -> Self:
        return cls._of(f"roll:page:product:{product}")


class Price(Key[Any]):
    """``roll:price:product:{product}:currency:{currency}``, new in N+1."""

    __slots__ = ()
    domain, resource, codec = "roll", "price", JSON

    def __new__(cls, product: str) -> Self:
        return cls._of(f"roll:price:product:{product}:currency:eur")


class Fresh(Key[Any]):
    """``fresh:page:product:{product}``, of a domain that is new in N+1."""

    __slots__ = ()
    domain, resource, codec = "fresh", "page", JSON

    def __new__(cls, product: str) -> Self:
        return cls._of(f"fresh:page:product:{product}")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[CoherdServer]]:
    """A server with N and one with N+1, on one store."""
    directory: Path = tmp_path_factory.mktemp("rollout")
    with ExitStack() as stack:
        url = stack.enter_context(standalone()).url
        started: list[CoherdServer] = []
        for name, text in (("n", N), ("n_plus_1", N_PLUS_1)):
            (directory / name).mkdir()
            file = directory / f"{name}.binpb"
            file.write_bytes(compile_text(directory / name, HEAD + text))
            arguments = ("--redis", url, "--catalog", str(file), "--no-builtin-catalog")
            started.append(stack.enter_context(CoherdServer(*arguments)))
        yield started


@pytest.fixture(scope="module")
def servers(both: list[CoherdServer]) -> tuple[str, str]:
    """Their targets."""
    return both[0].target, both[1].target


async def test_servers_that_differ_in_what_is_kept_near_say_so(both: list[CoherdServer]) -> None:
    """[alike-or-paused]"""
    for server in both:
        await until("it is told", lambda server=server: "near caches are paused" in server.errors())  # type: ignore[misc]


async def test_clients_first(servers: tuple[str, str], caplog: pytest.LogCaptureFixture) -> None:
    """What only N+1 has is loaded and told once; what N has is cached as ever; all else is refused by name."""
    events: list[LoadEvent] = []
    async with CacheClient.connect(servers[0], timeout_ms=60_000, on_event=events.append) as cache:
        for key in (Price("1"), Fresh("1")):
            assert [await cache.get_or_load(key, lambda _: 5) for _ in range(3)] == [5, 5, 5]
        many = await cache.get_or_load_many([Price("2"), Page("2")], lambda keys: dict.fromkeys(keys, 6))
        assert many == {Price("2"): 6, Page("2"): 6}
        assert await cache.get(Page("2")) == 6
        tagged = await cache.get_or_load(Page("3"), lambda _: 7, tags={"owner": "ann"})
        assert (tagged, await cache.get(Page("3"))) == (7, None)
        for answer in (
            cache.get(Price("1")),
            cache.set(Price("1"), 5),
            cache.delete(Price("1")),
            cache.invalidate(OpenKey("roll", "price", {"product": "1", "currency": "eur"})),
        ):
            with pytest.raises(InvalidRequest, match="'roll' has no such resource; it has: page"):
                await answer
        for answer in (cache.get(Fresh("1")), cache.set(Fresh("1"), 5), cache.invalidate(Tag("product", "1", "fresh"))):
            with pytest.raises(InvalidRequest, match="unknown domain; known: roll"):
                await answer
        with pytest.raises(InvalidRequest):  # a text that nobody checked before
            await cache.get_or_load(OpenKey("fresh", "page", {"product": "1"}), lambda _: 5)
    counts = {name: kinds["ahead_of_server"] for name, kinds in cache.load_counts.items()}
    assert counts == {"roll:price": 4, "fresh:page": 3, "roll:page": 1}
    assert {event.kind for event in events} == {"ahead_of_server"}
    assert sorted(record.message.split(": ")[0] for record in caplog.records) == [
        "fresh:page",
        "roll:page",
        "roll:price",
    ]


def test_a_blocking_client_ahead_of_its_server(servers: tuple[str, str]) -> None:
    with BlockingClient.connect(servers[0], timeout_ms=60_000) as cache:
        assert [cache.get_or_load(Price("9"), lambda _: 5) for _ in range(2)] == [5, 5]
        assert cache.load_counts == {"roll:price": {"ahead_of_server": 2}}


async def test_servers_first(servers: tuple[str, str]) -> None:
    """Clients of N go on before servers of both: one cache, one invalidation."""
    async with (
        CacheClient.connect(servers[0], timeout_ms=60_000) as old,
        CacheClient.connect(servers[1], timeout_ms=60_000) as new,
    ):
        for one, other in ((old, new), (new, old)):
            await one.set(Page("s"), {"by": "one"})
            assert await other.get(Page("s")) == {"by": "one"}
            assert await other.get_or_load(Page("l"), lambda _: 1) == 1
            assert await one.get_or_load(Page("l"), lambda _: 2) == 1
            await other.invalidate(Tag("product", "s"))
            assert await one.get(Page("s")) is None
            await other.invalidate(Tag("product", "l"))
            assert await one.get(Page("l")) is None
        assert await new.get_or_load(Price("1"), lambda _: 5) == 5
        assert await new.get(Price("1")) == 5
        await old.invalidate(Tag("product", "1"))  # a tag that N declares too reaches what only N+1 stores
        assert await new.get(Price("1")) is None
