"""What the backend promises beyond dogpile's own suite."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from dogpile.cache import CacheRegion, make_region
from dogpile.cache.api import NO_VALUE
from hypothesis import given
from hypothesis import strategies as st

from coherd import Refusal, Tag, Unavailable
from coherd.contrib.dogpile import CoherdBackend
from coherd.contrib.dogpile.keys import lock_key, value_key
from coherd.contrib.dogpile.mutex import CoherdMutex
from coherd.domains.tags import User
from coherd.sync.loop_thread import LOOP
from coherd.testing import FakeCache
from rig.server import CoherdServer

LOCKER = Path(__file__).with_name("locker.py")


def own() -> str:
    """A key nobody else uses."""
    return uuid.uuid4().hex


def region_over(server: CoherdServer, **arguments: Any) -> CacheRegion:
    given = {"target": server.target, "domain": "content", "timeout_ms": 10_000, **arguments}
    return make_region().configure("dogpile.cache.coherd", expiration_time=300, arguments=given)


def mutex_of(server: CoherdServer, key: str) -> CoherdMutex:
    mutex = region_over(server, lock_lease_s=2.0).backend.get_mutex(key)
    assert isinstance(mutex, CoherdMutex)
    return mutex


class TestKeys:
    """Any text is a key."""

    @given(st.lists(st.text(st.characters(), max_size=700), unique=True, min_size=2, max_size=20))
    def test_no_two_texts_share_one(self, texts: list[str]) -> None:
        keys = {value_key("content", "dogpile", text) for text in texts}
        locks = {lock_key("content", "dogpile", text) for text in texts}
        assert len(keys | locks) == 2 * len(texts)

    @pytest.mark.parametrize(
        ("text", "readable"),
        [
            ("user:1", "content:dogpile:key:user%3A1"),
            ("app.views:f|1 2", "content:dogpile:key:app.views%3Af|1%202"),
        ],
    )
    def test_short_ones_stay_readable(self, text: str, readable: str) -> None:
        assert value_key("content", "dogpile", text) == readable

    def test_what_looks_like_ours_is_hashed(self) -> None:
        long = "x" * 600
        hashed = value_key("content", "dogpile", long).identifiers["key"]
        assert value_key("content", "dogpile", hashed).identifiers["key"] != hashed
        held = lock_key("content", "dogpile", "a").identifiers["key"]
        assert value_key("content", "dogpile", held).identifiers["key"] != held

    @pytest.mark.parametrize("key", ["", "x" * 5_000, "\ud800", "a:b*{c}\r\n\x00", "naïve 🦊"])
    def test_they_work_at_a_server(self, server: CoherdServer, key: str) -> None:
        region = region_over(server)
        region.set(key, {"n": 1})
        assert region.get(key) == {"n": 1}
        region.delete(key)
        assert region.get(key) is NO_VALUE


class TestArguments:
    """Wrong ones are told at once."""

    @pytest.mark.parametrize(
        "arguments",
        [{}, {"domain": ""}, {"domain": "content", "lock_lease_s": 0}, {"domain": "content", "timeout_ms": 0}],
    )
    def test_bad_values(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"domain|lock_lease_s|timeout_ms"):
            CoherdBackend(arguments)

    def test_bad_names(self) -> None:
        with pytest.raises(Refusal):
            CoherdBackend({"domain": "Not a name"})


class TestInvalidation:
    """One step for all processes."""

    def test_by_tag(self, server: CoherdServer) -> None:
        user, other = own(), own()
        regions = [region_over(server, domain="session", tags=lambda key: {"user": key.split("|")[0]}) for _ in "ab"]
        regions[0].set_multi({f"{user}|a": 1, f"{user}|b": 2, f"{other}|a": 3})
        regions[1].backend.invalidate(Tag("user", user))
        keys = (f"{user}|a", f"{user}|b", f"{other}|a")
        assert [regions[0].get(key) for key in keys] == [NO_VALUE, NO_VALUE, 3]
        regions[1].backend.invalidate(User(other))
        assert regions[0].get(f"{other}|a") is NO_VALUE

    def test_of_a_whole_region(self, server: CoherdServer) -> None:
        key = own()
        mine, theirs = region_over(server, resource="mine"), region_over(server, resource="theirs")
        mine.set(key, 1)
        theirs.set(key, 2)
        assert mine.get(key) == 1
        assert mine.backend.invalidate().tags == ("content:mine",)
        assert (mine.get(key), theirs.get(key)) == (NO_VALUE, 2)


class TestMutex:
    """The lock over processes."""

    def test_it_outlives_its_lease_while_its_holder_lives(self, server: CoherdServer) -> None:
        key = own()
        with subprocess.Popen(
            [sys.executable, str(LOCKER), server.target, key, "until told"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            assert process.stdout.readline() == "held\n"
            mutex = mutex_of(server, key)
            time.sleep(2.5)  # longer than a lease
            assert mutex.locked()
            assert not mutex.acquire(wait=False)
            process.stdin.write("give it back\n")
            process.stdin.flush()
            assert mutex.acquire()
            assert process.stdout.readline() == "released\n"
            mutex.release()
            assert not mutex.locked()

    def test_a_dead_holder_is_replaced(self, server: CoherdServer) -> None:
        key = own()
        with subprocess.Popen(
            [sys.executable, str(LOCKER), server.target, key, "600"], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            process.kill()
        mutex = mutex_of(server, key)
        started_s = time.monotonic()
        assert mutex.acquire()
        assert time.monotonic() - started_s < 60
        mutex.release()

    def test_many_threads_wait_with_one_call(self) -> None:
        cache = FakeCache()
        region = make_region().configure(
            "dogpile.cache.coherd", arguments={"transport": cache.transport, "domain": "content"}
        )
        loads: list[int] = []

        def load() -> int:
            time.sleep(0.1)
            loads.append(7)
            return 7

        answers: list[int] = []
        threads = [threading.Thread(target=lambda: answers.append(region.get_or_create("k", load))) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (answers, len(loads)) == ([7] * 20, 1)


class TestAway:
    """The service cannot be reached."""

    @staticmethod
    def region(cache: FakeCache, **arguments: Any) -> CacheRegion:
        given = {"transport": cache.transport, "domain": "content", **arguments}
        return make_region().configure("dogpile.cache.coherd", arguments=given)

    def test_it_raises(self) -> None:
        cache = FakeCache()
        region = self.region(cache)
        with cache.unavailable(), pytest.raises(Unavailable):
            region.get_or_create("k", lambda: 1)
        assert region.get_or_create("k", lambda: 2) == 2

    def test_or_goes_on_without(self) -> None:
        cache = FakeCache()
        region = self.region(cache, on_unavailable="miss")
        with cache.unavailable():
            assert region.get_or_create("k", lambda: 1) == 1
            assert not region.key_is_locked("k")
            with pytest.raises(Unavailable):
                region.delete("k")
        assert region.get_or_create("k", lambda: 2) == 2

    def test_a_failed_load_gives_the_lock_back(self) -> None:
        region = self.region(FakeCache())
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                region.get_or_create("k", lambda: 1 // 0)
        assert not region.key_is_locked("k")


class TestLoop:
    """The loop behind blocking calls, which it shares with blocking clients."""

    def test_a_forked_child_has_its_own(self, server: CoherdServer) -> None:
        script = (
            "import os, sys\n"
            "from dogpile.cache import make_region\n"
            "import coherd.contrib.dogpile\n"
            "r = make_region().configure('dogpile.cache.coherd',"
            " arguments={'target': sys.argv[1], 'domain': 'content', 'timeout_ms': 10000})\n"
            "r.set(sys.argv[2], 1)\n"
            "pid = os.fork()\n"
            "if pid == 0:\n"
            "    r.set(sys.argv[2], r.get(sys.argv[2]) + 1)\n"
            "    os._exit(0)\n"
            "assert os.waitpid(pid, 0)[1] == 0\n"
            "print(r.get(sys.argv[2]))\n"
        )
        command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, server.target, own()]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (done.stdout, done.stderr) == ("2\n", "")

    def test_it_is_the_same_for_all(self) -> None:
        async def thread() -> int:
            return threading.get_ident()

        assert LOOP.run(thread()) == LOOP.run(thread()) != threading.get_ident()
