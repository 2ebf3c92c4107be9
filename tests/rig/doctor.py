"""`coherd doctor`, as a user calls it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rig.environment import inherited_environment


def doctor(url: str, **environ: str) -> tuple[int, str]:
    """Exit code and output, white space made single."""
    inherited = inherited_environment()
    done = subprocess.run(
        [sys.executable, "-m", "coherd.cli", "doctor", "--redis", url],
        env={**inherited, "COLUMNS": "200", **environ},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, " ".join((done.stdout + done.stderr).split())
