"""`make trace` runs, and a call goes through few files: a reader has to follow it (docs/internals/a-call.md)."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "internals" / "a-call.md"
MOST: Final = {
    name: (int(files), int(hops))
    for name, files, hops in re.findall(r"^\| ([\w, ]+) \| (\d+) \| (\d+) \|", PAGE.read_text("utf-8"), re.MULTILINE)
}
"""Files and hops, by call."""


RUNS: Final = 6
"""At most. What a process does beside a call is traced with it: on a busy machine it can be in each trace of a run."""


@pytest.fixture(scope="module")
def traced() -> dict[str, tuple[int, int]]:
    """Files and hops of each call, the fewest of some runs."""
    fewest = _traced_once()
    for _ in range(RUNS - 1):
        if all(files <= MOST[name][0] and hops <= MOST[name][1] for name, (files, hops) in fewest.items()):
            break
        for name, (files, hops) in _traced_once().items():
            fewest[name] = (min(files, fewest[name][0]), min(hops, fewest[name][1]))
    return fewest


def _traced_once() -> dict[str, tuple[int, int]]:
    command = (sys.executable, "-m", "tests.benchmarks.trace")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^(.+): (\d+) files, (\d+) hops$", done.stdout, re.MULTILINE)
    return {name: (int(files), int(hops)) for name, files, hops in rows}


def test_each_call_is_traced_on_both_sides(traced: dict[str, tuple[int, int]]) -> None:
    assert list(traced) == list(MOST) == ["get", "set", "get_or_load on a miss", "invalidate, strict, pushed"]
    assert all(hops >= files > 10 for files, hops in traced.values())


@pytest.mark.parametrize("name", MOST)
def test_a_call_goes_through_few_files(name: str, traced: dict[str, tuple[int, int]]) -> None:
    (files, hops), (most_files, most_hops) = traced[name], MOST[name]
    assert files <= most_files
    assert hops <= most_hops
