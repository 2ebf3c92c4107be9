"""What a fake has beyond the client suite: its clock, its faults, looking inside."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from coherd import CacheClient, ClientClosed, OpenKey, OutcomeUnknown, Refusal, SetOutcome, Unavailable
from coherd._rpc.methods import FILL, LEASE
from coherd.catalog.load import builtin_catalog
from coherd.catalog.overrides import TtlOverride, with_overrides
from coherd.domains import analytics, content, crisis, maintenance, psychology, session
from coherd.domains.tags import User
from coherd.testing import FakeCache, FakeClock, State, Stored, read_catalog
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1 import keys_pb2
from rig.own_catalog import OwnCatalog

DAILY = analytics.Daily(user="u1", date="20250806")
HOUR = timedelta(hours=1)
TOKEN, OTHER = b"a" * 16, b"b" * 16


@pytest.fixture
def cache() -> FakeCache:
    return FakeCache()


def lease(token: bytes, *, wait_ms: int = 0, lease_ms: int = 10_000) -> pb.LeaseRequest:
    key = keys_pb2.Key(text=str(DAILY))
    return pb.LeaseRequest(key=key, token=token, wait_ms=wait_ms, lease_ms=lease_ms)


def fill(token: bytes, grant: bytes = b"", *, load_ms: int = 0, abandon: bool = False) -> pb.FillRequest:
    request = pb.SetRequest(key=keys_pb2.Key(text=str(DAILY)), value=DAILY.codec.encode(1))
    return pb.FillRequest(set=request, token=token, grant=grant, load_ms=load_ms, abandon=abandon)


async def grant_of(cache: FakeCache) -> bytes:
    """What TOKEN is granted, now or already."""
    answer = await cache.transport.call(LEASE, lease(TOKEN), 1_000)
    assert answer.HasField("granted")
    return answer.granted.grant


class TestClock:
    """Time passes when a test says so."""

    async def test_a_value_is_fresh_then_stale_then_gone(self, cache: FakeCache) -> None:
        await cache.set(DAILY, 1)
        cache.clock.advance(HOUR - timedelta(milliseconds=1))
        assert await cache.get(DAILY) == 1
        cache.clock.advance(timedelta(milliseconds=1))
        assert await cache.get(DAILY) is None
        assert await cache.get(DAILY, accept_stale=True) == 1
        cache.clock.advance(timedelta(minutes=10))
        assert await cache.get(DAILY, accept_stale=True) is None
        assert cache.stored_keys() == []

    async def test_a_remembered_nothing_is_never_stale(self, cache: FakeCache) -> None:
        await cache.set_nothing(DAILY, ttl=HOUR)
        cache.clock.advance(HOUR)
        assert await cache.get(DAILY, default=2, accept_stale=True) == 2

    async def test_ages_are_exact(self, cache: FakeCache) -> None:
        await cache.set(DAILY, 1)
        cache.clock.advance(timedelta(seconds=90))
        entry = await cache.get_entry(DAILY)
        assert entry is not None
        assert (entry.age_ms, entry.remaining_ttl_ms) == (90_000, 3_510_000)
        assert await cache.touch(DAILY, timedelta(minutes=1))
        cache.clock.advance(timedelta(minutes=1))
        assert await cache.get(DAILY) is None
        assert await cache.get(DAILY, accept_stale=True) == 1

    async def test_a_deleted_version_counts_for_a_minute(self, cache: FakeCache) -> None:
        await cache.set(DAILY, 5, version=5)
        await cache.delete(DAILY)
        assert cache.stored(DAILY) is None
        assert (await cache.set(DAILY, 4, version=4)).outcome is SetOutcome.OLDER_VERSION
        cache.clock.advance(timedelta(minutes=1))
        assert await cache.set(DAILY, 4, version=4)

    def test_it_starts_where_it_is_told_and_never_runs_backwards(self) -> None:
        clock = FakeClock(datetime(2024, 2, 29, tzinfo=UTC))
        clock.advance(timedelta(days=1))
        assert clock.now == datetime(2024, 3, 1, tzinfo=UTC)
        with pytest.raises(ValueError, match="backwards"):
            clock.advance(timedelta(seconds=-1))
        with pytest.raises(ValueError, match="time zone"):
            FakeClock(datetime(2024, 2, 29))


class TestDraws:
    """Randomness is an argument."""

    @pytest.mark.parametrize(("draw", "ttl_ms"), [(0.0, 3_600_000), (0.5, 2_700_000)])
    async def test_jitter(self, draw: float, ttl_ms: int) -> None:
        catalog = with_overrides(builtin_catalog(), {"analytics": TtlOverride(jitter=0.5)})
        cache = FakeCache(catalog=catalog, draw=lambda: draw)
        assert (await cache.set(DAILY, 1)).ttl_ms == ttl_ms
        assert (await cache.set(DAILY, 1, ttl=HOUR)).ttl_ms == 3_600_000

    @pytest.mark.parametrize(("draw", "loads"), [(0.0, False), (0.999, True)])
    async def test_early_refresh(self, draw: float, loads: bool) -> None:
        catalog = with_overrides(builtin_catalog(), {"analytics": TtlOverride(early_refresh=1.0)})
        cache = FakeCache(catalog=catalog, draw=lambda: draw)
        await cache.transport.call(FILL, fill(TOKEN, await grant_of(cache), load_ms=60_000), 1_000)
        cache.clock.advance(HOUR - timedelta(minutes=1))
        answer = await cache.transport.call(LEASE, lease(OTHER), 1_000)
        assert answer.HasField("granted") is loads
        assert answer.granted.HasField("stale") is loads
        assert (await cache.transport.call(LEASE, lease(TOKEN), 1_000)).HasField("hit")


class TestWaiting:
    """Callers that somebody else's load holds back."""

    @staticmethod
    async def waiter(cache: FakeCache, wait_ms: int = 60_000) -> asyncio.Task[pb.LeaseResponse]:
        await cache.transport.call(LEASE, lease(TOKEN), 1_000)
        task = asyncio.create_task(cache.transport.call(LEASE, lease(OTHER, wait_ms=wait_ms), 120_000))
        await asyncio.sleep(0.02)
        assert not task.done()
        return task

    async def test_a_fill_wakes_them(self, cache: FakeCache) -> None:
        task = await self.waiter(cache)
        await cache.transport.call(FILL, fill(TOKEN, await grant_of(cache)), 1_000)
        assert (await task).hit.value == DAILY.codec.encode(1)
        assert (await cache.metrics("analytics"))["analytics"].loads_avoided == 1

    @pytest.mark.parametrize("end", ["abandoned", "expired", "invalidated", "lost"])
    async def test_one_takes_over(self, cache: FakeCache, end: str) -> None:
        task, grant = await self.waiter(cache), await grant_of(cache)
        if end == "abandoned":
            await cache.transport.call(FILL, fill(TOKEN, abandon=True), 1_000)
        elif end == "expired":
            cache.clock.advance(timedelta(seconds=10))
        elif end == "invalidated":
            await cache.invalidate(User("u1"))
        else:
            cache.lose_everything()
        assert (await task).HasField("granted")
        assert (await cache.transport.call(FILL, fill(TOKEN, grant), 1_000)).outcome == pb.FILL_OUTCOME_REJECTED

    async def test_a_late_copy_of_a_lease_revives_no_load(self, cache: FakeCache) -> None:
        grant = await grant_of(cache)
        await cache.delete(DAILY)
        assert await grant_of(cache) != grant
        assert (await cache.transport.call(FILL, fill(TOKEN, grant), 1_000)).outcome == pb.FILL_OUTCOME_REJECTED
        assert await cache.get(DAILY) is None

    async def test_the_wait_ends_by_the_clock(self, cache: FakeCache) -> None:
        task = await self.waiter(cache, wait_ms=5_000)
        cache.clock.advance(timedelta(seconds=5))
        assert (await task).HasField("held")

    async def test_the_wait_ends_by_real_time_where_the_clock_stands_still(self, cache: FakeCache) -> None:
        task = await self.waiter(cache, wait_ms=50)
        assert (await asyncio.wait_for(task, 60)).HasField("held")

    async def test_a_lease_ends_by_itself_where_the_clock_runs(self) -> None:
        cache = FakeCache(clock=FakeClock(runs=True))
        await cache.transport.call(LEASE, lease(TOKEN, lease_ms=50), 1_000)
        answer = await asyncio.wait_for(cache.transport.call(LEASE, lease(OTHER, wait_ms=60_000), 120_000), 60)
        assert answer.HasField("granted")

    async def test_closing_ends_it(self, cache: FakeCache) -> None:
        task = await self.waiter(cache)
        await cache.close()
        with pytest.raises(ClientClosed):
            await task
        with pytest.raises(ClientClosed):
            await cache.get(DAILY)

    async def test_cancelling_disturbs_nobody(self, cache: FakeCache) -> None:
        task, other = await self.waiter(cache), await self.waiter(cache)
        task.cancel()
        await cache.transport.call(FILL, fill(TOKEN, await grant_of(cache)), 1_000)
        assert (await other).HasField("hit")

    async def test_another_thread_may_wake_them(self, cache: FakeCache) -> None:
        task = await self.waiter(cache)
        await asyncio.to_thread(asyncio.run, cache.invalidate(User("u1")))
        assert (await task).HasField("granted")


