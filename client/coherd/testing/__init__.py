"""A cache without a server, for users' own tests::

    from coherd.testing import FakeCache

    cache = FakeCache()                          # a CacheClient, with the built-in catalog
    await cache.set(analytics.Daily(user="u1", date="20250806"), {"words": 812})
    cache.clock.advance(timedelta(hours=2))      # no test has to sleep
    assert await cache.get(analytics.Daily(user="u1", date="20250806")) is None

With pytest the fixture ``coherd_cache`` is such a cache, fresh for each test (`coherd.testing.plugin`).

Names are loaded when first used, so that the pytest plugin costs nothing where it is not used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from coherd.testing.clock import FakeClock
    from coherd.testing.fake import FakeCache, Stored, read_catalog
    from coherd.testing.memory import State
    from coherd.testing.transport import Call, MemoryTransport

__all__ = ["Call", "FakeCache", "FakeClock", "MemoryTransport", "State", "Stored", "read_catalog"]

_HOMES: Final = {
    "Call": "coherd.testing.transport",
    "FakeCache": "coherd.testing.fake",
    "FakeClock": "coherd.testing.clock",
    "MemoryTransport": "coherd.testing.transport",
    "State": "coherd.testing.memory",
    "Stored": "coherd.testing.fake",
    "read_catalog": "coherd.testing.fake",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'coherd.testing' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
