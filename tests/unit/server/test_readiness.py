"""Health follows the store (`coherd_server.readiness`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest
from grpc_health.v1 import health_pb2
from structlog.testing import capture_logs

from coherd.catalog.load import builtin_catalog
from coherd_server import readiness
from coherd_server.core.store import LostParts, Store
from coherd_server.readiness import WATCH_INTERVAL_S, Readiness
from coherd_server.redis.maintenance import Maintenance
from coherd_server.redis.node import SILENT_CHECKS, Node
from coherd_server.redis.pool import TICKS
from coherd_server.redis.settings import StoreSettings

NAMES = health_pb2.HealthCheckResponse.ServingStatus
CONTENT = builtin_catalog().domains["content"].service
CRISIS = builtin_catalog().domains["crisis"].service


class Looks:
    """A store that looks as it is told, one look after the other; then the watch ends."""

    def __init__(self, *looks: tuple[str, LostParts]) -> None:
        self._looks = looks
        self.seen = 0
        self.told: list[tuple[str, str, int]] = []

    def trouble(self) -> str:
        if self.seen == len(self._looks):
            raise asyncio.CancelledError
        self.seen += 1
        return self._looks[self.seen - 1][0]

    def lost(self, tags: Sequence[str]) -> LostParts:
        nodes, lost = self._looks[max(0, self.seen - 1)][1]
        return LostParts(nodes, lost & set(tags))

    async def set(self, service: str, status: int) -> None:
        self.told.append((service, NAMES.Name(status), self.seen))

    async def watched(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, int]]:
        """What health was told, and at which look, after it was told to begin."""
        monkeypatch.setattr(readiness, "WATCH_INTERVAL_S", 0)
        ready = Readiness(cast(Store, self), [CONTENT, CRISIS], builtin_catalog())
        monkeypatch.setattr(ready._health, "set", self.set)
        await ready.begin()
        with pytest.raises(asyncio.CancelledError):
            await ready.follow_store()
        return self.told


async def test_health_says_so_at_the_second_look_and_back_at_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """One look may come before the answers that a process which stood still has yet to read."""
    looks = ["", "down", "", "down", "down", "down", "", ""]
    told = await Looks(*((look, LostParts()) for look in looks)).watched(monkeypatch)
    everything = ["", CONTENT, CRISIS]
    assert told == [
        (service, status, at)
        for status, at in (("SERVING", 0), ("NOT_SERVING", 5), ("SERVING", 7))
        for service in everything
    ]


async def test_while_any_part_answers_only_domains_that_are_lost_are_not_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost = LostParts({"10.0.0.2:6379": "connection refused"}, frozenset({"content", "crisis:alerts"}))
    with capture_logs() as lines:
        told = await Looks(*[("", LostParts())] * 2, *[("", lost)] * 4, ("", LostParts())).watched(monkeypatch)
    assert told[3:] == [(CONTENT, "NOT_SERVING", 4), (CONTENT, "SERVING", 7)]
    assert [line["event"] for line in lines] == [
        "a part of the store does not answer: some calls fail",
        "all of the store answers again",
    ]
    assert (lines[0]["nodes"], lines[0]["reason"]) == (["10.0.0.2:6379"], "connection refused")
    assert lines[0]["domains"] == ["content"]


async def test_a_server_that_begins_beside_a_lost_part_says_so_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = LostParts({"10.0.0.2:6379": "connection refused"}, frozenset({"crisis"}))
    told = await Looks(("", lost)).watched(monkeypatch)
    assert told[:3] == [("", "SERVING", 0), (CONTENT, "SERVING", 0), (CRISIS, "NOT_SERVING", 0)]


def test_a_silent_store_is_told_within_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """As documented: from its last answer to the second look."""

    def trouble_after(silent_s: float) -> str:
        node = SimpleNamespace(answered_at_s=time.monotonic() - silent_s, trouble="down", _settings=StoreSettings())
        node.is_silent = Node.is_silent.fget(node)  # type: ignore[attr-defined]
        store = SimpleNamespace(
            _topology=SimpleNamespace(nodes=lambda: (node,)), _silent=lambda: [node][: node.is_silent]
        )
        return Maintenance.trouble(cast(Maintenance, store))

    assert trouble_after(2.0 - 2 * WATCH_INTERVAL_S) == "down"
    assert trouble_after(0.0) == ""


def test_a_node_that_answers_every_check_is_never_silent() -> None:
    """A check that is just not due waits for the next tick."""
    assert 1 + 1 / TICKS < SILENT_CHECKS
