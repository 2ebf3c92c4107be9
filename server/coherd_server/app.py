"""The composition root: builds a server out of its parts, runs it, takes it down in order."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from typing import Final

import grpc
import structlog
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2

from coherd._clock import boottime_s
from coherd.catalog.catalog import Catalog
from coherd.catalog.load import builtin_catalog
from coherd.v1 import cache_service_pb2, session_pb2
from coherd_server.core.access import Access
from coherd_server.core.cache import Cache, build_cache
from coherd_server.core.census import Census
from coherd_server.core.counters import Counters
from coherd_server.core.metrics import Reporter
from coherd_server.core.near.alike import digest_of
from coherd_server.core.near.hub import Hub
from coherd_server.core.near.member import Member
from coherd_server.core.near.publish import ChangePublisher
from coherd_server.grpc_server import listen, options_of
from coherd_server.readiness import HEALTH_SERVICE_NAME, Readiness, log_findings
from coherd_server.redis.connect import open_store
from coherd_server.redis.end_task import end
from coherd_server.redis.settings import StoreSettings
from coherd_server.redis.store import RedisStore
from coherd_server.rpc.cache_service import CacheRpcs, Limits, service_handlers
from coherd_server.rpc.endpoint import Endpoint, Handlers
from coherd_server.rpc.frame_calls import Services
from coherd_server.rpc.hello import SessionLimits
from coherd_server.rpc.principals import Principals
from coherd_server.rpc.reflection import SERVICE_NAMES, Reflection
from coherd_server.rpc.sessions import Sessions
from coherd_server.rpc.typed_methods import typed_handlers
from coherd_server.setting_files import Tls, tls_of
from coherd_server.settings import Settings

_log = structlog.get_logger("coherd")
FLUSH_INTERVAL_MS: Final = 250
"""How often counters are stored."""
_LAST_COUNTS_S: Final = 1.0
"""How long the end of the process may wait for its last counts to be stored."""


class Server:
    """One serving process. `start`, then `stop`; belongs to the running event loop."""

    def __init__(self, settings: Settings, catalog: Catalog, redis_url: str, *, share_port: bool) -> None:
        self._settings = settings
        self._catalog = catalog
        self._redis_url = redis_url
        self._share_port = share_port
        self._counters = Counters()
        self._tasks: list[asyncio.Task[None]] = []
        self._store: RedisStore
        self._reporter: Reporter
        self._census: Census
        self._cache: Cache
        self._member: Member
        self._endpoint: Endpoint
        self._sessions: Sessions
        self._server: grpc.aio.Server
        self._readiness: Readiness

    async def start(self) -> int:
        """Connect, listen and serve; the port.

        Raises:
            StoreUnavailable: Redis cannot be reached.
            SettingsError: TLS files that cannot be read or used.
            PortInUse: the address cannot be listened on.
        """
        settings = self._settings
        tls = tls_of(settings)
        self._store = await open_store(
            self._redis_url,
            prefix=settings.key_prefix,
            settings=StoreSettings(
                connections=settings.redis_connections,
                connect_timeout_ms=min(500, settings.redis_timeout),
                reply_timeout_ms=settings.redis_timeout,
                deadline_ms=2 * settings.redis_timeout,
                log_length=settings.near_cache_log_length,
            ),
        )
        try:
            port = self._listen(tls)
            await self._server.start()
        except BaseException:
            await self._store.close()
            raise
        await self._readiness.begin()
        self._tasks = [
            asyncio.create_task(self._reporter.run(FLUSH_INTERVAL_MS)),
            asyncio.create_task(self._readiness.follow_store()),
            asyncio.create_task(log_findings(self._store, self._catalog)),
            asyncio.create_task(self._census.run(settings.census_interval)),
            asyncio.create_task(self._member.run()),
        ]
        for task in self._tasks:
            task.add_done_callback(_log_defect)
        return port

    def _listen(self, tls: Tls | None) -> int:
        settings = self._settings
        hub = Hub(boottime_s, settings.near_cache_terms, self._counters, self._catalog.domains)
        self._member = Member(self._store.log, hub, digest_of(self._catalog.domains))
        publisher = ChangePublisher(self._store.log, self._member, hub.terms, boottime_s)
        self._cache = cache = build_cache(
            self._store, publisher, self._counters, max_value_bytes=settings.max_value_bytes
        )
        self._census = Census(self._store, cache.reads, self._catalog)
        self._reporter = Reporter(self._store, self._counters, self._census, self._catalog)
        principals = Principals(settings.tokens, client_certificates=settings.tls_client_ca is not None)
        access = Access(settings.access_configured)
        self._endpoint = Endpoint(principals, max_in_flight=settings.max_in_flight)
        rpcs = CacheRpcs(
            cache, self._catalog, access, self._reporter, Limits(settings.max_batch_items, settings.max_message_bytes)
        )
        stream_services = Services(
            rpcs, cache, self._catalog, access, self._endpoint, apart=not self._store.one_primary
        )
        limits = SessionLimits(
            message_bytes=settings.max_message_bytes, age_ms=settings.session_age if self._share_port else None
        )
        self._sessions = Sessions(stream_services, principals, hub, limits)
        handlers = {
            **service_handlers(self._endpoint, rpcs),
            **self._sessions.handlers(),
            **typed_handlers(self._catalog, cache.coalescer, access, self._endpoint),
        }
        files = {**builtin_catalog().files, **self._catalog.files}
        own = (cache_service_pb2.DESCRIPTOR, session_pb2.DESCRIPTOR)
        services = (
            *(service.full_name for file in own for service in file.services_by_name.values()),
            *(domain.service for domain in self._catalog.domains.values()),
        )
        listed = (*services, *SERVICE_NAMES, HEALTH_SERVICE_NAME)
        for described in (health_pb2.DESCRIPTOR, error_details_pb2.DESCRIPTOR):
            files[described.name] = described.serialized_pb
        handlers |= Reflection(files, listed).handlers()
        self._server = grpc.aio.server(options=options_of(settings, share_port=self._share_port))
        self._server.add_generic_rpc_handlers((Handlers(handlers),))
        self._readiness = Readiness(self._store, services, self._catalog)
        self._readiness.add_to(self._server)
        return listen(self._server, settings.listen, tls)

    async def stop(self) -> None:
        """Take it down: health first, then no new calls, then the running ones end, then counts and connections."""
        settings = self._settings
        await self._readiness.end()
        self._cache.leases.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.drain_grace / 1000):
                await asyncio.gather(self._endpoint.drain(), self._sessions.drain(settings.drain_grace))
        await self._endpoint.quiet()
        await self._server.stop(grace=0.1)
        await asyncio.gather(*map(end, self._tasks))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_COUNTS_S):
                await self._reporter.flush()
        await self._member.leave()
        await self._store.close()


def _log_defect(task: asyncio.Task[None]) -> None:
    """A background task never ends on its own; without the exception's text, which may hold a key."""
    if not task.cancelled() and (error := task.exception()) is not None:
        frames = [
            f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
        ]
        _log.error("a background task ended", error=type(error).__name__, frames=frames[-8:])