class TestLoading:
    """`get_or_load` of the real client over the fake, by the fake's clock."""

    async def test_a_stale_value_is_served_while_one_load_runs(self, cache: FakeCache) -> None:
        loads: list[str] = []

        async def load(key: analytics.Daily) -> int:
            loads.append(str(key))
            return len(loads)

        assert await cache.get_or_load(DAILY, load) == 1
        cache.clock.advance(HOUR)
        assert await cache.get_or_load(DAILY, load) == 1
        await asyncio.sleep(0.05)
        assert await cache.get_or_load(DAILY, load) == 2
        cache.clock.advance(2 * HOUR)
        assert await cache.get_or_load(DAILY, load) == 3

    async def test_a_failed_refresh_is_not_tried_again_at_once(self, cache: FakeCache) -> None:
        attempts: list[int] = []

        async def fail(_: analytics.Daily) -> int:
            attempts.append(1)
            raise LookupError("the database is away")

        async def ask() -> None:
            assert await cache.get_or_load(DAILY, fail, error_pause_ms=60_000) == 1
            await asyncio.sleep(0.02)  # the refresh goes on behind the answer

        await cache.set(DAILY, 1)
        cache.clock.advance(HOUR)
        for _ in range(3):
            await ask()
        assert len(attempts) == 1
        cache.clock.advance(timedelta(minutes=1))
        await ask()
        assert len(attempts) == 2

    async def test_a_value_that_was_invalidated_while_it_was_loaded_is_not_kept(self, cache: FakeCache) -> None:
        async def load(_: analytics.Daily) -> int:
            await cache.invalidate(User("u1"))
            return 1

        await cache.get_or_load(DAILY, load)
        assert cache.stored(DAILY) is None
        assert (await cache.metrics("analytics"))["analytics"].rejected_fills >= 1

    async def test_without_the_service_it_loads_directly(self, cache: FakeCache) -> None:
        with cache.unavailable():
            assert await cache.get_or_load(DAILY, lambda _: 1) == 1
        assert cache.stored(DAILY) is None


