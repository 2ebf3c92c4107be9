"""The client behind the blocking module-level services."""

from __future__ import annotations

from typing import Final

from coherd.compat.default_client import DefaultClient
from coherd.sync.client import CacheClient

_DEFAULT: Final = DefaultClient(CacheClient.connect)


def default_client() -> CacheClient:
    """The client of ``COHERD_TARGET``, read at first use. It raises while the service is unavailable."""
    return _DEFAULT.get()


def set_default_client(client: CacheClient) -> None:
    """Gives the module-level services a client: with TLS, with a token, or one of a `coherd.testing.FakeCache`
    (``CacheClient(FakeCache().transport)``).

    Args:
        client: theirs until `close_default_client`, which closes it. One they had before stays open.

    Raises:
        TypeError: it is no blocking client; the asynchronous one is for `coherd.compat`.
    """
    if not isinstance(client, CacheClient):
        raise TypeError(
            f"a coherd.sync.CacheClient is needed, not of type {type(client).__name__} of {type(client).__module__}"
        )
    _DEFAULT.put(client)


def close_default_client() -> None:
    """Closes the default client if there is one; the next use of a module-level service opens another."""
    client = _DEFAULT.take()
    if client is not None:
        client.close()
