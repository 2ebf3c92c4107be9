"""What is used of redis-py: it connects and logs in."""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple, Protocol, cast

from redis.asyncio import connection as redis_py
from redis.exceptions import RedisError

from coherd_server.redis.redis_url import RedisTarget
from coherd_server.redis.settings import StoreSettings

CONNECTION_ERRORS: Final = (RedisError, OSError, AttributeError, TypeError, ValueError, EOFError, AssertionError)
"""All that redis-py was seen or read to raise for a connection that fails; the last four from its internals."""

Arg = bytes | str | int
Command = tuple[Arg, ...]
Reply = object
"""bytes, int, None, a list of these, or a `ResponseError` as a value."""


class Address(NamedTuple):
    """Where one node listens."""

    host: str
    port: int
    path: str | None = None
    """Unix socket, instead of host and port."""

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


class RedisPyConnection(Protocol):
    """The typed part of `redis.asyncio.connection.AbstractConnection` that is used here."""

    _reader: asyncio.StreamReader | None
    _writer: asyncio.StreamWriter | None

    async def connect(self) -> None: ...
    async def send_packed_command(self, command: bytes, check_health: bool = True) -> None: ...
    async def read_response(self, *, timeout: float) -> Reply: ...  # noqa: ASYNC109 - redis-py's signature
    async def disconnect(self, nowait: bool = False) -> None: ...


def open_connection(
    target: RedisTarget, address: Address, settings: StoreSettings, *, named: bool = True
) -> RedisPyConnection:
    """An unconnected redis-py connection: RESP2, no retries, no maintenance notifications, no time-out of its own on
    reads (a batch has one). ``named``: it sets its name there, which its user must be permitted."""
    options: dict[str, Any] = {
        "db": target.db,
        "username": target.username,
        "password": target.password,
        "socket_timeout": None,
        "socket_connect_timeout": settings.connect_timeout_ms / 1000,
        "protocol": 2,
        "driver_info": None,
        "client_name": "coherd" if named else None,
    }
    if address.path is not None:
        return cast(RedisPyConnection, redis_py.UnixDomainSocketConnection(path=address.path, **options))
    options |= {"host": address.host, "port": address.port}
    if target.tls:
        return cast(
            RedisPyConnection, redis_py.SSLConnection(**options, **cast(dict[str, Any], dict(target.tls_options)))
        )
    return cast(RedisPyConnection, redis_py.Connection(**options))