class TestFaults:
    """A test says what fails."""

    async def test_unavailable(self, cache: FakeCache) -> None:
        await cache.set(DAILY, 1)
        with cache.unavailable():
            for call in (cache.get(DAILY), cache.set(DAILY, 2), cache.delete(DAILY), cache.invalidate(DAILY)):
                with pytest.raises(Unavailable):
                    await call
        assert await cache.get(DAILY) == 1

    async def test_what_a_lenient_client_makes_of_it(self) -> None:
        cache = FakeCache(on_unavailable="miss")
        with cache.unavailable():
            assert await cache.get(DAILY, default="a miss") == "a miss"
            assert (await cache.set(DAILY, 1)).outcome is SetOutcome.DROPPED

    async def test_single_rpcs_and_lost_answers(self, cache: FakeCache) -> None:
        with cache.failing(OutcomeUnknown("lost"), "Set", takes_effect=True), pytest.raises(OutcomeUnknown):
            await cache.set(DAILY, 1)
        assert await cache.get(DAILY) == 1
        with cache.failing(OutcomeUnknown("lost"), "Set", "Delete"):
            with pytest.raises(OutcomeUnknown):
                await cache.delete(DAILY)
            with cache.unavailable("Get"), pytest.raises(Unavailable):
                await cache.get(DAILY)
            assert await cache.get(DAILY) == 1

    def test_an_unknown_rpc_is_an_error(self, cache: FakeCache) -> None:
        with pytest.raises(ValueError, match="no such rpc: get"), cache.unavailable("get"):
            pass


