"""What start-up checks and `coherd doctor` find (`coherd_server.core.doctor`)."""

from __future__ import annotations

import pytest

from coherd_server.core.doctor import Level, examine
from coherd_server.core.lost import Lost
from coherd_server.core.store import NodeReport

MIB = 1 << 20
GOOD = NodeReport(
    address="127.0.0.1:6379",
    role="master",
    software="valkey",
    version="9.1.0",
    maxmemory_bytes=100 * MIB,
    used_memory_bytes=10 * MIB,
    maxmemory_policy="allkeys-lru",
    run_id="a" * 40,
    identity_stable=True,
)


def test_a_good_node_has_nothing_but_ok() -> None:
    findings = examine([GOOD], Lost())
    assert {finding.level for finding in findings} == {Level.OK}
    assert {finding.address for finding in findings} == {GOOD.address}
    assert any("valkey 9.1.0" in finding.text for finding in findings)


@pytest.mark.parametrize(
    ("change", "level", "words"),
    [
        ({"maxmemory_policy": "noeviction"}, Level.WARNING, ("noeviction", "STORE_FULL", "allkeys-lru")),
        ({"maxmemory_bytes": 0}, Level.WARNING, ("no maxmemory", "10 MiB")),
        ({"maxmemory_policy": None}, Level.WARNING, ("INFO names no maxmemory-policy",)),
        ({"used_memory_bytes": 95 * MIB}, Level.WARNING, ("95%", "evicted")),
        ({"identity_stable": False}, Level.UNSAFE, ("proxy", "P1")),
        ({"version": "7.1.9"}, Level.UNSAFE, ("valkey 7.1.9", "7.2")),
        ({"software": "redis", "version": "6.2.14"}, Level.UNSAFE, ("redis 6.2.14", "7.0")),
        ({"version": "unknown"}, Level.UNSAFE, ("unknown",)),
    ],
)
def test_what_is_wrong_is_said_once_and_first(change: dict[str, object], level: Level, words: tuple[str, ...]) -> None:
    findings = examine([GOOD, GOOD._replace(address="127.0.0.1:6380", **change)], Lost())  # type: ignore[arg-type]
    first, *others = findings
    assert (first.level, first.address) == (level, "127.0.0.1:6380")
    assert all(word in first.text for word in words), first.text
    assert {finding.level for finding in others} == {Level.OK}


@pytest.mark.parametrize(
    ("software", "version"), [("redis", "7.0.15"), ("redis", "8.0.0"), ("valkey", "7.2.0"), ("valkey", "10.0")]
)
def test_supported_versions(software: str, version: str) -> None:
    findings = examine([GOOD._replace(software=software, version=version)], Lost())
    assert {finding.level for finding in findings} == {Level.OK}


def test_the_worst_comes_first() -> None:
    findings = examine(
        [GOOD._replace(maxmemory_bytes=0), GOOD._replace(identity_stable=False, maxmemory_policy="noeviction")], Lost()
    )
    levels = [finding.level for finding in findings]
    assert levels == sorted(levels, key=[Level.UNSAFE, Level.WARNING, Level.OK].index)
    assert levels.count(Level.WARNING) == 2


def test_nothing_to_examine() -> None:
    assert examine([], Lost()) == []


def test_what_does_not_answer_is_named_with_what_fails_for_it() -> None:
    lost = Lost({"10.0.0.2:6379": "connection refused"}, ("content", "crisis"), ("analytics:daily",))
    findings = examine([GOOD, GOOD._replace(maxmemory_bytes=0)], lost)
    assert [finding.level for finding in findings[:3]] == [Level.LOST, Level.LOST, Level.WARNING]
    assert findings[0].address == "10.0.0.2:6379"
    assert "connection refused" in findings[0].text
    assert "domains content, crisis; resources of other domains analytics:daily" in findings[1].text
