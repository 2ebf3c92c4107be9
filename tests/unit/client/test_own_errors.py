"""Each caller of a load that fails gets an error of its own."""

from __future__ import annotations

import asyncio
import logging
import traceback
from dataclasses import dataclass
from typing import Any

import pytest
from fake_server import FakeServer, Fault
from loaders import AWAY, KEY, Loader

from coherd import BatchError, CacheClient, InvalidRequest, Unavailable, ValueEncodeError
from coherd._loading.own_errors import own_error
from coherd.domains import celery, content


class Odd(Exception):
    """Wants other arguments than it keeps."""

    __slots__ = ("slot",)

    def __init__(self, code: int, *, why: str) -> None:
        super().__init__(f"code {code}")
        self.slot = code
        self.why = why
        self.seen: list[str] = []


class OddOs(OSError):
    def __init__(self, path: str) -> None:
        super().__init__(2, "gone", path)


class OddGroup(ExceptionGroup[Exception]):
    def __new__(cls, errors: list[Exception]) -> OddGroup:
        return super().__new__(cls, "odd", errors)


@dataclass(frozen=True)
class Frozen(Exception):
    number: int


def raised(error: BaseException) -> BaseException:
    try:
        try:
            raise KeyError("before")
        except KeyError as before:
            raise error from before
    except BaseException as caught:  # noqa: BLE001 - it is what was given
        return caught


@pytest.mark.parametrize(
    "error",
    [
        Odd(5, why="so"),
        OddOs("/there"),
        OSError(13, "no", "/here"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        StopAsyncIteration(3),
        SystemExit(4),
        AttributeError("none", name="n", obj=5),
        OddGroup([ValueError(1), OddOs("/x")]),
        BaseExceptionGroup("both", [KeyboardInterrupt(), ExceptionGroup("in", [Odd(6, why="in")])]),
        Unavailable("away", retry_after_ms=5),
        BatchError({}, {"key": Unavailable("one")}),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_copy_says_what_its_original_says(error: BaseException) -> None:
    error.add_note("a note")
    original = raised(error)
    before = "".join(traceback.format_exception(original))
    copy = own_error(original)
    assert copy is not original
    assert type(copy) is type(original)
    assert "".join(traceback.format_exception(copy)) == before
    for name in ("errno", "filename", "slot", "why", "code", "start", "name", "obj", "retry_after_ms"):
        assert getattr(copy, name, None) == getattr(original, name, None)
    copy.add_note("mine")
    assert copy.__cause__ is not None
    copy.__cause__.add_note("mine too")
    copy.args = ()
    assert "".join(traceback.format_exception(original)) == before


def test_what_hangs_on_an_error_is_copied_with_it() -> None:
    inner = Unavailable("one")
    batch = own_error(BatchError({}, {"key": inner}))
    assert isinstance(batch, BatchError)
    assert batch.errors["key"] is not inner
    group = ExceptionGroup("two", [inner, ValueError()])
    members = own_error(group)
    assert isinstance(members, ExceptionGroup)
    assert [type(each) for each in members.exceptions] == [Unavailable, ValueError]
    assert members.exceptions[0] is not inner
    frozen = own_error(raised(Frozen(3)))
    assert isinstance(frozen, Frozen)
    assert frozen.number == 3
    odd = Odd(1, why="it has a list")
    one = own_error(odd)
    assert isinstance(one, Odd)
    one.seen.append("by one")
    assert odd.seen == []


def test_long_chains_and_circles_are_copied() -> None:
    last: BaseException = ValueError(0)
    first = last
    for number in range(5_000):
        following = ValueError(number)
        following.__context__, last = last, following
    assert own_error(last).__context__ is not last.__context__
    first.__cause__ = last  # what a careless `raise from` makes
    copy = own_error(last)
    assert copy.__context__ is not None


def test_what_cannot_be_copied_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coherd._loading.own_errors._has_hidden_parts", lambda _: True)

    class Uncopied(Exception):
        def __reduce__(self) -> Any:
            raise TypeError

    copy = own_error(raised(Uncopied("secret")))
    assert isinstance(copy, RuntimeError)
    assert "Uncopied" in str(copy)
    assert copy.__traceback__ is not None


async def assert_own(callers: list[asyncio.Task[Any]], kind: type[BaseException]) -> None:
    errors = [error for error in await asyncio.gather(*callers, return_exceptions=True) if error is not None]
    assert {type(error) for error in errors} == {kind}
    assert len({id(error) for error in errors}) == len(errors)


async def test_callers_of_one_failing_load_share_no_error(cache: CacheClient) -> None:
    async def handles(number: int, loader: Loader) -> int:
        try:
            raise IndexError(number)
        except IndexError:
            try:
                await cache.get_or_load(KEY, loader)
            except KeyError as error:
                error.add_note(f"caller {number}")
                text = "".join(traceback.format_exception(error))
                assert text.count("IndexError: ") == 1
                assert text.count("\ncaller ") == 1
                return len(text)
        raise AssertionError("it failed")

    async def lengths(callers: int) -> list[int]:
        loader = Loader(KeyError("no row"), delay_s=0.05)
        return await asyncio.gather(*(handles(number % 10, loader) for number in range(callers)))

    assert set(await lengths(2)) == set(await lengths(200))


async def test_errors_of_encoding_of_the_service_and_of_fills_are_each_callers_own(
    cache: CacheClient, fake: FakeServer
) -> None:
    task, wrong = celery.TaskMetrics(id="t"), Loader({"state": "secret"}, delay_s=0.05)
    await assert_own([asyncio.create_task(cache.get_or_load(task, wrong)) for _ in range(5)], ValueEncodeError)
    fake.fail("Lease", *[Fault(reason=AWAY)] * 20)
    refused = [asyncio.create_task(cache.get_or_load(KEY, wrong, on_unavailable="raise")) for _ in range(5)]
    await assert_own(refused, Unavailable)


async def test_keys_of_a_batch_share_no_error(cache: CacheClient, fake: FakeServer) -> None:
    keys = [content.Topics(user=f"u{number}") for number in range(3)]
    fake.fail("BatchFill", Fault(reason=5, field="items"))
    with pytest.raises(BatchError) as failed:
        await cache.get_or_load_many(keys, lambda some: dict.fromkeys(some, 1))
    errors = list(failed.value.errors.values())
    assert {type(error) for error in errors} == {InvalidRequest}
    assert len({id(error) for error in errors}) == 3


async def test_a_cancelled_caller_leaves_the_others_their_errors(
    cache: CacheClient, caplog: pytest.LogCaptureFixture
) -> None:
    loader = Loader(KeyError("no row"), delay_s=0.05)
    with caplog.at_level(logging.ERROR, "asyncio"):
        callers = [asyncio.create_task(cache.get_or_load(KEY, loader)) for _ in range(5)]
        await asyncio.sleep(0.01)
        callers[0].cancel()
        await asyncio.wait(callers)
        await assert_own(callers[1:], KeyError)
    assert not caplog.records
