"""One client with sessions over forks and loops, before a real server; each scenario in a fresh interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rig.calls import Caller
from rig.server import CoherdServer

SCRIPT = Path(__file__).parent / "session_scenarios.py"
SHARED = Path(__file__).parents[2] / "unit" / "client"
IN_A_RUNNING_LOOP = ("forked_beside_a_session", "fork_in_a_loop_beside_a_resting_one", "forked_beside_a_near_cache")
"""gRPC's own handlers crash some children of these; the client warns, see `warned_of`."""


@pytest.mark.parametrize(
    "scenario",
    [
        "forked_beside_a_session",
        "resting_session",
        "fork_in_a_loop_beside_a_resting_one",
        "fork_while_a_session_is_being_opened",
        "never_closed",
        "never_closed_blocking",
        "warned_of",
        "forked_beside_a_near_cache",
    ],
)
def test_scenario(server: CoherdServer, scenario: str) -> None:
    with Caller(server.target) as caller:
        caller.set("content:drafts:user:u1", b"\x0a\x017")
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(SHARED)])}
    if scenario in IN_A_RUNNING_LOOP:
        environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), scenario, server.target],
        env=environ,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if scenario.startswith("never_closed"):
        assert done.stderr == ""
