"""One client over forks, event loops and threads; each scenario in a fresh interpreter, since gRPC is global to one."""

from __future__ import annotations

import os
import subprocess
import sys

import fork_scenarios
import pytest


@pytest.mark.parametrize("scenario", fork_scenarios.SCENARIOS)
def test_scenario(scenario: str) -> None:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, fork_scenarios.__file__, scenario], env=environ, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
