"""The client behind the module-level services."""

from __future__ import annotations

import os
from typing import Final

from coherd.client import CacheClient

DEFAULT_TARGET: Final = "localhost:50051"

_opened: list[CacheClient] = []
"""At most one."""


def default_client() -> CacheClient:
    """The client of ``COHERD_TARGET``, read at first use. It raises while the service is unavailable."""
    if not _opened:
        _opened.append(CacheClient.connect(os.environ.get("COHERD_TARGET", DEFAULT_TARGET)))
    return _opened[0]


async def close_default_client() -> None:
    """Closes the default client if there is one; the next use of a module-level service opens another."""
    while _opened:
        await _opened.pop().close()
