"""A typed key per familiar operation, and the tags of the familiar invalidations."""

from __future__ import annotations

from coherd.catalog.load import builtin_catalog
from coherd.compat.arguments import IdLike, day, id_text
from coherd.contract.keys import DateLike
from coherd.domains import ai_model, analytics, celery, content, crisis, maintenance, psychology, session


class CachePatterns:
    """The key of each operation of `UnifiedCacheService`. Keys are text, and know the type of their values.

    Ids may be integers and UUIDs, days ISO text (``2025-08-06``).

    Every builder raises `coherd.Refusal` where an argument cannot stand in a key: empty, of the wrong type, too long.
    """

    @staticmethod
    def writing_stats(user_id: IdLike, days: int) -> analytics.WritingStats:
        """``analytics:writing_stats:user:{user_id}:days:{days}d``"""
        return analytics.WritingStats(user=id_text(user_id), days=days)

    @staticmethod
    def analytics_daily(user_id: IdLike, date: DateLike | None = None) -> analytics.Daily:
        """``analytics:daily:user:{user_id}:date:{date}``; None is today in UTC."""
        return analytics.Daily(user=id_text(user_id), date=day(date))

    @staticmethod
    def mood_trends(user_id: IdLike, range: str) -> analytics.MoodTrends:
        """``analytics:mood_trends:user:{user_id}:range:{range}``"""
        return analytics.MoodTrends(user=id_text(user_id), range=range)

    @staticmethod
    def content_engagement(content_id: IdLike) -> analytics.ContentEngagement:
        """``analytics:content_engagement:content:{content_id}``"""
        return analytics.ContentEngagement(content=id_text(content_id))

    @staticmethod
    def psychology_profile(user_id: IdLike) -> psychology.Profile:
        """``psychology:profile:user:{user_id}``"""
        return psychology.Profile(user=id_text(user_id))

    @staticmethod
    def content_analysis(content_id: IdLike) -> psychology.ContentAnalysis:
        """``psychology:content_analysis:content:{content_id}``"""
        return psychology.ContentAnalysis(content=id_text(content_id))

    @staticmethod
    def psychology_insights(user_id: IdLike, insight_type: str) -> psychology.Insights:
        """``psychology:insights:user:{user_id}:type:{insight_type}``"""
        return psychology.Insights(user=id_text(user_id), type=insight_type)

    @staticmethod
    def crisis_assessment(content_hash: str) -> crisis.Assessment:
        """``crisis:assessment:hash:{content_hash}``"""
        return crisis.Assessment(hash=content_hash)

    @staticmethod
    def crisis_user_risk(user_id: IdLike) -> crisis.UserRisk:
        """``crisis:user_risk:user:{user_id}``"""
        return crisis.UserRisk(user=id_text(user_id))

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
    def session_data(session_id: IdLike) -> session.Data:
        """``session:data:id:{session_id}``"""
        return session.Data(id=id_text(session_id))

    @staticmethod
    def session_activity(user_id: IdLike) -> session.Activity:
        """``session:activity:user:{user_id}``"""
        return session.Activity(user=id_text(user_id))

    @staticmethod
    def ai_model_instance(name: str, version: str) -> ai_model.Instance:
        """``ai_model:instance:name:{name}:version:{version}``"""
        return ai_model.Instance(name=name, version=version)

    @staticmethod
    def ai_prompt(prompt_hash: str, model: str) -> ai_model.Prompt:
        """``ai_model:prompt:hash:{prompt_hash}:model:{model}``"""
        return ai_model.Prompt(hash=prompt_hash, model=model)

    @staticmethod
    def content_topics(user_id: IdLike) -> content.Topics:
        """``content:topics:user:{user_id}``"""
        return content.Topics(user=id_text(user_id))

    @staticmethod
    def celery_task_metrics(task_id: IdLike) -> celery.TaskMetrics:
        """``celery:task_metrics:id:{task_id}``"""
        return celery.TaskMetrics(id=id_text(task_id))

    @staticmethod
    def celery_worker_status(worker_name: str) -> celery.WorkerStatus:
        """``celery:worker_status:name:{worker_name}``"""
        return celery.WorkerStatus(name=worker_name)


class CacheInvalidationPatterns:
    """The tags that each familiar invalidation removes, as canonical text."""

    @staticmethod
    def user(user_id: IdLike) -> list[str]:
        """All that is derived from a user: ``analytics/user:{user_id}``, …; not content, not celery."""
        return list(builtin_catalog().tags_of_invalidation("user", id_text(user_id)))

    @staticmethod
    def content(content_id: IdLike) -> list[str]:
        """All that is derived from a content item."""
        return list(builtin_catalog().tags_of_invalidation("content", id_text(content_id)))

    @staticmethod
    def daily(date: DateLike | None = None) -> list[str]:
        """Analytics of a day, and maintenance items of any day; None is today in UTC."""
        return list(builtin_catalog().tags_of_invalidation("date", day(date)))
