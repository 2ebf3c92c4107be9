"""The familiar names, blocking: thin adapters over `coherd.sync.CacheClient`.

``unified_cache_service`` and ``redis_service`` use the client that `set_default_client` was given, else one of
``COHERD_TARGET`` (default ``localhost:50051``), which connects on first use: one client for all threads and forked
children of the program.
"""

from __future__ import annotations

from coherd.compat.keys import CacheDomain, CacheKeyBuilder, CacheTTL
from coherd.compat.migration import CacheMigrationHelper
from coherd.compat.patterns import CacheInvalidationPatterns, CachePatterns
from coherd.compat.sync.default_client import close_default_client, set_default_client
from coherd.compat.sync.redis_service import RedisService
from coherd.compat.sync.unified import UnifiedCacheService

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
