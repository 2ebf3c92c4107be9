"""Key texts of the familiar names, letter by letter."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable

import pytest

from coherd import Refusal
from coherd.catalog.load import builtin_catalog
from coherd.compat import (
    CacheDomain,
    CacheInvalidationPatterns,
    CacheKeyBuilder,
    CacheMigrationHelper,
    CachePatterns,
    CacheTTL,
)
from coherd.compat.arguments import today_utc

KEYS = {
    CachePatterns.writing_stats("user123", 30): "analytics:writing_stats:user:user123:days:30d",
    CachePatterns.analytics_daily("user123", "20250806"): "analytics:daily:user:user123:date:20250806",
    CachePatterns.mood_trends("user123", "30d"): "analytics:mood_trends:user:user123:range:30d",
    CachePatterns.content_engagement("c1"): "analytics:content_engagement:content:c1",
    CachePatterns.psychology_profile("user123"): "psychology:profile:user:user123",
    CachePatterns.content_analysis("c1"): "psychology:content_analysis:content:c1",
    CachePatterns.psychology_insights("user123", "emotional"): "psychology:insights:user:user123:type:emotional",
    CachePatterns.crisis_assessment("abc12345"): "crisis:assessment:hash:abc12345",
    CachePatterns.crisis_user_risk("user123"): "crisis:user_risk:user:user123",
    CachePatterns.crisis_trends("7d"): "crisis:trends:timeframe:7d",
    CachePatterns.system_health(): "maintenance:system_health",
    CachePatterns.component_status("database"): "maintenance:component_status:component:database",
    CachePatterns.performance_metrics(): "maintenance:performance_metrics",
    CachePatterns.session_data("session789"): "session:data:id:session789",
    CachePatterns.session_activity("user123"): "session:activity:user:user123",
    CachePatterns.ai_model_instance("bert", "latest"): "ai_model:instance:name:bert:version:latest",
    CachePatterns.ai_prompt("xyz789", "gpt4"): "ai_model:prompt:hash:xyz789:model:gpt4",
    CachePatterns.content_topics("user123"): "content:topics:user:user123",
    CachePatterns.celery_task_metrics("task123"): "celery:task_metrics:id:task123",
    CachePatterns.celery_worker_status("worker1"): "celery:worker_status:name:worker1",
}


@pytest.mark.parametrize(("key", "text"), KEYS.items())
def test_patterns(key: str, text: str) -> None:
    assert key == text
    assert builtin_catalog().resolve(key).text == text


def test_no_date_is_today_in_utc() -> None:
    before = today_utc()
    key = CachePatterns.analytics_daily("u")
    assert key in {CachePatterns.analytics_daily("u", day) for day in (before, today_utc())}
    assert before == datetime.datetime.now(datetime.UTC).date()
    assert CachePatterns.analytics_daily("u", datetime.date(2025, 8, 6)).endswith(":20250806")


def test_domains_are_those_of_the_catalog() -> None:
    assert {domain.value for domain in CacheDomain} == builtin_catalog().domains.keys()


def test_builder() -> None:
    build = CacheKeyBuilder.build_key
    assert build(CacheDomain.CONTENT, "topics", {"user": "user123"}) == "content:topics:user:user123"
    assert build("analytics", "writing_stats", {"days": 30, "user": "u"}) == "analytics:writing_stats:user:u:days:30d"
    assert build(CacheDomain.MAINTENANCE, "system_health") == "maintenance:system_health"
    assert build(CacheDomain.CONTENT, "drafts", {"user": "u"}, suffix="list") == "content:drafts:user:u:list"
    assert build(CacheDomain.CONTENT, "topics", {"user": "a:b*{c}"}) == "content:topics:user:a%3Ab%2A%7Bc%7D"
    for wrong in ({}, {"user": ""}, {"user": "u", "more": "x"}, {"user": 5.0}):
        with pytest.raises(Refusal):
            build(CacheDomain.CONTENT, "topics", wrong)
    with pytest.raises(Refusal):
        build("nowhere", "topics", {"user": "u"})


def test_ttls_are_seconds() -> None:
    ttls = (CacheTTL.FIVE_MINUTES, CacheTTL.HALF_HOURLY, CacheTTL.HOURLY, CacheTTL.DAILY, CacheTTL.WEEKLY)
    assert ttls == (300, 1_800, 3_600, 86_400, 604_800)
    assert all(type(ttl) is int for ttl in ttls)


def test_invalidations() -> None:
    assert CacheInvalidationPatterns.user("user123") == [
        "analytics/user:user123",
        "psychology/user:user123",
        "crisis/user:user123",
        "session/user:user123",
    ]
    assert CacheInvalidationPatterns.content("c1") == ["psychology/content:c1", "analytics/content:c1"]
    assert CacheInvalidationPatterns.daily("20250805") == ["analytics/date:20250805", "maintenance/date:*"]
    assert CacheInvalidationPatterns.daily()[1:] == ["maintenance/date:*"]


@pytest.mark.parametrize(
    ("legacy", "canonical"),
    [
        ("writing_stats:user123:30d", "analytics:writing_stats:user:user123:days:30d"),
        ("topics:user123:list", "content:topics:user:user123"),
        ("task_metrics:task123", "celery:task_metrics:id:task123"),
        ("topics:a:b:list", "content:topics:user:a%3Ab"),
        ("topics:*{x}%\n:list", "content:topics:user:%2A%7Bx%7D%25%0A"),
        ("writing_stats:a:7d:0d", "analytics:writing_stats:user:a%3A7d:days:0d"),
        ("task_metrics:session:data:id:x", "celery:task_metrics:id:session%3Adata%3Aid%3Ax"),
        ("session:data:id:session789", "session:data:id:session789"),
        ("content:drafts:user:u1:list", "content:drafts:user:u1:list"),
    ],
)
def test_migration(legacy: str, canonical: str) -> None:
    assert CacheMigrationHelper.convert_legacy_key(legacy) == canonical
    assert CacheMigrationHelper.convert_legacy_key(canonical) == canonical


@pytest.mark.parametrize(
    "unknown",
    [
        "",
        "secret",
        "secret:x",
        "session:data:id:a b",
        "topics::list",
        "topics:list",
        "topics:\ud800:list",
        "task_metrics:",
        "writing_stats:u:030d",
        "writing_stats:u:99999999999d",
        "task_metrics:" + "x" * 512,
    ],
)
def test_unknown_keys_are_refused_without_being_shown(unknown: str) -> None:
    with pytest.raises(Refusal) as caught:
        CacheMigrationHelper.convert_legacy_key(unknown)
    assert "secret" not in str(caught.value)


NUMBER = uuid.UUID(int=5)


def test_ids_are_numbers_and_uuids_too_and_days_iso_text() -> None:
    assert CachePatterns.writing_stats(5, 30) == CachePatterns.writing_stats("5", 30)
    assert CachePatterns.session_data(NUMBER) == f"session:data:id:{NUMBER}"
    assert CachePatterns.analytics_daily(5, "2025-08-06") == "analytics:daily:user:5:date:20250806"
    assert CacheInvalidationPatterns.user(5) == CacheInvalidationPatterns.user("5")
    assert CacheInvalidationPatterns.content(NUMBER) == CacheInvalidationPatterns.content(str(NUMBER))
    assert CacheInvalidationPatterns.daily("2025-08-06") == CacheInvalidationPatterns.daily("20250806")
    build = CacheKeyBuilder.build_key
    assert build("analytics", "daily", {"user": 5, "date": "2025-08-06"}) == "analytics:daily:user:5:date:20250806"
    assert build("analytics", "writing_stats", {"user": 5, "days": 30}) == "analytics:writing_stats:user:5:days:30d"
    assert build("content", "drafts", {"user": 5, "on": "2025-08-06"}) == "content:drafts:user:5:on:2025-08-06"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: CachePatterns.writing_stats(True, 30), "'user' must be a string, not bool"),
        (lambda: CachePatterns.writing_stats(1.5, 30), "'user' must be a string, not float"),
        (lambda: CachePatterns.writing_stats(None, 30), "'user' must be a string, not NoneType"),
        (lambda: CachePatterns.writing_stats("u", 1.5), "'days' must be an integer, not float"),
        (lambda: CachePatterns.analytics_daily("u", "2025-02-30"), "'date' must be a day that exists"),
        (
            lambda: CachePatterns.analytics_daily("u", datetime.datetime(2025, 8, 6)),
            "'date' must be a date without a time",
        ),
        (lambda: CacheKeyBuilder.build_key("content", "topics", {"user": None}), "'user' must be a string"),
        (lambda: CacheKeyBuilder.build_key("content", "topics", ["user"]), "identifiers is a mapping"),
        (lambda: CacheKeyBuilder.build_key(5, "topics", {}), "unknown domain"),
        (lambda: CacheMigrationHelper.convert_legacy_key(5), "a key is text, not of type int"),
    ],
)
def test_what_is_no_id_or_day_is_refused_by_name(make: Callable[[], object], words: str) -> None:
    with pytest.raises((Refusal, TypeError), match=words):
        make()
