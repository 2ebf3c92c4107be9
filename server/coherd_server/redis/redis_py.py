"""What is used of redis-py: it connects and logs in. And what its errors mean, told without keys, values or secrets."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import Any, Final, NamedTuple, Protocol, cast

from redis.asyncio import connection as redis_py
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

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


def open_connection(target: RedisTarget, address: Address, settings: StoreSettings) -> RedisPyConnection:
    """An unconnected redis-py connection: RESP2, no retries, no maintenance notifications, no time-out of its own on
    reads (a batch has one)."""
    options: dict[str, Any] = {
        "db": target.db,
        "username": target.username,
        "password": target.password,
        "socket_timeout": None,
        "socket_connect_timeout": settings.connect_timeout_ms / 1000,
        "protocol": 2,
        "driver_info": None,
        "client_name": "coherd",
    }
    if address.path is not None:
        return cast(RedisPyConnection, redis_py.UnixDomainSocketConnection(path=address.path, **options))
    options |= {"host": address.host, "port": address.port}
    if target.tls:
        return cast(
            RedisPyConnection, redis_py.SSLConnection(**options, **cast(dict[str, Any], dict(target.tls_options)))
        )
    return cast(RedisPyConnection, redis_py.Connection(**options))


def describe_error(error: BaseException) -> str:
    """What went wrong, without any text a server or library made up from keys, values or secrets."""
    if isinstance(error, TimeoutError | RedisTimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "name not found"
    if isinstance(error, AuthenticationError | NoPermissionError):
        return "user or password refused" if isinstance(error, AuthenticationError) else "not permitted for this user"
    if isinstance(error, ResponseError):
        return f"the node answered {error_code(error)}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or 'handshake'}"
    cause = error.__context__ if isinstance(error, RedisError) else error
    if isinstance(cause, OSError) and cause is not error:
        return describe_error(cause)
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return "connection lost"


def error_code(error: ResponseError) -> str:
    """The code an error reply begins with, such as ``OOM``; ``ERR`` when there is none."""
    code = error.status_code or str(error).split(" ", 1)[0]
    return code if code.isupper() and code.isalpha() else "ERR"