class TestLookingInside:
    """What is stored, and what was asked."""

    async def test_stored(self, cache: FakeCache) -> None:
        key = session.Data(id="s1")
        assert cache.stored(key) is None
        await cache.set(key, {"cart": []}, tags={"user": "u1"}, version=3)
        cache.clock.advance(HOUR)
        expected: Stored[Any] = Stored(
            value={"cart": []},
            state=State.FRESH,
            negative=False,
            version=3,
            age=HOUR,
            ttl=23 * HOUR,
            tags=frozenset({"session", "session:data", "session/user:u1"}),
            extra_tags={"user": "u1"},
        )
        assert cache.stored(key) == expected
        await cache.invalidate(User("u1"))
        kept = cache.stored(key)
        assert kept is not None
        assert kept.state is State.INVALIDATED
        assert cache.stored_keys() == ["session:data:id:s1"]
        with pytest.raises(Refusal):
            cache.stored(OpenKey("nowhere", "x"))

    async def test_looking_counts_nothing(self, cache: FakeCache) -> None:
        await cache.set(DAILY, 1)
        cache.stored(DAILY)
        counted = (await cache.metrics("analytics"))["analytics"]
        assert (counted.sets, counted.hits, counted.misses) == (1, 0, 0)

    async def test_calls(self, cache: FakeCache) -> None:
        topics = content.Topics(user="u1")
        await cache.set_many({DAILY: 1, topics: 2})
        await cache.get_many([topics, DAILY])
        await cache.invalidate(User("u1"), topics)
        assert [(call.rpc, call.keys) for call in cache.calls] == [
            ("BatchSet", (DAILY, topics)),
            ("BatchGet", (topics, DAILY)),
            ("Invalidate", (topics,)),
        ]
        cache.calls.clear()
        with cache.unavailable(), pytest.raises(Unavailable):
            await cache.get(DAILY)
        assert [call.rpc for call in cache.calls] == ["Get"]

    async def test_values_are_not_shared_with_the_test(self, cache: FakeCache) -> None:
        value = {"words": [1]}
        await cache.set(DAILY, value)
        value["words"].append(2)
        got: Any = await cache.get(DAILY)
        got["words"].append(3)
        assert await cache.get(DAILY) == {"words": [1]}


class TestStandingIn:
    """In other people's code."""

    def test_any_number_of_event_loops(self, cache: FakeCache) -> None:
        asyncio.run(cache.set(DAILY, 1))
        assert asyncio.run(cache.get(DAILY)) == 1

    async def test_two_clients_of_one_service(self, cache: FakeCache) -> None:
        other = CacheClient(cache.transport)
        await other.set(DAILY, 1)
        assert await cache.get(DAILY) == 1

    async def test_for_the_class_itself(self) -> None:
        async with FakeCache.connect("cache.example:50051", token="t") as cache:
            assert await cache.get(DAILY) is None

    async def test_own_catalogs(self, tmp_path: Path) -> None:
        file = OwnCatalog(tmp_path).file
        cache = FakeCache(catalog=read_catalog(file))
        assert (await cache.set(OpenKey.parse("kinds:plain:id:x"), [1])).ttl_ms == 60_000
        assert await cache.get(psychology.Profile(user="u")) is None
        alone = FakeCache(catalog=read_catalog(file, builtin=False))
        assert list(await alone.metrics()) == ["kinds"]

    async def test_the_builtin_catalog_in_full(self, cache: FakeCache) -> None:
        await cache.set(crisis.UserRisk(user="u"), {"level": 1})
        await cache.set(maintenance.SystemHealth(), {"ok": True})
        assert cache.stored_keys() == ["crisis:user_risk:user:u", "maintenance:system_health"]


class TestPlugin:
    """The pytest fixture."""

    def test_a_fresh_fake_for_each_test(self, tmp_path: Path) -> None:
        (tmp_path / "test_it.py").write_text(
            "import asyncio, pytest\n"
            "from coherd.domains import content\n"
            "KEY = content.Topics(user='u')\n"
            "@pytest.mark.parametrize('value', [1, 2])\n"
            "def test_it(coherd_cache, value):\n"
            "    assert coherd_cache.stored(KEY) is None\n"
            "    asyncio.run(coherd_cache.set(KEY, value))\n"
            "    assert coherd_cache.stored(KEY).value == value\n"
        )
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        done = subprocess.run([*command, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "2 passed" in done.stdout

    def test_it_costs_nothing_where_it_is_not_used(self) -> None:
        code = "import sys, coherd.testing.plugin; sys.exit('grpc' in sys.modules or 'google' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
