"""Typed keys: text that knows its type."""

from __future__ import annotations

import copy
import datetime
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherd.catalog.load import builtin_catalog
from coherd.contract.reasons import Refusal
from coherd.domains import ai_model, analytics, celery, content, crisis, maintenance, psychology, session
from coherd.key import Key, OpenKey

EXAMPLES = {
    "analytics:daily:user:user123:date:20250806": analytics.Daily(user="user123", date=datetime.date(2025, 8, 6)),
    "analytics:writing_stats:user:user123:days:30d": analytics.WritingStats(user="user123", days=30),
    "analytics:mood_trends:user:user123:range:30d": analytics.MoodTrends(user="user123", range="30d"),
    "analytics:content_engagement:content:c1": analytics.ContentEngagement(content="c1"),
    "psychology:insights:user:user123:type:emotional": psychology.Insights(user="user123", type="emotional"),
    "psychology:profile:user:user123": psychology.Profile(user="user123"),
    "psychology:content_analysis:content:c1": psychology.ContentAnalysis(content="c1"),
    "crisis:assessment:hash:abc12345": crisis.Assessment(hash="abc12345"),
    "crisis:user_risk:user:user123": crisis.UserRisk(user="user123"),
    "crisis:trends:timeframe:7d": crisis.Trends(timeframe="7d"),
    "maintenance:system_health": maintenance.SystemHealth(),
    "maintenance:component_status:component:db": maintenance.ComponentStatus(component="db"),
    "maintenance:performance_metrics": maintenance.PerformanceMetrics(),
    "maintenance:cleanup_report:date:20250806": maintenance.CleanupReport(date="20250806"),
    "session:data:id:session789": session.Data(id="session789"),
    "session:activity:user:user123": session.Activity(user="user123"),
    "ai_model:instance:name:bert:version:latest": ai_model.Instance(name="bert", version="latest"),
    "ai_model:prompt:hash:xyz789:model:gpt4": ai_model.Prompt(hash="xyz789", model="gpt4"),
    "content:topics:user:user123": content.Topics(user="user123"),
    "celery:task_metrics:id:task123": celery.TaskMetrics(id="task123"),
    "celery:worker_status:name:worker1": celery.WorkerStatus(name="worker1"),
}
values = st.text(min_size=1, max_size=40) | st.sampled_from(["a:b", "%", "{x}", "\ud800", "*", " "])


@pytest.mark.parametrize(("text", "key"), EXAMPLES.items(), ids=EXAMPLES)
def test_a_key_is_its_text_in_every_way(text: str, key: Key[Any]) -> None:
    assert key == text
    assert hash(key) == hash(text)
    assert {text: 1}[key] == 1
    assert type(str(key)) is str
    assert f"{key}" == text
    assert builtin_catalog().resolve(key).text == text
    assert type(key).parse(text) == key


def test_there_is_an_example_of_every_resource() -> None:
    declared = {(d.name, r.name) for d in builtin_catalog().domains.values() for r in d.resources.values()}
    assert {(key.domain, key.resource) for key in EXAMPLES.values()} == declared


@pytest.mark.parametrize("key", EXAMPLES.values(), ids=EXAMPLES)
def test_keys_survive_pickling_and_copying_with_their_type(key: Key[Any]) -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(key, protocol))
        assert (type(again), again) == (type(key), key)
    assert type(copy.deepcopy(key)) is type(copy.copy(key)) is type(key)


@pytest.mark.parametrize("key", EXAMPLES.values(), ids=EXAMPLES)
def test_keys_cannot_be_changed(key: Key[Any]) -> None:
    with pytest.raises(AttributeError):
        key.user = "other"  # type: ignore[attr-defined]
    assert not hasattr(key, "__dict__")


@pytest.mark.parametrize("key", EXAMPLES.values(), ids=EXAMPLES)
def test_repr_is_how_it_is_made(key: Key[Any]) -> None:
    assert eval(repr(key), {type(key).__name__: type(key)}) == key


