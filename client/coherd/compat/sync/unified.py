# Generated from coherd/compat/unified.py by `make gen`. Do not edit.
"""The familiar service: one pair of methods per cached value, invalidations by name, and metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from coherd.compat.celery_values import dict_of, message_of
from coherd.compat.patterns import CachePatterns, today_utc
from coherd.compat.sync.default_client import default_client
from coherd.contract.keys import DateLike
from coherd.domains.celery.v1 import celery_pb2
from coherd.domains.tags import Content, Date, User
from coherd.key import Key
from coherd.sync.client import CacheClient


class UnifiedCacheService:
    """Getters answer the value or None. Setters take the value first and ``ttl`` in seconds (default: as the catalog
    says), and answer whether it was stored. Celery values are dicts; setters also take their messages.

    Errors are those of `coherd.sync.CacheClient`, and `coherd.Refusal` for an argument that cannot stand in a key.
    """

    def __init__(self, client: CacheClient | None = None) -> None:
        """
        Args:
            client: None: the default client, opened on first use.
        """
        self._client = client

    @property
    def _cache(self) -> CacheClient:
        return self._client or default_client()

    def _set(self, key: Key[Any], value: Any, ttl: int | None, tags: Mapping[str, str] | None = None) -> bool:
        lifetime = None if ttl is None else timedelta(seconds=ttl)
        return bool(self._cache.set(key, value, ttl=lifetime, tags=tags))

    def get_writing_stats(self, user_id: str, days: int) -> Any:
        """Writing statistics of a user over the last N days."""
        return self._cache.get(CachePatterns.writing_stats(user_id, days))

    def set_writing_stats(self, stats: Any, user_id: str, days: int, ttl: int | None = None) -> bool:
        """Writing statistics of a user over the last N days."""
        return self._set(CachePatterns.writing_stats(user_id, days), stats, ttl)

    def get_analytics_daily(self, user_id: str, date: DateLike | None = None) -> Any:
        """One user's analytics for one day; None is today in UTC."""
        return self._cache.get(CachePatterns.analytics_daily(user_id, date))

    def set_analytics_daily(
        self, analytics: Any, user_id: str, date: DateLike | None = None, ttl: int | None = None
    ) -> bool:
        """One user's analytics for one day; None is today in UTC."""
        return self._set(CachePatterns.analytics_daily(user_id, date), analytics, ttl)

    def get_mood_trends(self, user_id: str, range: str) -> Any:
        """How a user's mood moved over a time range."""
        return self._cache.get(CachePatterns.mood_trends(user_id, range))

    def set_mood_trends(self, trends: Any, user_id: str, range: str, ttl: int | None = None) -> bool:
        """How a user's mood moved over a time range."""
        return self._set(CachePatterns.mood_trends(user_id, range), trends, ttl)

    def get_content_engagement(self, content_id: str) -> Any:
        """How readers engage with a content item."""
        return self._cache.get(CachePatterns.content_engagement(content_id))

    def set_content_engagement(self, engagement: Any, content_id: str, ttl: int | None = None) -> bool:
        """How readers engage with a content item."""
        return self._set(CachePatterns.content_engagement(content_id), engagement, ttl)

    def get_psychology_profile(self, user_id: str) -> Any:
        """The psychological profile of a user."""
        return self._cache.get(CachePatterns.psychology_profile(user_id))

    def set_psychology_profile(self, profile: Any, user_id: str, ttl: int | None = None) -> bool:
        """The psychological profile of a user."""
        return self._set(CachePatterns.psychology_profile(user_id), profile, ttl)

    def get_content_analysis(self, content_id: str) -> Any:
        """The psychological analysis of a content item."""
        return self._cache.get(CachePatterns.content_analysis(content_id))

    def set_content_analysis(self, analysis: Any, content_id: str, ttl: int | None = None) -> bool:
        """The psychological analysis of a content item."""
        return self._set(CachePatterns.content_analysis(content_id), analysis, ttl)

    def get_psychology_insights(self, user_id: str, insight_type: str) -> Any:
        """Insights of one type about a user."""
        return self._cache.get(CachePatterns.psychology_insights(user_id, insight_type))

    def set_psychology_insights(self, insights: Any, user_id: str, insight_type: str, ttl: int | None = None) -> bool:
        """Insights of one type about a user."""
        return self._set(CachePatterns.psychology_insights(user_id, insight_type), insights, ttl)

    def get_crisis_assessment(self, content_hash: str) -> Any:
        """The crisis assessment of a text, by its hash."""
        return self._cache.get(CachePatterns.crisis_assessment(content_hash))

    def set_crisis_assessment(self, assessment: Any, content_hash: str, ttl: int | None = None) -> bool:
        """The crisis assessment of a text, by its hash."""
        return self._set(CachePatterns.crisis_assessment(content_hash), assessment, ttl)

    def get_crisis_user_risk(self, user_id: str) -> Any:
        """The current risk of a user."""
        return self._cache.get(CachePatterns.crisis_user_risk(user_id))

    def set_crisis_user_risk(self, risk: Any, user_id: str, ttl: int | None = None) -> bool:
        """The current risk of a user."""
        return self._set(CachePatterns.crisis_user_risk(user_id), risk, ttl)

    def get_crisis_trends(self, timeframe: str) -> Any:
        """Crisis trends over a time frame."""
        return self._cache.get(CachePatterns.crisis_trends(timeframe))

    def set_crisis_trends(self, trends: Any, timeframe: str, ttl: int | None = None) -> bool:
        """Crisis trends over a time frame."""
        return self._set(CachePatterns.crisis_trends(timeframe), trends, ttl)

    def get_system_health(self) -> Any:
        """Health of the whole system."""
        return self._cache.get(CachePatterns.system_health())

    def set_system_health(self, health: Any, ttl: int | None = None) -> bool:
        """Health of the whole system."""
        return self._set(CachePatterns.system_health(), health, ttl)

    def get_component_status(self, component: str) -> Any:
        """Status of one component."""
        return self._cache.get(CachePatterns.component_status(component))

    def set_component_status(self, status: Any, component: str, ttl: int | None = None) -> bool:
        """Status of one component."""
        return self._set(CachePatterns.component_status(component), status, ttl)

    def get_performance_metrics(self) -> Any:
        """Performance figures of the whole system."""
        return self._cache.get(CachePatterns.performance_metrics())

    def set_performance_metrics(self, metrics: Any, ttl: int | None = None) -> bool:
        """Performance figures of the whole system."""
        return self._set(CachePatterns.performance_metrics(), metrics, ttl)

    def get_session_data(self, session_id: str) -> Any:
        """The data of a session."""
        return self._cache.get(CachePatterns.session_data(session_id))

    def set_session_data(self, data: Any, session_id: str, user_id: str | None = None, ttl: int | None = None) -> bool:
        """The data of a session; with ``user_id``, `invalidate_user_cache` of that user removes it."""
        tags = None if user_id is None else {"user": user_id}
        return self._set(CachePatterns.session_data(session_id), data, ttl, tags)

    def get_session_activity(self, user_id: str) -> Any:
        """A user's recent activity."""
        return self._cache.get(CachePatterns.session_activity(user_id))

    def set_session_activity(self, activity: Any, user_id: str, ttl: int | None = None) -> bool:
        """A user's recent activity."""
        return self._set(CachePatterns.session_activity(user_id), activity, ttl)

    def get_ai_model_instance(self, name: str, version: str) -> Any:
        """Description of a loaded model."""
        return self._cache.get(CachePatterns.ai_model_instance(name, version))

    def set_ai_model_instance(self, instance: Any, name: str, version: str, ttl: int | None = None) -> bool:
        """Description of a loaded model."""
        return self._set(CachePatterns.ai_model_instance(name, version), instance, ttl)

    def get_ai_prompt(self, prompt_hash: str, model: str) -> Any:
        """The answer of a model to a prompt, by the prompt's hash."""
        return self._cache.get(CachePatterns.ai_prompt(prompt_hash, model))

    def set_ai_prompt(self, answer: Any, prompt_hash: str, model: str, ttl: int | None = None) -> bool:
        """The answer of a model to a prompt, by the prompt's hash."""
        return self._set(CachePatterns.ai_prompt(prompt_hash, model), answer, ttl)

    def get_content_topics(self, user_id: str) -> Any:
        """A user's topics."""
        return self._cache.get(CachePatterns.content_topics(user_id))

    def set_content_topics(self, topics: Any, user_id: str, ttl: int | None = None) -> bool:
        """A user's topics."""
        return self._set(CachePatterns.content_topics(user_id), topics, ttl)

    def get_celery_task_metrics(self, task_id: str) -> dict[str, Any] | None:
        """Figures of a task."""
        message = self._cache.get(CachePatterns.celery_task_metrics(task_id))
        return None if message is None else dict_of(message)

    def set_celery_task_metrics(
        self, metrics: celery_pb2.TaskMetrics | Mapping[str, Any], task_id: str, ttl: int | None = None
    ) -> bool:
        """Figures of a task."""
        message = message_of(celery_pb2.TaskMetrics, metrics)
        return self._set(CachePatterns.celery_task_metrics(task_id), message, ttl)

    def get_celery_worker_status(self, worker_name: str) -> dict[str, Any] | None:
        """Status of a worker."""
        message = self._cache.get(CachePatterns.celery_worker_status(worker_name))
        return None if message is None else dict_of(message)

    def set_celery_worker_status(
        self, status: celery_pb2.WorkerStatus | Mapping[str, Any], worker_name: str, ttl: int | None = None
    ) -> bool:
        """Status of a worker."""
        message = message_of(celery_pb2.WorkerStatus, status)
        return self._set(CachePatterns.celery_worker_status(worker_name), message, ttl)

    def invalidate_user_cache(self, user_id: str) -> list[str]:
        """Invalidates all that is derived from a user; the tags that were, as `CacheInvalidationPatterns.user` lists.

        How many entries they selected is not known: the cost does not depend on it.
        """
        return list(self._cache.invalidate(User(user_id)).tags)

    def invalidate_content_cache(self, content_id: str) -> list[str]:
        """Invalidates all that is derived from a content item; the tags that were."""
        return list(self._cache.invalidate(Content(content_id)).tags)

    def invalidate_daily_cache(self, date: DateLike | None = None) -> list[str]:
        """Invalidates analytics of a day and maintenance items of any day; None is today in UTC. The tags that were."""
        return list(self._cache.invalidate(Date(today_utc() if date is None else date)).tags)

    def get_cache_metrics(self) -> dict[str, dict[str, Any]]:
        """Counts of each domain the caller may read: the fields of `coherd.metrics.DomainMetrics` as plain dicts."""
        return {name: dataclasses.asdict(metrics) for name, metrics in self._cache.metrics().items()}
