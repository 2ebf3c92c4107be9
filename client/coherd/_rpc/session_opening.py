"""Opens a session: says Hello and waits for the welcome."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any, Final

import grpc.aio
from google.protobuf.message import DecodeError

from coherd._native import implementation
from coherd._near import NearCache
from coherd._rpc.session_stream import SessionStream
from coherd._rpc.status import error_of_status
from coherd.contract.reasons import Retry
from coherd.errors import ServerDefect, Unavailable
from coherd.v1 import session_pb2

PROTOCOL: Final = 2
_USER_AGENT: Final = f"coherd-python/0.1.0 ({implementation()})"


async def open_stream(
    channel: grpc.aio.Channel,
    metadata: Any,
    client_id: bytes,
    near: NearCache | None,
    on_end: Callable[[SessionStream], None],
    timeout_s: float,
    silence_ms: int,
) -> SessionStream:
    """Open a session on a channel.

    Args:
        channel: closed with the session.
        metadata: sent with it.
        client_id: of the near cache.
        near: the near cache that it keeps coherent; None: it has none.
        on_end: see `SessionStream`.
        timeout_s: longest wait for the welcome.
        silence_ms: see `SessionStream`.

    Raises:
        CacheError: the service does not welcome it; `Unavailable` where it does not answer.
    """
    call: Any = channel.stream_stream("/coherd.v1.SessionService/Session")(metadata=metadata)
    hello = session_pb2.Hello(
        protocol=PROTOCOL, client_id=client_id, user_agent=_USER_AGENT, near_cache=near is not None
    )
    welcomed = False
    try:
        async with asyncio.timeout(timeout_s):
            await call.write(session_pb2.SessionRequest(hello=hello).SerializeToString())
            data = await call.read()
        if not isinstance(data, bytes):
            raise Unavailable("the session was ended before its welcome", retry=Retry.SAFE)
        message = session_pb2.SessionResponse.FromString(data)
        if message.WhichOneof("message") != "welcome":
            raise ServerDefect("a session begins with a welcome")
        welcomed = True
    except grpc.aio.AioRpcError as error:
        raise error_of_status(error)  # noqa: B904 - it sets its cause
    except (grpc.aio.UsageError, asyncio.InvalidStateError):  # it ended before all of this was said
        raise await _why_ended(call) from None
    except TimeoutError:
        raise Unavailable("the session was not welcomed in time", retry=Retry.SAFE) from None
    except DecodeError:
        raise ServerDefect("what answers is not Coherd") from None
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise Unavailable("the session was ended before its welcome", retry=Retry.SAFE) from None
    finally:
        if not welcomed:
            call.cancel()
    return SessionStream(call, channel, message.welcome, near, on_end, silence_ms)


async def _why_ended(call: Any) -> Exception:
    """The error of a call that has a status already."""
    code = await call.code()
    error = grpc.aio.AioRpcError(
        code, await call.initial_metadata(), await call.trailing_metadata(), await call.details()
    )
    return error_of_status(error)


def new_client_id() -> bytes:
    """A new id of a near cache, 16 random bytes, the same over all its sessions."""
    return secrets.token_bytes(16)
