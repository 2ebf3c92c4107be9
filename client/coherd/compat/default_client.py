"""The clients behind the module-level services."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from coherd.client import CacheClient

DEFAULT_TARGET: Final = "localhost:50051"

C = TypeVar("C")


class DefaultClient(Generic[C]):
    """A client of ``COHERD_TARGET``, opened at first use.

    Args:
        connect: makes a client of a target; does no I/O.
    """

    def __init__(self, connect: Callable[[str], C]) -> None:
        self._connect = connect
        self._opened: dict[str, C] = {}
        """At most one, under ``client``. One step of a dict, unlike a lock, is safe under threads and forks."""

    def get(self) -> C:
        """The client."""
        client = self._opened.get("client")
        if client is None:
            # Of two that are made at one time the second is dropped.
            client = self._opened.setdefault("client", self._connect(os.environ.get("COHERD_TARGET", DEFAULT_TARGET)))
        return client

    def put(self, client: C) -> None:
        """The client from now on."""
        self._opened["client"] = client

    def take(self) -> C | None:
        """The client, if there is one, to be closed; the next `get` opens another."""
        return self._opened.pop("client", None)


_DEFAULT: Final = DefaultClient(CacheClient.connect)


def default_client() -> CacheClient:
    """The client of ``COHERD_TARGET``, read at first use. It raises while the service is unavailable."""
    return _DEFAULT.get()


def set_default_client(client: CacheClient) -> None:
    """Gives the module-level services a client: with TLS, with a token, or a `coherd.testing.FakeCache`.

    Args:
        client: theirs until `close_default_client`, which closes it. One they had before stays open.

    Raises:
        TypeError: it is no asynchronous client; the blocking one is for `coherd.compat.sync`.
    """
    if not isinstance(client, CacheClient):
        raise TypeError(
            f"a coherd.CacheClient is needed, not of type {type(client).__name__} of {type(client).__module__}"
        )
    _DEFAULT.put(client)


async def close_default_client() -> None:
    """Closes the default client if there is one; the next use of a module-level service opens another."""
    client = _DEFAULT.take()
    if client is not None:
        await client.close()