def test_identifiers_are_typed() -> None:
    daily = analytics.Daily(user="a:b %", date="20240229")
    assert (daily.user, daily.date) == ("a:b %", datetime.date(2024, 2, 29))
    assert analytics.WritingStats(user="u", days=0).days == 0
    assert daily.identifiers == {"user": "a:b %", "date": "20240229"}


def made(build: Callable[[], str]) -> str:
    """The key, or why there is none."""
    try:
        return build()
    except Refusal as refusal:
        return f"{refusal.reason}: {refusal}"


@given(values, st.dates())
def test_generated_keys_are_what_the_catalog_builds(user: str, day: datetime.date) -> None:
    expected = made(lambda: builtin_catalog().build("analytics", "daily", {"user": user, "date": day}))
    key = made(lambda: analytics.Daily(user=user, date=day))
    assert str(key) == expected
    if isinstance(key, analytics.Daily):
        assert (key.user, key.date) == (user, day)
        assert analytics.Daily.parse(expected) == key


@pytest.mark.parametrize(
    "values_",
    [
        {"user": "", "days": 1},
        {"user": None, "days": 1},
        {"user": 5, "days": 1},
        {"user": b"u", "days": 1},
        {"user": "\ud800", "days": 1},
        {"user": "x" * 500, "days": 1},
        {"user": ":" * 200, "days": 1},
        {"user": "é" * 250, "days": 1},
        {"user": "u", "days": True},
        {"user": "u", "days": -1},
        {"user": "u", "days": 2**32},
        {"user": "u", "days": 1.0},
        {"user": "u", "days": "030d"},
        {"user": "u", "days": None},
    ],
)
def test_bad_identifiers_are_refused_where_the_key_is_made(values_: dict[str, Any]) -> None:
    with pytest.raises(Refusal):
        analytics.WritingStats(**values_)


@pytest.mark.parametrize("values_", [{}, {"user": "u"}, {"usr": "u", "days": 1}, {"user": "u", "days": 1, "more": 2}])
def test_other_identifiers_are_a_type_error(values_: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        analytics.WritingStats(**values_)
    with pytest.raises(TypeError):
        analytics.WritingStats("u", 1)  # type: ignore[misc]


@pytest.mark.parametrize(
    "text",
    [
        "analytics:daily:user:u:date:20250806",
        "analytics:writing_stats",
        "analytics:writing_stats:user:u",
        "analytics:writing_stats:days:30d:user:u",
        "analytics:writing_stats:user:u:days:30",
        "analytics:writing_stats:user:u:days:030d",
        "analytics:writing_stats:user:u:days:30d:more",
        "analytics:writing_stats:user:u:days:30d:more:x",
        "writing_stats:u:30d",
        "",
    ],
)
def test_parse_takes_only_what_the_constructor_writes(text: str) -> None:
    with pytest.raises(Refusal):
        analytics.WritingStats.parse(text)


def test_open_keys() -> None:
    key = OpenKey("content", "drafts", {"user": "u:1"}, suffix="list")
    assert key == "content:drafts:user:u%3A1:list"
    assert OpenKey.parse(key) == key
    assert key.identifiers == {"user": "u:1"}
    assert repr(key) == "OpenKey.parse('content:drafts:user:u%3A1:list')"
    assert type(pickle.loads(pickle.dumps(key))) is OpenKey
    for wrong in ("content", "content:drafts:user:", "content:drafts:a b"):
        with pytest.raises(Refusal):
            OpenKey.parse(wrong)
    with pytest.raises(Refusal):
        OpenKey("content", "drafts", {"user": 5})  # type: ignore[dict-item]


def test_the_type_of_a_key_does_not_distinguish_it() -> None:
    assert OpenKey.parse("content:topics:user:u") == content.Topics(user="u")
    assert len({OpenKey.parse("content:topics:user:u"), content.Topics(user="u")}) == 1


def test_the_package_is_marked_as_typed() -> None:
    import coherd

    assert (Path(coherd.__file__).parent / "py.typed").is_file()
