"""`coherd doctor`, as a user calls it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def doctor(url: str, **environ: str) -> tuple[int, str]:
    """Exit code and output, white space made single."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COHERD_")}
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
