"""The familiar service: one pair of methods per cached value, invalidations by name, and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coherd._calls.messages import fields_of
from coherd.client import CacheClient
from coherd.compat.arguments import IdLike, day, id_text, lifetime
from coherd.compat.celery_values import dict_of, message_of
from coherd.compat.default_client import default_client
from coherd.compat.patterns import CachePatterns
from coherd.contract.keys import DateLike
from coherd.domains.celery.v1 import celery_pb2
from coherd.domains.tags import Content, Date, User
from coherd.key import Key


class UnifiedCacheService:
    """Getters answer the value or None. Setters take the value first and ``ttl`` in seconds (default: as the catalog
    says), and answer whether it was stored. Celery values are dicts; setters also take their messages. Ids may be
    integers and UUIDs, days ISO text (``2025-08-06``).

    Errors are those of `coherd.CacheClient`, and `coherd.Refusal` for an argument that cannot stand in a key.
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

    async def _set(self, key: Key[Any], value: Any, ttl: int | None, tags: Mapping[str, str] | None = None) -> bool:
        return bool(await self._cache.set(key, value, ttl=lifetime(ttl), tags=tags))

    async def get_writing_stats(self, user_id: IdLike, days: int) -> Any:
        """Writing statistics of a user over the last N days."""
        return await self._cache.get(CachePatterns.writing_stats(user_id, days))

    async def set_writing_stats(self, stats: Any, user_id: IdLike, days: int, ttl: int | None = None) -> bool:
        """Writing statistics of a user over the last N days."""
        return await self._set(CachePatterns.writing_stats(user_id, days), stats, ttl)

    async def get_analytics_daily(self, user_id: IdLike, date: DateLike | None = None) -> Any:
        """One user's analytics for one day; None is today in UTC."""
        return await self._cache.get(CachePatterns.analytics_daily(user_id, date))

    async def set_analytics_daily(
        self, analytics: Any, user_id: IdLike, date: DateLike | None = None, ttl: int | None = None
    ) -> bool:
        """One user's analytics for one day; None is today in UTC."""
        return await self._set(CachePatterns.analytics_daily(user_id, date), analytics, ttl)

    async def get_mood_trends(self, user_id: IdLike, range: str) -> Any:
        """How a user's mood moved over a time range."""
        return await self._cache.get(CachePatterns.mood_trends(user_id, range))

    async def set_mood_trends(self, trends: Any, user_id: IdLike, range: str, ttl: int | None = None) -> bool:
        """How a user's mood moved over a time range."""
        return await self._set(CachePatterns.mood_trends(user_id, range), trends, ttl)

    async def get_content_engagement(self, content_id: IdLike) -> Any:
        """How readers engage with a content item."""
        return await self._cache.get(CachePatterns.content_engagement(content_id))

    async def set_content_engagement(self, engagement: Any, content_id: IdLike, ttl: int | None = None) -> bool:
        """How readers engage with a content item."""
        return await self._set(CachePatterns.content_engagement(content_id), engagement, ttl)

    async def get_psychology_profile(self, user_id: IdLike) -> Any:
        """The psychological profile of a user."""
        return await self._cache.get(CachePatterns.psychology_profile(user_id))

    async def set_psychology_profile(self, profile: Any, user_id: IdLike, ttl: int | None = None) -> bool:
        """The psychological profile of a user."""
        return await self._set(CachePatterns.psychology_profile(user_id), profile, ttl)

    async def get_content_analysis(self, content_id: IdLike) -> Any:
        """The psychological analysis of a content item."""
        return await self._cache.get(CachePatterns.content_analysis(content_id))

    async def set_content_analysis(self, analysis: Any, content_id: IdLike, ttl: int | None = None) -> bool:
        """The psychological analysis of a content item."""
        return await self._set(CachePatterns.content_analysis(content_id), analysis, ttl)

    async def get_psychology_insights(self, user_id: IdLike, insight_type: str) -> Any:
        """Insights of one type about a user."""
        return await self._cache.get(CachePatterns.psychology_insights(user_id, insight_type))

    async def set_psychology_insights(
        self, insights: Any, user_id: IdLike, insight_type: str, ttl: int | None = None
    ) -> bool:
        """Insights of one type about a user."""
        return await self._set(CachePatterns.psychology_insights(user_id, insight_type), insights, ttl)

    async def get_crisis_assessment(self, content_hash: str) -> Any:
        """The crisis assessment of a text, by its hash."""
        return await self._cache.get(CachePatterns.crisis_assessment(content_hash))

    async def set_crisis_assessment(self, assessment: Any, content_hash: str, ttl: int | None = None) -> bool:
        """The crisis assessment of a text, by its hash."""
        return await self._set(CachePatterns.crisis_assessment(content_hash), assessment, ttl)

    async def get_crisis_user_risk(self, user_id: IdLike) -> Any:
        """The current risk of a user."""
        return await self._cache.get(CachePatterns.crisis_user_risk(user_id))

    async def set_crisis_user_risk(self, risk: Any, user_id: IdLike, ttl: int | None = None) -> bool:
        """The current risk of a user."""
        return await self._set(CachePatterns.crisis_user_risk(user_id), risk, ttl)

    async def get_crisis_trends(self, timeframe: str) -> Any:
        """Crisis trends over a time frame."""
        return await self._cache.get(CachePatterns.crisis_trends(timeframe))

    async def set_crisis_trends(self, trends: Any, timeframe: str, ttl: int | None = None) -> bool:
        """Crisis trends over a time frame."""
        return await self._set(CachePatterns.crisis_trends(timeframe), trends, ttl)

    async def get_system_health(self) -> Any:
        """Health of the whole system."""
        return await self._cache.get(CachePatterns.system_health())

    async def set_system_health(self, health: Any, ttl: int | None = None) -> bool:
        """Health of the whole system."""
        return await self._set(CachePatterns.system_health(), health, ttl)

    async def get_component_status(self, component: str) -> Any:
        """Status of one component."""
        return await self._cache.get(CachePatterns.component_status(component))

    async def set_component_status(self, status: Any, component: str, ttl: int | None = None) -> bool:
        """Status of one component."""
        return await self._set(CachePatterns.component_status(component), status, ttl)

    async def get_performance_metrics(self) -> Any:
        """Performance figures of the whole system."""
        return await self._cache.get(CachePatterns.performance_metrics())

    async def set_performance_metrics(self, metrics: Any, ttl: int | None = None) -> bool:
        """Performance figures of the whole system."""
        return await self._set(CachePatterns.performance_metrics(), metrics, ttl)

    async def get_session_data(self, session_id: IdLike) -> Any:
        """The data of a session."""
        return await self._cache.get(CachePatterns.session_data(session_id))

    async def set_session_data(
        self, data: Any, session_id: IdLike, user_id: IdLike | None = None, ttl: int | None = None
    ) -> bool:
        """The data of a session; with ``user_id``, `invalidate_user_cache` of that user removes it."""
        tags = None if user_id is None else {"user": id_text(user_id)}
        return await self._set(CachePatterns.session_data(session_id), data, ttl, tags)

    async def get_session_activity(self, user_id: IdLike) -> Any:
        """A user's recent activity."""
        return await self._cache.get(CachePatterns.session_activity(user_id))

    async def set_session_activity(self, activity: Any, user_id: IdLike, ttl: int | None = None) -> bool:
        """A user's recent activity."""
        return await self._set(CachePatterns.session_activity(user_id), activity, ttl)

    async def get_ai_model_instance(self, name: str, version: str) -> Any:
        """Description of a loaded model."""
        return await self._cache.get(CachePatterns.ai_model_instance(name, version))

    async def set_ai_model_instance(self, instance: Any, name: str, version: str, ttl: int | None = None) -> bool:
        """Description of a loaded model."""
        return await self._set(CachePatterns.ai_model_instance(name, version), instance, ttl)

    async def get_ai_prompt(self, prompt_hash: str, model: str) -> Any:
        """The answer of a model to a prompt, by the prompt's hash."""
        return await self._cache.get(CachePatterns.ai_prompt(prompt_hash, model))

    async def set_ai_prompt(self, answer: Any, prompt_hash: str, model: str, ttl: int | None = None) -> bool:
        """The answer of a model to a prompt, by the prompt's hash."""
        return await self._set(CachePatterns.ai_prompt(prompt_hash, model), answer, ttl)

    async def get_content_topics(self, user_id: IdLike) -> Any:
        """A user's topics."""
        return await self._cache.get(CachePatterns.content_topics(user_id))

    async def set_content_topics(self, topics: Any, user_id: IdLike, ttl: int | None = None) -> bool:
        """A user's topics."""
        return await self._set(CachePatterns.content_topics(user_id), topics, ttl)

    async def get_celery_task_metrics(self, task_id: IdLike) -> dict[str, Any] | None:
        """Figures of a task."""
        message = await self._cache.get(CachePatterns.celery_task_metrics(task_id))
        return None if message is None else dict_of(message)

    async def set_celery_task_metrics(
        self, metrics: celery_pb2.TaskMetrics | Mapping[str, Any], task_id: IdLike, ttl: int | None = None
    ) -> bool:
        """Figures of a task."""
        message = message_of(celery_pb2.TaskMetrics, metrics)
        return await self._set(CachePatterns.celery_task_metrics(task_id), message, ttl)

    async def get_celery_worker_status(self, worker_name: str) -> dict[str, Any] | None:
        """Status of a worker."""
        message = await self._cache.get(CachePatterns.celery_worker_status(worker_name))
        return None if message is None else dict_of(message)

    async def set_celery_worker_status(
        self, status: celery_pb2.WorkerStatus | Mapping[str, Any], worker_name: str, ttl: int | None = None
    ) -> bool:
        """Status of a worker."""
        message = message_of(celery_pb2.WorkerStatus, status)
        return await self._set(CachePatterns.celery_worker_status(worker_name), message, ttl)

    async def invalidate_user_cache(self, user_id: IdLike) -> list[str]:
        """Invalidates all that is derived from a user; the tags that were, as `CacheInvalidationPatterns.user` lists.

        How many entries they selected is not known: the cost does not depend on it.
        """
        return list((await self._cache.invalidate(User(id_text(user_id)))).tags)

    async def invalidate_content_cache(self, content_id: IdLike) -> list[str]:
        """Invalidates all that is derived from a content item; the tags that were."""
        return list((await self._cache.invalidate(Content(id_text(content_id)))).tags)

    async def invalidate_daily_cache(self, date: DateLike | None = None) -> list[str]:
        """Invalidates analytics of a day and maintenance items of any day; None is today in UTC. The tags that were."""
        return list((await self._cache.invalidate(Date(day(date)))).tags)

    async def get_cache_metrics(self) -> dict[str, dict[str, Any]]:
        """Counts of each domain the caller may read: the fields of `coherd.DomainMetrics` as plain dicts."""
        return {name: fields_of(metrics) for name, metrics in (await self._cache.metrics()).items()}
