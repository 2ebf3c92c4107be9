"""The blocking client: the verbs, types and errors of `coherd.CacheClient`, without ``await``::

    from coherd.domains import analytics
    from coherd.sync import CacheClient

    with CacheClient.connect("localhost:50051") as cache:
        cache.set(analytics.Daily(user="user123", date="20250806"), {"words": 812})

Everything else is imported from `coherd`, as for the asynchronous client.
"""

from __future__ import annotations

from coherd.sync.cached import Cached
from coherd.sync.client import CacheClient

__all__ = ["CacheClient", "Cached"]
