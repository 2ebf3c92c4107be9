"""How a session begins: the client says Hello, the server answers Welcome with its terms."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Final

from coherd.catalog.catalog import Catalog
from coherd.contract.near_cache import NearCacheMode
from coherd.contract.reasons import Refusal
from coherd.v1 import session_pb2 as session_pb
from coherd.v1.annotations_pb2 import NearCache
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.rpc.endpoint import parse
from coherd_server.rpc.errors import Context

PROTOCOL: Final = 2
CLIENT_ID_BYTES: Final = 16
HELLO_TIMEOUT_S: Final = 10.0
_MODES: Final = {NearCacheMode.PUSH: NearCache.NEAR_CACHE_PUSH, NearCacheMode.STRICT: NearCache.NEAR_CACHE_STRICT}


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Bounds of the streams of a process."""

    sessions: int = 10_000
    """Most streams; more are refused as OVERLOADED."""
    window: int = 8_192
    """Unanswered operations of one stream above which nothing more is read of it, and most of one frame."""
    message_bytes: int = 16 << 20
    """Longest message, as gRPC has it: one that is longer would end the stream."""
    age_ms: int | None = None
    """A stream is asked to move after about this time: a port shared by processes pins connections. None: never."""

    @property
    def window_bytes(self) -> int:
        """Bytes of unanswered requests above which nothing more is read; and of answers that the client has not taken.

        At most half a message: a frame that holds less than this may still take one operation of as much.
        """
        return min(8 << 20, self.message_bytes // 2)


async def read_hello(context: Context) -> session_pb.Hello:
    """The first message of a stream.

    Raises:
        Refusal: it is none, or does not come in time.
    """
    invalid = ErrorReason.ERROR_REASON_REQUEST_INVALID
    try:
        async with asyncio.timeout(HELLO_TIMEOUT_S):
            data = await context.read()
    except TimeoutError:
        raise Refusal(invalid, "a session begins with hello", field="hello") from None
    message = parse(session_pb.SessionRequest, data) if isinstance(data, bytes) else session_pb.SessionRequest()
    if message.WhichOneof("message") != "hello":
        raise Refusal(invalid, "a session begins with hello", field="hello")
    if message.hello.protocol != PROTOCOL:
        raise Refusal(invalid, f"protocol {PROTOCOL} is spoken here", field="hello.protocol")
    if len(message.hello.client_id) != CLIENT_ID_BYTES:
        raise Refusal(invalid, f"a client id has {CLIENT_ID_BYTES} bytes", field="hello.client_id")
    return message.hello


def welcome(catalog: Catalog, limits: SessionLimits, near_cache_lease_ms: int, *, near: bool) -> session_pb.Welcome:
    """What a stream is told first.

    Args:
        catalog: whose domains may be kept in near caches.
        limits: of the stream.
        near_cache_lease_ms: how long a near cache may serve without hearing from the server.
        near: the client has a near cache.
    """
    return session_pb.Welcome(
        protocol=PROTOCOL,
        session_id=secrets.token_bytes(16),
        window=limits.window,
        window_bytes=limits.window_bytes,
        near_cache_lease_ms=near_cache_lease_ms,
        answers_pings=True,
        near_caches=[
            session_pb.NearCacheDomain(
                domain=domain.name,
                mode=_MODES[domain.near_cache],
                tags=sorted(domain.tags),
                any_tags=sorted(domain.any_tags),
            )
            for domain in (catalog.domains.values() if near else ())
            if domain.near_cache is not NearCacheMode.OFF
        ],
    )
