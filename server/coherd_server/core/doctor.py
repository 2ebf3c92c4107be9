"""What is unsafe about a store: start-up checks and `coherd doctor`. Pure: reports in, findings out."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from coherd_server.core.lost import Lost
from coherd_server.core.store import NodeReport

_OLDEST: Final = {"redis": (7, 0), "valkey": (7, 2)}
_NEARLY_FULL: Final = 0.9


class Level(enum.Enum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    """Works, with a cost that the text names."""
    LOST = "lost"
    """It does not answer: calls fail, and the text names which."""
    UNSAFE = "unsafe"
    """A promise does not hold."""


class Finding(NamedTuple):
    """One finding on one node."""

    level: Level
    address: str
    text: str


def examine(reports: Iterable[NodeReport], lost: Lost) -> list[Finding]:
    """All findings on all primaries, the worst first.

    Args:
        reports: of the primaries that answer.
        lost: the others, and what fails for it.
    """
    order = [Level.UNSAFE, Level.LOST, Level.WARNING, Level.OK]
    findings = [finding for report in reports for finding in _examine(report)]
    findings += _lost(lost)
    return sorted(findings, key=lambda finding: order.index(finding.level))


def _lost(lost: Lost) -> Iterator[Finding]:
    for address, cause in lost.nodes.items():
        yield Finding(Level.LOST, address, f"a primary does not answer: {cause}; calls for keys that lie there fail")
    if lost.nodes:
        domains, resources = ", ".join(lost.domains) or "none", ", ".join(lost.resources) or "none"
        text = (
            f"fail as a whole, since their epochs lie there: domains {domains}; resources of other domains {resources}"
        )
        yield Finding(Level.LOST, "cluster", text)


def _examine(report: NodeReport) -> Iterator[Finding]:
    name = f"{report.software} {report.version}"
    oldest = _OLDEST.get(report.software, (7, 0))
    if _version(report.version) < oldest:
        text = f"{name} is older than {oldest[0]}.{oldest[1]}, the oldest that is supported"
        yield Finding(Level.UNSAFE, report.address, text)
    else:
        yield Finding(Level.OK, report.address, f"{name}, {report.role}")
    if not report.identity_stable:
        yield Finding(
            Level.UNSAFE,
            report.address,
            "two connections reached two different servers: a proxy hides which Redis answers, so a failover can undo "
            "an invalidation (P1, P4); connect to Redis directly, or by its Sentinel or Cluster URL",
        )
    yield Finding(*_memory(report))


def _memory(report: NodeReport) -> tuple[Level, str, str]:
    used_mib = report.used_memory_bytes / (1 << 20)
    policy = report.maxmemory_policy
    if policy is None:
        text = "its INFO names no maxmemory-policy: check that it evicts"
        return Level.WARNING, report.address, text
    if report.maxmemory_bytes == 0:
        text = f"no maxmemory: a cache without a bound grows until the machine is full ({used_mib:.0f} MiB now)"
        return Level.WARNING, report.address, text
    share = report.used_memory_bytes / report.maxmemory_bytes
    limit = f"maxmemory {report.maxmemory_bytes / (1 << 20):.0f} MiB, {policy}"
    if policy == "noeviction":
        text = f"{limit}: at the limit sets fail with STORE_FULL; a cache wants allkeys-lru or allkeys-lfu"
        return Level.WARNING, report.address, text
    if share > _NEARLY_FULL:
        text = f"{limit}: {share:.0%} used, entries and epochs are being evicted: more misses"
        return Level.WARNING, report.address, text
    return Level.OK, report.address, f"{limit}: {share:.0%} used; evicted epochs cost hits, never correctness"


def _version(text: str) -> tuple[int, int]:
    numbers = re.findall(r"\d+", text)
    return (int(numbers[0]), int(numbers[1])) if len(numbers) > 1 else (0, 0)
