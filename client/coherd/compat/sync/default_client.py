# Generated from coherd/compat/default_client.py by `make gen`. Do not edit.
"""The client behind the module-level services."""

from __future__ import annotations

import os
from typing import Final

from coherd.sync.client import CacheClient

DEFAULT_TARGET: Final = "localhost:50051"

_opened: dict[str, CacheClient] = {}
"""At most one, under ``client``. One step of a dict, unlike a lock, is safe under threads and forks."""


def default_client() -> CacheClient:
    """The client of ``COHERD_TARGET``, read at first use. It raises while the service is unavailable."""
    client = _opened.get("client")
    if client is None:
        # Connecting does no I/O: one that came second is dropped.
        client = _opened.setdefault("client", CacheClient.connect(os.environ.get("COHERD_TARGET", DEFAULT_TARGET)))
    return client


def close_default_client() -> None:
    """Closes the default client if there is one; the next use of a module-level service opens another."""
    client = _opened.pop("client", None)
    if client is not None:
        client.close()
