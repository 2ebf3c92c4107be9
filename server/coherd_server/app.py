"""The composition root: builds a server out of its parts, runs it, takes it down in order."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import structlog
from google.rpc import error_details_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from coherd.catalog.catalog import Catalog
from coherd.catalog.declared import CatalogError
from coherd.catalog.descriptor_sets import Source
from coherd.catalog.load import builtin_catalog, builtin_source, load_catalog
from coherd.catalog.overrides import OverrideError, with_near_caches, with_overrides
from coherd.v1 import cache_service_pb2, session_pb2
from coherd_server.core.access import Access
from coherd_server.core.cache import Cache, build_cache
from coherd_server.core.census import Census
from coherd_server.core.counters import Counters
from coherd_server.core.doctor import Level, examine
from coherd_server.core.near.hub import Hub
from coherd_server.core.near.member import Member
from coherd_server.core.near.publish import ChangePublisher
from coherd_server.core.report import Reporter
from coherd_server.core.store import StoreUnavailable
from coherd_server.redis.boot_clock import lease_clock_s
from coherd_server.redis.connect import open_store
from coherd_server.redis.ending import end
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
from coherd_server.settings import Settings, SettingsError, split_address

_log = structlog.get_logger("coherd")
FLUSH_INTERVAL_MS: Final = 250
"""How often counters are stored."""
_LAST_COUNTS_S: Final = 1.0
"""How long the end of the process may wait for its last counts to be stored."""
WATCH_INTERVAL_S: Final = 0.5
"""How often readiness is looked at."""
CONNECTION_AGE_MS: Final = 300_000
"""With several workers a connection is asked to move this often: a shared port pins connections to processes."""
MAX_STREAMS: Final = 2_000
"""Concurrent calls of one connection. gRPC's clients burst before they learn the limit, and what exceeds it is lost to
them without a reason of ours; so it is far above what our client uses, and `max_in_flight` bounds the work."""
MIN_PING_INTERVAL_MS: Final = 9_000
"""Clients may ping every 10 s, calls or not."""


def catalog_of(settings: Settings) -> Catalog:
    """The catalog the settings ask for, with the operator's overrides.

    Raises:
        SettingsError: a file cannot be read, or its declarations cannot be used; one line per problem.
    """
    sources: list[Source] = [builtin_source()] if settings.builtin_catalog else []
    for name in settings.catalog:
        try:
            sources.append(Source(name, Path(name).read_bytes()))
        except OSError as error:
            raise SettingsError(f"{settings.origin('catalog')}: {name}: cannot be read: {error.strerror}") from None
    try:
        catalog = load_catalog(sources)
    except CatalogError as error:
        raise SettingsError(
            "\n".join(f"{settings.origin('catalog')}: {problem}" for problem in error.problems)
        ) from None
    problems: list[str] = []
    try:
        catalog = with_overrides(catalog, {name: one.override() for name, one in settings.ttl.items()})
    except OverrideError as error:
        problems += (
            f"{settings.origin('ttl', n)}: {text}" for n, text in zip(error.names, error.problems, strict=True)
        )
    for name, mode in settings.near_cache.items():
        try:
            catalog = with_near_caches(catalog, {name: mode})
        except CatalogError as error:
            problems += (f"{settings.origin('near_cache', name)}: {problem}" for problem in error.problems)
    if problems:
        raise SettingsError("\n".join(problems))
    return catalog


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM bytes of the server's side."""

    key: bytes
    chain: bytes
    client_ca: bytes | None


