"""Replays and the demo against real servers: the counts of client, trace and server are one."""

from __future__ import annotations

import gzip
import json
import lzma
import random
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from coherd.cli.app import coherd
from rig.server import CoherdServer
from rig.waiting import wait_until

EXCERPT = Path(__file__).parents[2] / "data" / "web12-first-5000.trace.xz"
IDS = [random.Random(7).randrange(60) for _ in range(600)]


def replay(target: str, *words: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(coherd, ["replay", *words, "--server", target], input=stdin)


def report(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def binary(ids: list[int]) -> bytes:
    return struct.pack(f">{len(ids)}i", *ids)


def lines(ids: list[int]) -> bytes:
    return "".join(f"item:{item}/é *\n" for item in ids).encode()


@pytest.mark.parametrize("content", [binary, lines])
@pytest.mark.parametrize("pack", [bytes, lzma.compress, gzip.compress], ids=["plain", "xz", "gz"])
def test_every_format_gives_the_same_counts(
    server: CoherdServer, tmp_path: Path, content: Callable[[list[int]], bytes], pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "trace"
    path.write_bytes(pack(content(IDS)))
    result = replay(server.target, str(path), "--load-ms", "1", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    found = report(result)
    distinct = len(set(IDS))
    assert (found["hits"], found["misses"], found["loads"], found["removed"]) == (
        600 - distinct,
        distinct,
        distinct,
        distinct,
    )
    assert found["expected"]["agrees"]
    near_hits = found["server"].pop("near_hits")
    assert 0 <= near_hits <= 600 - distinct
    assert found["server"] == {"hits": 600 - distinct, "misses": distinct, "sets": distinct, "agrees": True}
    assert found["errors"] == {}


def test_the_ways_to_the_service_side_by_side(server: CoherdServer, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_bytes(binary([item for item in range(8) for _ in range(300)]))
    found = report(replay(server.target, str(path), "--load-ms", "1", "--workers", "4", "--side-by-side", "--json"))
    assert list(found) == ["near", "session", "unary"]
    assert all(one["passed"] and (one["hits"], one["misses"]) == (2_392, 8) for one in found.values())
    assert found["near"]["server"]["near_hits"] > 1_000
    assert found["session"]["server"]["near_hits"] == found["unary"]["server"]["near_hits"] == 0
    table = replay(server.target, str(path), "--load-ms", "1", "--side-by-side").stdout
    assert "session and near cache" in table
    assert "unary calls" in table
    both = replay(server.target, str(path), "--unary", "--no-near-cache")
    assert both.exit_code == 2
    assert "exclude each other" in both.stderr


def test_a_real_trace(server: CoherdServer) -> None:
    result = replay(server.target, str(EXCERPT), "--workers", "64", "--load-ms", "1")
    assert result.exit_code == 0
    assert "54.6400%" in result.stdout
    assert "agrees" in result.stdout
    assert "2,268 removed" in result.stdout


def test_stdin_limit_and_one_worker(server: CoherdServer) -> None:
    result = replay(server.target, "-", "--limit", "50", "--workers", "1", "--load-ms", "0", "--json", stdin=lines(IDS))
    assert result.exit_code == 0
    assert report(result)["requests"] == 50
    assert report(result)["misses"] == len(set(IDS[:50]))


def test_kept_entries_make_the_next_run_warm(own_server: CoherdServer, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_bytes(binary(IDS))
    first, second = (
        report(replay(own_server.target, str(path), "--keep", "--load-ms", "0", "--json")) for _ in range(2)
    )
    assert (first["expected"], first["misses"], first["removed"]) == (None, len(set(IDS)), None)
    assert (second["hits"], second["misses"], second["passed"]) == (600, 0, True)


def test_a_ttl_shorter_than_the_run_differs_and_says_so(server: CoherdServer, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_bytes(lines([1] * 40))
    result = replay(server.target, str(path), "--ttl", "1ms", "--workers", "1", "--load-ms", "3", "--json")
    assert result.exit_code == 1
    assert "differ from 39 and 1 that follow from the trace" in result.stderr
    found = report(result)
    assert not found["passed"]
    assert found["server"]["agrees"]


def test_values_over_the_servers_limit_fail_one_by_one_and_end_the_run(
    own_server: CoherdServer, tmp_path: Path
) -> None:
    path = tmp_path / "trace"
    path.write_bytes(lines(list(range(3))))
    some = replay(own_server.target, str(path), "--value-bytes", str(2 << 20), "--json")
    assert some.exit_code == 1
    assert report(some)["errors"] == {"InvalidRequest": 3}
    assert "3 requests failed" in some.stderr
    path.write_bytes(lines(list(range(500))))
    many = replay(own_server.target, str(path), "--value-bytes", str(2 << 20), "--load-ms", "0")
    assert many.exit_code == 4
    assert "given up: 101 requests failed" in many.stderr


def test_a_server_that_dies_ends_the_run(own_server: CoherdServer, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_bytes(lines(list(range(100_000))))
    command = [
        sys.executable,
        "-m",
        "coherd.cli",
        "replay",
        str(path),
        "--server",
        own_server.target,
        "--timeout",
        "500ms",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_until("it has begun", lambda: _analytics(own_server)["sets"])
        own_server.kill()
        out, err = process.communicate(timeout=300)
    assert process.returncode == 4
    assert out == b""
    assert b"Traceback" not in err
    assert b"given up: 101 requests failed" in err


def _analytics(server: CoherdServer) -> dict[str, int]:
    metrics = CliRunner().invoke(coherd, ["metrics", "analytics", "--json", "--server", server.target])
    counts: dict[str, int] = json.loads(metrics.stdout)["analytics"]
    return counts


def test_ctrl_c_removes_what_was_stored(own_server: CoherdServer, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_bytes(lines(list(range(100_000))))
    command = [sys.executable, "-m", "coherd.cli", "replay", str(path), "--server", own_server.target]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_until("it has begun", lambda: _analytics(own_server)["sets"])
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert (process.returncode, out, err.decode().strip()) == (130, b"", "coherd: interrupted")
    counted = _analytics(own_server)
    assert counted["sets"] > 0
    assert counted["deletes"] == pytest.approx(counted["sets"], abs=32)


def test_demo() -> None:
    words = [sys.executable, "-m", "coherd.cli", "demo", "--requests", "1500", "--keys", "400", "--load-ms", "1"]
    shown = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert (shown.returncode, shown.stderr) == (0, "")
    for text in (
        "embedded Valkey",
        "Zipf alpha 1.2",
        "agrees",
        "analytics:content_engagement",
        "nothing is left behind",
    ):
        assert text in shown.stdout
    machine = subprocess.run([*words, "--json"], capture_output=True, text=True, timeout=300)
    found = json.loads(machine.stdout)
    assert found["passed"]
    assert found["requests"] == 1_500
