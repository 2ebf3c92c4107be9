"""The client behind the blocking module-level services."""

from __future__ import annotations

from typing import Final

from coherd.compat.default_client import DefaultClient
from coherd.sync.client import CacheClient

_DEFAULT: Final = DefaultClient(CacheClient.connect)


def default_client() -> CacheClient:
    """The client of ``COHERD_TARGET``, read at first use. It raises while the service is unavailable."""
    return _DEFAULT.get()


def close_default_client() -> None:
    """Closes the default client if there is one; the next use of a module-level service opens another."""
    client = _DEFAULT.take()
    if client is not None:
        client.close()