def tls_of(settings: Settings) -> Tls | None:
    """The TLS files the settings name, read.

    Raises:
        SettingsError: a file cannot be read, or does not hold what it must.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None

    def read(setting: str, name: str) -> bytes:
        try:
            return Path(name).read_bytes()
        except OSError as error:
            raise SettingsError(f"{settings.origin(setting)}: {name}: cannot be read: {error.strerror}") from None

    client_ca = read("tls_client_ca", settings.tls_client_ca) if settings.tls_client_ca else None
    tls = Tls(read("tls_key", settings.tls_key), read("tls_cert", settings.tls_cert), client_ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # gRPC would only say that it cannot listen
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password="")
    except ssl.SSLError as error:
        files = f"{settings.tls_cert} and {settings.tls_key} are not a certificate chain and its unencrypted key, PEM"
        raise SettingsError(f"{settings.origin('tls_cert')}: {files}{_why(error)}") from None
    if settings.tls_client_ca:
        try:
            context.load_verify_locations(settings.tls_client_ca)
        except ssl.SSLError as error:
            origin = settings.origin("tls_client_ca")
            raise SettingsError(f"{origin}: {settings.tls_client_ca} holds no certificates, PEM{_why(error)}") from None
    return tls


def _why(error: ssl.SSLError) -> str:
    return f": {error.reason}" if error.reason else ""


class PortInUse(Exception):
    """The address cannot be listened on."""


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
        self._health = health.aio.HealthServicer()
        self._services: tuple[str, ...] = ()

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
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)
        self._tasks = [
            asyncio.create_task(self._reporter.run(FLUSH_INTERVAL_MS)),
            asyncio.create_task(self._watch_store()),
            asyncio.create_task(self._check_store()),
            asyncio.create_task(self._census.run(settings.census_interval)),
            asyncio.create_task(self._member.run()),
        ]
        for task in self._tasks:
            task.add_done_callback(_log_defect)
        return port

    def _listen(self, tls: Tls | None) -> int:
        settings = self._settings
        hub = Hub(lease_clock_s, settings.near_cache_terms, self._counters, self._catalog.domains)
        self._member = Member(self._store.log, hub)
        publisher = ChangePublisher(self._store.log, self._member, hub.terms, lease_clock_s)
        self._cache = cache = build_cache(
            self._store, publisher, self._counters, max_value_bytes=settings.max_value_bytes
        )
        self._census = Census(self._store, cache.reads, self._catalog)
        self._reporter = Reporter(self._store, self._counters, self._census)
        principals = Principals(settings.tokens, client_certificates=settings.tls_client_ca is not None)
        access = Access(settings.access_configured)
        self._endpoint = Endpoint(principals, max_in_flight=settings.max_in_flight)
        rpcs = CacheRpcs(
            cache, self._catalog, access, self._reporter, Limits(settings.max_batch_items, settings.max_message_bytes)
        )
        services = Services(rpcs, cache, self._catalog, access, self._endpoint, apart=not self._store.one_primary)
        limits = SessionLimits(
            message_bytes=settings.max_message_bytes, age_ms=settings.session_age if self._share_port else None
        )
        self._sessions = Sessions(services, principals, hub, limits)
        handlers = {
            **service_handlers(self._endpoint, rpcs),
            **self._sessions.handlers(),
            **typed_handlers(self._catalog, cache.coalescer, access, self._endpoint),
        }
        files = {**builtin_catalog().files, **self._catalog.files}
        own = (cache_service_pb2.DESCRIPTOR, session_pb2.DESCRIPTOR)
        self._services = (
            *(service.full_name for file in own for service in file.services_by_name.values()),
            *(domain.service for domain in self._catalog.domains.values()),
        )
        listed = (*self._services, *SERVICE_NAMES, health.SERVICE_NAME)
        for described in (health_pb2.DESCRIPTOR, error_details_pb2.DESCRIPTOR):
            files[described.name] = described.serialized_pb
        handlers |= Reflection(files, listed).handlers()
        self._server = grpc.aio.server(options=self._options())
        self._server.add_generic_rpc_handlers((Handlers(handlers),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        try:
            if tls is None:
                port = self._server.add_insecure_port(settings.listen)
            else:
                credentials = grpc.ssl_server_credentials(
                    [(tls.key, tls.chain)], tls.client_ca, require_client_auth=tls.client_ca is not None
                )
                port = self._server.add_secure_port(settings.listen, credentials)
        except RuntimeError:
            raise PortInUse(f"cannot listen on {settings.listen}: the port is in use, or not ours to take") from None
        if port == 0:
            raise PortInUse(f"cannot listen on {settings.listen}")
        return int(port)

    def _options(self) -> list[tuple[str, int]]:
        settings = self._settings
        options = [
            ("grpc.so_reuseport", int(self._share_port)),
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", settings.max_message_bytes),
            ("grpc.max_concurrent_streams", MAX_STREAMS),
            ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.max_allowed_incoming_connections", 10_000),
            ("grpc.server_handshake_timeout_ms", 10_000),
        ]
        if self._share_port:
            options += [("grpc.max_connection_age_ms", CONNECTION_AGE_MS), ("grpc.max_connection_age_grace_ms", 30_000)]
        return options

    async def _set_health(self, status: int) -> None:
        for service in ("", *self._services):
            await self._health.set(service, status)

    async def _watch_store(self) -> None:
        """Health follows the store: NOT_SERVING while it does not answer."""
        serving = True
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            trouble = ""
            try:
                await self._store.ping()
            except StoreUnavailable as error:
                trouble = str(error)
            answers = not trouble
            if answers and not serving:
                _log.info("the store answers again")
                await self._set_health(health_pb2.HealthCheckResponse.SERVING)
            elif serving and not answers:
                _log.warning("the store does not answer: not serving", reason=trouble)
                await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
            serving = answers

    async def _check_store(self) -> None:
        """Say at start what is unsafe about the store."""
        with contextlib.suppress(StoreUnavailable):
            for finding in examine(await self._store.inspect()):
                if finding.level is not Level.OK:
                    _log.warning("store check", level=finding.level.value, node=finding.address, finding=finding.text)

    async def stop(self) -> None:
        """Take it down: health first, then no new calls, then the running ones end, then counts and connections."""
        settings = self._settings
        await self._health.enter_graceful_shutdown()
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


def bind_address(listen: str, port: int) -> str:
    """The address with its real port, for people."""
    host, _ = split_address(listen)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
