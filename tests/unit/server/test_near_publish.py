"""Change notices over a log in hand: what is told, what is carried already, and a caller that goes away."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence

from coherd.catalog.load import builtin_catalog
from coherd.contract.near_cache import NearCacheMode
from coherd_server.core.failure import UNCONFIRMED
from coherd_server.core.near.change_log import NAMES_PER_ENTRY, Answer, LogPosition, LogUnavailable, Registry
from coherd_server.core.near.publish import ChangePublisher, distinct
from coherd_server.core.near.terms import Terms

CATALOG = builtin_catalog()
PUSHED = CATALOG.resolve("analytics:daily:user:u1:date:20250806")
STRICT = CATALOG.resolve("psychology:profile:user:u1")
OFF = CATALOG.resolve("crisis:user_risk:user:u1")


class FakeLog:
    """Takes appends as its field says, and confirms what it is asked to."""

    longest_wait_s = Terms().longest_wait_s

    def __init__(self) -> None:
        self.appended: list[tuple[list[str], bool]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.broken = False
        self.moves = 0
        """How many confirmations find that the log has moved."""
        self.confirmed = 0

    async def append(self, names: Sequence[str], *, awaited: bool) -> Answer:
        await self.may_answer.wait()
        if self.broken:
            raise LogUnavailable("broken")
        self.appended.append((list(names), awaited))
        return Answer(LogPosition(b"node-one", b"begun-00", len(self.appended)), Registry(b"", b"", {}))

    async def confirm(self, appended: Answer, *, asked_s: float) -> bool:
        assert appended.position.offset <= len(self.appended)
        if self.moves:
            self.moves -= 1
            return False
        self.confirmed += 1
        return True


def made(log: FakeLog) -> ChangePublisher:
    return ChangePublisher(log, log, Terms(), lambda: 0.0)  # type: ignore[arg-type]


async def test_keys_and_tags_are_told_by_what_their_domains_say() -> None:
    publisher = made(FakeLog())
    pushed, off, strict, more = publisher.of_keys([PUSHED, OFF, STRICT, PUSHED])
    assert off is None
    assert pushed is not None
    assert strict is not None
    assert pushed is more
    assert (pushed.names, pushed.awaited) == ([f"k{PUSHED.text}"] * 2, False)
    assert (strict.names, strict.awaited) == ([f"k{STRICT.text}"], True)
    tags = {f"{name}/user:u1": CATALOG.domains[name] for name in ("analytics", "psychology", "crisis")}
    assert CATALOG.domains["psychology"].near_cache is NearCacheMode.STRICT
    [one] = distinct(publisher.of_tags(tags, wait=True))
    assert (one.names, one.awaited) == (["tanalytics/user:u1", "tpsychology/user:u1"], True)


async def test_what_the_store_carried_is_not_appended_again() -> None:
    log = FakeLog()
    publisher = made(log)
    [one] = distinct(publisher.of_keys([PUSHED]))
    one.appended = await log.append(one.names, awaited=False)
    assert await publisher.finish([one]) is None
    assert len(log.appended) == 1
    assert log.confirmed == 0


async def test_strict_changes_are_confirmed_and_appended_again_where_the_log_moved() -> None:
    log = FakeLog()
    log.moves = 2
    publisher = made(log)
    assert await publisher.finish(distinct(publisher.of_keys([STRICT, PUSHED]))) is None
    assert log.confirmed == 1
    assert sorted(names for names, _ in log.appended) == [[f"k{PUSHED.text}"], *[[f"k{STRICT.text}"]] * 3]


async def test_many_names_are_several_entries() -> None:
    log = FakeLog()
    publisher = made(log)
    keys = [PUSHED._replace(text=f"analytics:x:n:{number}") for number in range(2 * NAMES_PER_ENTRY + 1)]
    assert await publisher.finish(distinct(publisher.of_keys(keys))) is None
    assert [len(names) for names, _ in log.appended] == [NAMES_PER_ENTRY, NAMES_PER_ENTRY, 1]


async def test_a_log_that_does_not_answer_leaves_the_change_unconfirmed() -> None:
    log = FakeLog()
    log.broken = True
    publisher = made(log)
    assert await publisher.finish(distinct(publisher.of_keys([PUSHED]))) == UNCONFIRMED
    assert await publisher.finish(distinct(publisher.of_keys([STRICT]))) == UNCONFIRMED
    assert await publisher.finish(distinct(publisher.of_keys([OFF]))) is None


async def test_near_caches_are_told_even_if_the_caller_gives_up() -> None:
    log = FakeLog()
    log.may_answer.clear()
    publisher = made(log)
    finishing = asyncio.ensure_future(publisher.finish(distinct(publisher.of_keys([PUSHED]))))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    finishing.cancel()
    await asyncio.gather(finishing, return_exceptions=True)
    assert finishing.cancelled()
    log.may_answer.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert log.appended == [([f"k{PUSHED.text}"], False)]


async def test_a_log_that_does_not_answer_and_a_caller_that_gave_up() -> None:
    """History of 2026-11-25, cluster, seed 805928, failover of the node with the log: a task nobody awaited."""
    heard: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
    log = FakeLog()
    log.may_answer.clear()
    log.broken = True
    finishing = asyncio.ensure_future(made(log).finish(distinct(made(log).of_keys([PUSHED]))))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    finishing.cancel()
    await asyncio.gather(finishing, return_exceptions=True)
    del finishing  # it holds what the task that appends has raised
    log.may_answer.set()
    for _ in range(10):
        await asyncio.sleep(0)
    gc.collect()
    assert not heard
