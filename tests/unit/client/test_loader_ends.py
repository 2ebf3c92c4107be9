"""However a loader ends, or does not, its key is free and its callers know."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fake_server import FakeServer
from loaders import KEY, Loader, serve_stale

from coherd import CacheClient, ClientClosed, LoadTimeout
from coherd._loading import loader as loader_module
from coherd.domains import content
from rig.waiting import until

KEYS = [content.Topics(user=f"u{number}") for number in range(3)]


@pytest.mark.parametrize(
    "error",
    [GeneratorExit(), pytest.fail.Exception("no"), BaseExceptionGroup("both", [GeneratorExit()])],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.usefixtures("no_task_is_left")
async def test_an_error_that_is_no_exception_frees_the_key(
    cache: CacheClient, fake: FakeServer, error: BaseException
) -> None:
    loader = Loader(error, 5)
    callers = [asyncio.create_task(cache.get_or_load(KEY, loader)) for _ in range(3)]
    answers: list[Any] = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(answer) for answer in answers] == [type(error)] * 3
    assert not fake.leased
    assert await cache.get_or_load(KEY, loader) == 5
    with pytest.raises(type(error)):
        await cache.get_or_load_many(KEYS, Loader(error))
    assert not fake.leased


@pytest.mark.usefixtures("no_task_is_left")
async def test_a_plain_loader_that_fails_like_that_frees_the_key(cache: CacheClient, fake: FakeServer) -> None:
    def fails(_: object) -> None:
        pytest.fail("no")

    with pytest.raises(pytest.fail.Exception):
        await cache.get_or_load(KEY, fails)
    assert not fake.leased


def test_a_loader_that_ends_the_program_frees_the_key_first() -> None:
    async def program() -> None:
        async with FakeServer() as fake, CacheClient.connect(fake.target, timeout_ms=60_000) as cache:
            with pytest.raises(SystemExit):
                await cache.get_or_load(KEY, Loader(SystemExit(3)))
            assert not fake.leased
            serve_stale(fake)
            fakes.append(fake)
            assert await cache.get_or_load(KEY, Loader(SystemExit(4)), error_pause_ms=0) == "old"
            await asyncio.Event().wait()

    fakes: list[FakeServer] = []
    with pytest.raises(SystemExit) as ended:
        asyncio.run(program())
    assert ended.value.code == 4
    assert not fakes[0].leased


class Stubborn:
    """Swallows every cancellation until it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.calls = 0
        self.ended = 0

    async def __call__(self, _: Any) -> int:
        self.calls += 1
        while not self.go.is_set():
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                continue
        self.ended += 1
        return 7


async def test_time_limit_and_close_are_bounded_where_a_loader_swallows_cancellation(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loader_module, "END_TIMEOUT_S", 0.05)
    cache = CacheClient.connect(fake.target, timeout_ms=60_000)
    stubborn = Stubborn()
    with pytest.raises(LoadTimeout):
        await cache.get_or_load(KEY, stubborn, load_timeout_ms=50)
    assert not fake.leased
    assert await cache.get_or_load(KEY, Loader(8)) == 8
    caller = asyncio.create_task(cache.get_or_load(KEYS[0], stubborn))
    await until("it loads", lambda: stubborn.calls == 2)
    async with asyncio.timeout(60):
        await cache.close()
    assert not fake.leased
    assert isinstance((await asyncio.gather(caller, return_exceptions=True))[0], ClientClosed)
    assert [record.message for record in caplog.records].count(
        "a loader goes on after it was cancelled; its result is dropped"
    ) == 2
    stubborn.go.set()
    await until("both end", lambda: stubborn.ended == 2)
