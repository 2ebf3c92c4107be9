"""Sessions through a real nginx: what is documented keeps them, and its defaults cut them (docs/operate/proxies.md)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from coherd.client import CacheClient
from coherd.domains import session
from rig.fixtures import RigPool
from rig.nginx import documented, nginx, nginx_binary
from rig.server import PATIENT, CoherdServer
from rig.waiting import until

pytestmark = pytest.mark.skipif(nginx_binary() is None, reason="no nginx; .ci/run installs it")
SESSION = "/coherd.v1.SessionService/"
TIMEOUT_MS = 60_000


def without(setting: str) -> str:
    """The documented settings with nginx's default for one."""
    text, count = re.subn(rf"^ *{setting} [^;]*;\n", "", documented(), flags=re.MULTILINE)
    assert count == 1
    return text


async def set_much(cache: CacheClient, count: int = 15) -> None:
    """Sets and gets of 100 KiB each, one after the other."""
    value = {"text": "x" * 100_000}
    for number in range(count):
        key = session.Data(id=f"n{number}")
        await cache.set(key, value, timeout_ms=TIMEOUT_MS)
        assert await cache.get(key, timeout_ms=TIMEOUT_MS) == value


async def test_a_session_outlives_megabytes_as_documented(tmp_path: Path, rig_pool: RigPool) -> None:
    with (
        CoherdServer("--redis", rig_pool.get("standalone").url, *PATIENT) as server,
        nginx(tmp_path, server.target, settings=documented()) as proxy,
    ):
        async with CacheClient.connect(proxy.target, near_cache=False) as cache:
            await set_much(cache)
            assert not [path for path in proxy.streams() if path.startswith(SESSION)], "it has not ended"
        assert "intended to send too large" not in proxy.errors()


async def test_nginx_cuts_a_session_after_a_megabyte_by_default(tmp_path: Path, rig_pool: RigPool) -> None:
    """Whoever forgets it: values arrive all the same, over one session after the other, or by unary calls."""
    with (
        CoherdServer("--redis", rig_pool.get("standalone").url, *PATIENT) as server,
        nginx(tmp_path, server.target, settings=without("client_max_body_size")) as proxy,
    ):
        async with CacheClient.connect(proxy.target, near_cache=False, on_unavailable="miss") as cache:
            value = {"text": "x" * 100_000}
            for number in range(15):
                await cache.set(session.Data(id=f"n{number}"), value, timeout_ms=TIMEOUT_MS)
                if "intended to send too large" in proxy.errors():
                    break
            await until("nginx says why", lambda: "intended to send too large" in proxy.errors())
            await until("a session was cut", lambda: any(path.startswith(SESSION) for path in proxy.streams()))


async def test_nginx_cuts_a_session_that_is_read_from_too_seldom(tmp_path: Path, rig_pool: RigPool) -> None:
    settings = re.sub(r"grpc_read_timeout [^;]*;", "grpc_read_timeout 100ms;", documented())
    with (
        CoherdServer("--redis", rig_pool.get("standalone").url, *PATIENT) as server,
        nginx(tmp_path, server.target, settings=settings) as proxy,
    ):
        async with CacheClient.connect(proxy.target, near_cache=False) as cache:
            assert await cache.get(session.Data(id="none"), timeout_ms=TIMEOUT_MS) is None
            await until("it is cut", lambda: "upstream timed out" in proxy.errors())
