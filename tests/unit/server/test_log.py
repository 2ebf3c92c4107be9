"""What is logged: repeated once a minute, with its own level, and under names that nothing overwrites."""

from __future__ import annotations

import ast
import logging
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import structlog
from structlog.testing import capture_logs

from coherd.catalog.load import builtin_catalog
from coherd_server.core.store import LostParts, NodeReport, Store
from coherd_server.log import MOST_A_MINUTE, REPEAT_AFTER_S, Repeated
from coherd_server.readiness import log_findings

SOURCES = Path(__file__).parents[3] / "server"
OWN_FIELDS = {"event", "level", "timestamp"}
"""What the processors write."""


def test_no_field_has_a_name_that_is_overwritten() -> None:
    """What a call says under such a name is lost."""
    verbs = {"debug", "info", "warning", "error", "tell"}
    lost = [
        f"{path.name}:{call.lineno}: {keyword.arg}"
        for path in SOURCES.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and (getattr(call.func, "attr", "") in verbs or getattr(call.func, "id", "") in verbs)
        for keyword in call.keywords
        if keyword.arg in OWN_FIELDS
    ]
    assert not lost


async def test_what_is_unsafe_is_logged_as_such() -> None:
    good = NodeReport("h:1", "master", "valkey", "9.1.0", 100, 10, "allkeys-lru", "a" * 40, True)
    reports = [good, good._replace(version="5.0.0"), good._replace(maxmemory_policy="noeviction")]

    async def inspect() -> Sequence[NodeReport]:
        return reports

    with capture_logs() as lines:
        await log_findings(
            cast(Store, SimpleNamespace(inspect=inspect, lost=lambda tags: LostParts())), builtin_catalog()
        )
    assert [(line["log_level"], line["verdict"]) for line in lines] == [("error", "unsafe"), ("warning", "warning")]


def test_what_goes_on_is_told_once_a_minute_with_a_count() -> None:
    now_s = 0.0
    told: list[dict[str, Any]]
    with capture_logs() as told:
        repeated = Repeated(structlog.get_logger(), lambda: now_s)
        for second in range(121):
            now_s = float(second)
            repeated.tell("it failed", reason="full")
        repeated.tell("it failed", reason="gone")
        assert repeated.goes_on
        repeated.over("it works")
        repeated.over("it works")
        repeated.tell("it failed", reason="full")
    assert [(line["event"], line.get("reason"), line.get("times"), line.get("failed")) for line in told] == [
        ("it failed", "full", None, None),
        ("it failed", "full", 61, None),
        ("it failed", "full", 121, None),
        ("it failed", "gone", 122, None),
        ("it works", None, None, 122),
        ("it failed", "full", None, None),
    ]


def test_what_comes_and_goes_is_told_a_few_times_a_minute() -> None:
    now_s = 0.0
    with capture_logs() as told:
        repeated = Repeated(structlog.get_logger(), lambda: now_s, severity=logging.WARNING)
        for _ in range(50):
            repeated.tell("it failed")
            repeated.over("it works")
        for number in range(50):
            repeated.tell("it failed", reason=number)
        now_s = REPEAT_AFTER_S
        repeated.tell("it failed")
    failures = [line for line in told if line["event"] == "it failed"]
    assert len(failures) == MOST_A_MINUTE + 1
    assert len(told) == 2 * MOST_A_MINUTE + 1
    assert {line["log_level"] for line in failures} == {"warning"}
    assert failures[-1]["times"] == 50 - MOST_A_MINUTE + 50 + 1
