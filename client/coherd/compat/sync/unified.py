"""The familiar service, blocking: one pair of methods per cached value, invalidations by name, and metrics."""

from __future__ import annotations

from coherd.compat.sync.service import BlockingService
from coherd.compat.unified import UnifiedCacheService as AsyncService
from coherd.sync.blocking import blocking


class UnifiedCacheService(BlockingService):
    """Getters answer the value or None. Setters take the value first and ``ttl`` in seconds (default: as the catalog
    says), and answer whether it was stored. Celery values are dicts; setters also take their messages.

    Errors are those of `coherd.sync.CacheClient`, and `coherd.Refusal` for an argument that cannot stand in a key.
    """

    _kind = AsyncService

    get_writing_stats = blocking(AsyncService.get_writing_stats)
    set_writing_stats = blocking(AsyncService.set_writing_stats)
    get_analytics_daily = blocking(AsyncService.get_analytics_daily)
    set_analytics_daily = blocking(AsyncService.set_analytics_daily)
    get_mood_trends = blocking(AsyncService.get_mood_trends)
    set_mood_trends = blocking(AsyncService.set_mood_trends)
    get_content_engagement = blocking(AsyncService.get_content_engagement)
    set_content_engagement = blocking(AsyncService.set_content_engagement)
    get_psychology_profile = blocking(AsyncService.get_psychology_profile)
    set_psychology_profile = blocking(AsyncService.set_psychology_profile)
    get_content_analysis = blocking(AsyncService.get_content_analysis)
    set_content_analysis = blocking(AsyncService.set_content_analysis)
    get_psychology_insights = blocking(AsyncService.get_psychology_insights)
    set_psychology_insights = blocking(AsyncService.set_psychology_insights)
    get_crisis_assessment = blocking(AsyncService.get_crisis_assessment)
    set_crisis_assessment = blocking(AsyncService.set_crisis_assessment)
    get_crisis_user_risk = blocking(AsyncService.get_crisis_user_risk)
    set_crisis_user_risk = blocking(AsyncService.set_crisis_user_risk)
    get_crisis_trends = blocking(AsyncService.get_crisis_trends)
    set_crisis_trends = blocking(AsyncService.set_crisis_trends)
    get_system_health = blocking(AsyncService.get_system_health)
    set_system_health = blocking(AsyncService.set_system_health)
    get_component_status = blocking(AsyncService.get_component_status)
    set_component_status = blocking(AsyncService.set_component_status)
    get_performance_metrics = blocking(AsyncService.get_performance_metrics)
    set_performance_metrics = blocking(AsyncService.set_performance_metrics)
    get_session_data = blocking(AsyncService.get_session_data)
    set_session_data = blocking(AsyncService.set_session_data)
    get_session_activity = blocking(AsyncService.get_session_activity)
    set_session_activity = blocking(AsyncService.set_session_activity)
    get_ai_model_instance = blocking(AsyncService.get_ai_model_instance)
    set_ai_model_instance = blocking(AsyncService.set_ai_model_instance)
    get_ai_prompt = blocking(AsyncService.get_ai_prompt)
    set_ai_prompt = blocking(AsyncService.set_ai_prompt)
    get_content_topics = blocking(AsyncService.get_content_topics)
    set_content_topics = blocking(AsyncService.set_content_topics)
    get_celery_task_metrics = blocking(AsyncService.get_celery_task_metrics)
    set_celery_task_metrics = blocking(AsyncService.set_celery_task_metrics)
    get_celery_worker_status = blocking(AsyncService.get_celery_worker_status)
    set_celery_worker_status = blocking(AsyncService.set_celery_worker_status)

    invalidate_user_cache = blocking(AsyncService.invalidate_user_cache)
    invalidate_content_cache = blocking(AsyncService.invalidate_content_cache)
    invalidate_daily_cache = blocking(AsyncService.invalidate_daily_cache)
    get_cache_metrics = blocking(AsyncService.get_cache_metrics)
