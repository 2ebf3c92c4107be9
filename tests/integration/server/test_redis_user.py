"""The Redis user of docs/operate/security.md may do all that is needed. Most other tests run as this user, too."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import grpc
import pytest

from coherd import CacheClient
from coherd.domains import psychology
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1 import keys_pb2
from rig import redis_user
from rig.calls import Caller, text_key
from rig.doctor import doctor
from rig.process import Node
from rig.sentinel import sentinel_trio
from rig.server import CoherdServer
from rig.stand import CallerMaker
from rig.valkey import standalone
from rig.waiting import wait_until

KEY = "crisis:user_risk:user:u1"
PREFIX = "app:"


@pytest.fixture
def node() -> Iterator[Node]:
    """A node that lets Coherd in as the page says, below the page's prefix."""
    with standalone("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru") as started:
        redis_user.let_in([started], PREFIX)
        started.login = redis_user.LOGIN
        yield started


def use_everything(caller: Caller) -> None:
    """Every verb; what waits, what is negative, stale, versioned and absent."""
    assert caller.set(KEY) == "STORED"
    assert caller.set(KEY, only_if_absent=True) == "PRESENT"
    assert caller.set(f"{KEY}x", version=1) == "STORED"
    assert caller.value(KEY) == b"v"
    caller.call("Touch", pb.TouchRequest(key=text_key(KEY)))
    assert caller.delete(KEY)
    granted = caller.call("Lease", pb.LeaseRequest(key=text_key(KEY), token=b"1" * 16)).granted
    waiting = caller.hold("Lease", pb.LeaseRequest(key=text_key(KEY), token=b"2" * 16, wait_ms=10_000))
    with pytest.raises(grpc.FutureTimeoutError):
        waiting.exception(0.3)
    loaded = pb.SetRequest(key=text_key(KEY), value=b"loaded")
    fill = pb.FillRequest(set=loaded, token=b"1" * 16, grant=granted.grant)
    assert caller.call("Fill", fill).outcome == pb.FILL_OUTCOME_STORED
    assert waiting.result(60).hit.value == b"loaded"
    caller.invalidate(keys_pb2.Selector(key=text_key(KEY)), keys_pb2.Selector(domain={"domain": "crisis"}))
    assert (caller.miss(KEY), caller.miss(f"{KEY}x")) == ("ABSENT", "INVALIDATED")


def test_everything_works_as_this_user(node: Node, connect: CallerMaker) -> None:
    options = ("--redis", node.url, "--key-prefix", PREFIX, "--census-interval", "10s")
    with CoherdServer(*options) as server:
        caller = connect(server.target)
        use_everything(caller)
        asyncio.run(near_caches(server.target))

        def is_counted() -> bool:
            domains = caller.call("Metrics", pb.MetricsRequest()).domains
            return any(domain.HasField("keyspace") and domain.sets for domain in domains)

        wait_until("the census has walked", is_counted)
        code, said = doctor(node.url, COHERD_KEY_PREFIX=PREFIX)
        assert (code, "warning" in said) == (0, False)
        code, said = doctor(node.url)
        assert code == 4
        assert "NOPERM" in said
        assert server.stop() == 0
    assert redis_user.refused(node) == ["key: coherd:probe"], "the doctor of another prefix"
    assert {name.split(b":")[0] for name in node.client().scan_iter()} <= {b"app"}


async def near_caches(target: str) -> None:
    """One writes strictly what another holds."""
    key = psychology.Profile(user="near")
    async with (
        CacheClient.connect(target, timeout_ms=60_000) as reader,
        CacheClient.connect(target, timeout_ms=60_000) as writer,
    ):
        await writer.set(key, 1)
        for _ in range(50):
            assert await reader.get(key) == 1
        await writer.set(key, 2)
        assert await reader.get(key) == 2
        await writer.delete(key)
        assert await reader.get(key) is None


def test_a_user_of_another_prefix_is_refused_at_start(node: Node) -> None:
    """Not every call once it serves."""
    command = (sys.executable, "-m", "coherd.cli", "serve", "--listen", "127.0.0.1:0", "--redis", node.url)
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 4
    [line] = [line for line in done.stderr.splitlines() if line.startswith("coherd: ")]
    assert (
        "the node refused the command: not permitted for this user (NOPERM); what it may do, and below which key "
        in line
    )
    assert line.endswith("prefix: docs/operate/security.md")


def test_a_user_that_may_not_write_is_told_so(node: Node, connect: CallerMaker) -> None:
    """Nothing was changed, and it is no matter of waiting: reads go on."""
    with CoherdServer("--redis", node.url, "--key-prefix", PREFIX) as server:
        caller = connect(server.target)
        caller.set(KEY)
        node.client().execute_command("ACL", "SETUSER", "coherd", "-set")
        problem = caller.refused("Set", pb.SetRequest(key=text_key(KEY), value=b"later"))
        assert problem.code in ("UNAVAILABLE", "UNKNOWN")
        assert caller.value(KEY) == b"v"
        assert "command 'set'" in " ".join(redis_user.refused(node)) or redis_user.refused(node) == ["command: set"]


def test_the_user_of_the_sentinels(connect: CallerMaker) -> None:
    with sentinel_trio() as trio:
        redis_user.let_in(trio.nodes, PREFIX)
        for sentinel in trio.sentinels:
            rules = redis_user.sentinel_rules()
            sentinel.client().execute_command("ACL", "SETUSER", "watcher", "on", ">hidden", "-@all", *rules)
        trio.login = redis_user.LOGIN
        url = f"{trio.url}?sentinel_username=watcher&sentinel_password=hidden"
        with CoherdServer("--redis", url, "--key-prefix", PREFIX) as server:
            caller = connect(server.target)
            use_everything(caller)
            trio.failover()
            wait_until("the new primary is used", lambda: caller.set(KEY) == "STORED")
        for one in trio.nodes:
            assert redis_user.refused(one) == []
