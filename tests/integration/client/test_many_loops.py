"""One client over many event loops, none of which closes it: nothing is left of a loop that ended, nothing is logged.

Django runs each asynchronous view of a WSGI server in a loop of its own, and scripts call `asyncio.run` in a row.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from coherd._rpc.loop_ends import ignore_later
from rig.server import CoherdServer

SCENARIOS = Path(__file__).with_name("loop_scenarios.py")
TIMEOUT_S = 300


@pytest.mark.parametrize(
    "scenario",
    ["row-asyncio-session", "row-django-unary", "threads-asyncio-unary", "threads-django-session"],
)
def test_nothing_is_left_of_loops_that_ended_and_nothing_is_logged(server: CoherdServer, scenario: str) -> None:
    """Found with 50 runs: "Event loop is closed" from gRPC, and a file or two left of each third."""
    done = subprocess.run(
        [sys.executable, str(SCENARIOS), server.target, scenario],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    said = json.loads(done.stdout)
    assert set(said["held"]) == {0}, "near caches, sessions, flights of ended loops"
    # A unary channel is let go with its loop; gRPC's own threads and files end a little later.
    assert said["after"]["files"] <= said["first"]["files"] + 8
    assert said["after"]["python_threads"] <= said["first"]["python_threads"] + 1
    assert said["closed"]["files"] <= said["first"]["files"] + 8


async def _nothing() -> None:
    pass


def test_a_loop_that_is_closed_still_refuses_what_is_not_of_grpc() -> None:
    loop = asyncio.new_event_loop()
    ignore_later(loop)
    ignore_later(loop)
    called: list[Any] = []
    loop.call_soon_threadsafe(called.append, 1)
    loop.run_until_complete(asyncio.sleep(0))
    assert called == [1]
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_soon_threadsafe(called.append, 2)
    coroutine = _nothing()
    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run_coroutine_threadsafe(coroutine, loop)
    coroutine.close()
