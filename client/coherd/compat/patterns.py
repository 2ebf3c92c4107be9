"""A typed key per familiar operation, and the tags of the familiar invalidations."""

from __future__ import annotations

import datetime

from coherd.catalog.load import builtin_catalog
from coherd.contract.keys import DateLike
from coherd.domains import ai_model, analytics, celery, content, crisis, maintenance, psychology, session


def today_utc() -> datetime.date:
    """What ``date=None`` means."""
    return datetime.datetime.now(datetime.UTC).date()


class CachePatterns:
    """The key of each operation of `UnifiedCacheService`. Keys are text, and know the type of their values.

    Every builder raises `coherd.Refusal` where an argument cannot stand in a key: empty, of the wrong type, too long.
    """

    @staticmethod
    def writing_stats(user_id: str, days: int) -> analytics.WritingStats:
        """``analytics:writing_stats:user:{user_id}:days:{days}d``"""
        return analytics.WritingStats(user=user_id, days=days)

    @staticmethod
    def analytics_daily(user_id: str, date: DateLike | None = None) -> analytics.Daily:
        """``analytics:daily:user:{user_id}:date:{date}``; None is today in UTC."""
        return analytics.Daily(user=user_id, date=today_utc() if date is None else date)

    @staticmethod
    def mood_trends(user_id: str, range: str) -> analytics.MoodTrends:
        """``analytics:mood_trends:user:{user_id}:range:{range}``"""
        return analytics.MoodTrends(user=user_id, range=range)

    @staticmethod
    def content_engagement(content_id: str) -> analytics.ContentEngagement:
        """``analytics:content_engagement:content:{content_id}``"""
        return analytics.ContentEngagement(content=content_id)

    @staticmethod
    def psychology_profile(user_id: str) -> psychology.Profile:
        """``psychology:profile:user:{user_id}``"""
        return psychology.Profile(user=user_id)

    @staticmethod
    def content_analysis(content_id: str) -> psychology.ContentAnalysis:
        """``psychology:content_analysis:content:{content_id}``"""
        return psychology.ContentAnalysis(content=content_id)

    @staticmethod
    def psychology_insights(user_id: str, insight_type: str) -> psychology.Insights:
        """``psychology:insights:user:{user_id}:type:{insight_type}``"""
        return psychology.Insights(user=user_id, type=insight_type)

    @staticmethod
    def crisis_assessment(content_hash: str) -> crisis.Assessment:
        """``crisis:assessment:hash:{content_hash}``"""
        return crisis.Assessment(hash=content_hash)

    @staticmethod
    def crisis_user_risk(user_id: str) -> crisis.UserRisk:
        """``crisis:user_risk:user:{user_id}``"""
        return crisis.UserRisk(user=user_id)

    @staticmethod
    def crisis_trends(timeframe: str) -> crisis.Trends:
        """``crisis:trends:timeframe:{timeframe}``"""
        return crisis.Trends(timeframe=timeframe)

    @staticmethod
    def system_health() -> maintenance.SystemHealth:
        """``maintenance:system_health``"""
        return maintenance.SystemHealth()

    @staticmethod
    def component_status(component: str) -> maintenance.ComponentStatus:
        """``maintenance:component_status:component:{component}``"""
        return maintenance.ComponentStatus(component=component)

    @staticmethod
    def performance_metrics() -> maintenance.PerformanceMetrics:
        """``maintenance:performance_metrics``"""
        return maintenance.PerformanceMetrics()

    @staticmethod
    def session_data(session_id: str) -> session.Data:
        """``session:data:id:{session_id}``"""
        return session.Data(id=session_id)

    @staticmethod
    def session_activity(user_id: str) -> session.Activity:
        """``session:activity:user:{user_id}``"""
        return session.Activity(user=user_id)

    @staticmethod
    def ai_model_instance(name: str, version: str) -> ai_model.Instance:
        """``ai_model:instance:name:{name}:version:{version}``"""
        return ai_model.Instance(name=name, version=version)

    @staticmethod
    def ai_prompt(prompt_hash: str, model: str) -> ai_model.Prompt:
        """``ai_model:prompt:hash:{prompt_hash}:model:{model}``"""
        return ai_model.Prompt(hash=prompt_hash, model=model)

    @staticmethod
    def content_topics(user_id: str) -> content.Topics:
        """``content:topics:user:{user_id}``"""
        return content.Topics(user=user_id)

    @staticmethod
    def celery_task_metrics(task_id: str) -> celery.TaskMetrics:
        """``celery:task_metrics:id:{task_id}``"""
        return celery.TaskMetrics(id=task_id)

    @staticmethod
    def celery_worker_status(worker_name: str) -> celery.WorkerStatus:
        """``celery:worker_status:name:{worker_name}``"""
        return celery.WorkerStatus(name=worker_name)


class CacheInvalidationPatterns:
    """The tags that each familiar invalidation removes, as canonical text."""

    @staticmethod
    def user(user_id: str) -> list[str]:
        """All that is derived from a user: ``analytics/user:{user_id}``, …; not content, not celery."""
        return list(builtin_catalog().tags_of_invalidation("user", user_id))

    @staticmethod
    def content(content_id: str) -> list[str]:
        """All that is derived from a content item."""
        return list(builtin_catalog().tags_of_invalidation("content", content_id))

    @staticmethod
    def daily(date: DateLike | None = None) -> list[str]:
        """Analytics of a day, and maintenance items of any day; None is today in UTC."""
        return list(builtin_catalog().tags_of_invalidation("date", today_utc() if date is None else date))
