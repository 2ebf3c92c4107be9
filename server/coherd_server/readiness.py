"""Whether this process is ready to serve, told by gRPC's health service: it follows the store."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final

import grpc.aio
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from coherd.catalog.catalog import Catalog
from coherd_server.core.doctor import Level, examine
from coherd_server.core.lost import Lost, lost_in
from coherd_server.core.store import Store, StoreUnavailable
from coherd_server.log import Repeated

_log = structlog.get_logger("coherd")
HEALTH_SERVICE_NAME: Final = health.SERVICE_NAME
WATCH_INTERVAL_S: Final = 0.25
"""How often it is looked whether the store answers."""
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


class Readiness:
    """The health that a process tells: one for all of its services, and ``NOT_SERVING`` for those of domains that are
    lost with a part of the store.

    Args:
        store: without which nothing is served.
        services: full names of what is served.
        catalog: whose domains are among these services.
    """

    def __init__(self, store: Store, services: Sequence[str], catalog: Catalog) -> None:
        self._store = store
        self._services = services
        self._catalog = catalog
        self._domain_of = {domain.service: domain.name for domain in catalog.domains.values()}
        self._health = health.aio.HealthServicer()
        self._told: dict[str, int] = {}
        self._silence = Repeated(_log, severity=logging.WARNING)
        self._loss = Repeated(_log, severity=logging.WARNING)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Let a server answer health checks."""
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)

    async def begin(self) -> None:
        """Tell what is served from now on."""
        await self._tell("", lost_in(self._store, self._catalog))

    async def end(self) -> None:
        """Tell that nothing is served any more, whatever the store does."""
        await self._health.enter_graceful_shutdown()

    async def _tell(self, trouble: str, lost: Lost) -> None:
        for service in ("", *self._services):
            is_lost = bool(trouble) or lost.of_domain(self._domain_of.get(service, ""))
            status = _NOT_SERVING if is_lost else _SERVING
            if self._told.get(service) != status:
                self._told[service] = status
                await self._health.set(service, status)

    async def follow_store(self) -> None:
        """Tell SERVING while the store answers, NOT_SERVING while it does not, until cancelled.

        Twice in a row it must be seen that it does not: a process that stood still has its answers to read first.
        """
        doubt, doubted = "", Lost()
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            trouble, lost = self._store.trouble(), lost_in(self._store, self._catalog)
            seen = trouble if doubt else ""
            both = lost._replace(domains=tuple(name for name in lost.domains if name in doubted.domains))
            await self._tell(seen, both)
            self._log_silence(trouble, seen)
            self._log_loss(trouble, lost if doubted.nodes else Lost())
            doubt, doubted = trouble, lost

    def _log_silence(self, trouble: str, seen: str) -> None:
        if seen:
            self._silence.tell("the store does not answer: not serving", reason=seen)
        elif not trouble:
            self._silence.over("the store answers again")

    def _log_loss(self, trouble: str, lost: Lost) -> None:
        """Tell of a part of the store that does not answer."""
        if lost.nodes and not trouble:
            self._loss.tell(
                "a part of the store does not answer: some calls fail",
                nodes=sorted(lost.nodes),
                reason=next(iter(lost.nodes.values())),
                domains=list(lost.domains),
                resources=list(lost.resources),
            )
        elif not lost.nodes:
            self._loss.over("all of the store answers again")


async def log_findings(store: Store, catalog: Catalog) -> None:
    """Log what is not well with the store, as `coherd doctor` says it: what is unsafe or lost as an error."""
    with contextlib.suppress(StoreUnavailable):
        for finding in examine(await store.inspect(), lost_in(store, catalog)):
            if finding.level is not Level.OK:
                tell = _log.warning if finding.level is Level.WARNING else _log.error
                tell("store check", verdict=finding.level.value, node=finding.address, finding=finding.text)
