"""The familiar names, as thin adapters over `coherd.CacheClient`: for code that is moved over call by call.

``unified_cache_service`` and ``redis_service`` use the client that `set_default_client` was given, else one of
``COHERD_TARGET`` (default ``localhost:50051``), which connects on first use: one client for all event loops and forked
children of the program.
"""

from __future__ import annotations

from coherd.compat.default_client import close_default_client, set_default_client
from coherd.compat.keys import CacheDomain, CacheKeyBuilder, CacheTTL
from coherd.compat.migration import CacheMigrationHelper
from coherd.compat.patterns import CacheInvalidationPatterns, CachePatterns
from coherd.compat.redis_service import RedisService
from coherd.compat.unified import UnifiedCacheService

__all__ = [
    "CacheDomain",
    "CacheInvalidationPatterns",
    "CacheKeyBuilder",
    "CacheMigrationHelper",
    "CachePatterns",
    "CacheTTL",
    "RedisService",
    "UnifiedCacheService",
    "close_default_client",
    "redis_service",
    "set_default_client",
    "unified_cache_service",
]

unified_cache_service = UnifiedCacheService()
"""Every get, set and invalidation by name, on the default client."""
redis_service = RedisService()
"""Get, set and delete by key text, on the default client."""
