"""`coherd.v1.SessionService`: the streams of a process, one per client (DESIGN sections 4 and 7)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Final
from weakref import WeakValueDictionary

import grpc.aio
from grpc.aio import AbortError

from coherd.catalog.declared import NearCacheMode
from coherd.contract.reasons import Refusal
from coherd.v1 import session_pb2 as session_pb
from coherd.v1.annotations_pb2 import NearCache
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.core.access import Principal
from coherd_server.core.failure import refused
from coherd_server.core.near.hub import Hub
from coherd_server.core.near.session import NearSession
from coherd_server.rpc.endpoint import DRAINING, abort, incident, parse
from coherd_server.rpc.operations import Services
from coherd_server.rpc.principals import Principals
from coherd_server.rpc.stream import SessionLimits, Stream
from coherd_server.rpc.types import Context

PROTOCOL: Final = 1
CLIENT_ID_BYTES: Final = 16
HELLO_TIMEOUT_S: Final = 10.0
_MODES: Final = {NearCacheMode.PUSH: NearCache.NEAR_CACHE_PUSH, NearCacheMode.STRICT: NearCache.NEAR_CACHE_STRICT}


class Sessions:
    """All streams of a process.

    Args:
        services: what operations use.
        principals: maps a stream's credential to a principal.
        hub: of near caches.
        limits: bounds.
    """

    def __init__(self, services: Services, principals: Principals, hub: Hub, limits: SessionLimits) -> None:
        self.services = services
        self.hub = hub
        self.limits = limits
        self._principals = principals
        self._places = 0
        """Streams, those that have not said hello yet among them."""
        self._streams: set[Stream] = set()
        self._near: WeakValueDictionary[tuple[str | None, bytes], NearSession] = WeakValueDictionary()
        """Near caches by principal and client id, as long as they may serve."""
        self._draining = False

    async def handle(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """One stream, from Hello to its end."""
        try:
            if self._draining:
                raise Refusal(DRAINING.reason, DRAINING.message)
            if self._places >= self.limits.sessions:
                raise Refusal(ErrorReason.ERROR_REASON_OVERLOADED, "too many sessions")
            principal = self._principals.of(context)
        except Refusal as refusal:
            await abort(context, refused(refusal))
            return
        self._places += 1
        try:
            hello = await _hello(context)
            if self._draining:
                raise Refusal(DRAINING.reason, DRAINING.message)
            stream = Stream(self.services, self.hub, self.limits, principal, hello.near_cache, context)
            self._streams.add(stream)
            self._replace_near(principal, hello.client_id, stream.near)
            try:
                await stream.run(self._welcome(near=hello.near_cache))
            finally:
                self._streams.discard(stream)
        except Refusal as refusal:
            await abort(context, refused(refusal))
        except (AbortError, grpc.aio.UsageError):  # it was ended already: by us, or with the server
            raise
        except Exception as error:  # noqa: BLE001 - the edge: no text of an exception may leave
            await abort(context, incident(error))
        finally:
            self._places -= 1

    def _replace_near(self, principal: Principal, client_id: bytes, near: NearSession | None) -> None:
        """A client that says hello again has emptied its near cache before: nobody waits for the one it had."""
        name = (principal.name, client_id)
        before = self._near.pop(name, None)
        if before is not None:
            before.close(dropped=True)
        if near is not None:
            self._near[name] = near

    async def drain(self, grace_ms: int) -> None:
        """Refuse new streams, ask the others to move, return when all have ended."""
        self._draining = True
        while self._streams:
            for stream in self._streams:
                stream.move(grace_ms)
            await asyncio.wait([stream.ended for stream in self._streams], return_when=asyncio.FIRST_COMPLETED)

    def _welcome(self, *, near: bool) -> session_pb.Welcome:
        """What a stream is told first."""
        domains = self.services.catalog.domains.values() if near else ()
        return session_pb.Welcome(
            protocol=PROTOCOL,
            session_id=secrets.token_bytes(16),
            window=self.limits.window,
            window_bytes=self.limits.window_bytes,
            near_cache_lease_ms=self.hub.terms.lease_ms,
            near_caches=[
                session_pb.NearCacheDomain(
                    domain=domain.name,
                    mode=_MODES[domain.near_cache],
                    tags=sorted(domain.tags),
                    any_tags=sorted(domain.any_tags),
                )
                for domain in domains
                if domain.near_cache is not NearCacheMode.OFF
            ],
        )


async def _hello(context: Context) -> session_pb.Hello:
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
