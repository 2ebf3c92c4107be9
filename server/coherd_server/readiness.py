"""Whether this process is ready to serve, told by gRPC's health service: it follows the store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

import grpc.aio
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from coherd_server.core.doctor import Level, examine
from coherd_server.core.store import Store, StoreUnavailable

_log = structlog.get_logger("coherd")
HEALTH_SERVICE_NAME: Final = health.SERVICE_NAME
WATCH_INTERVAL_S: Final = 0.5
"""How often the store is asked whether it answers."""


class Readiness:
    """The health that a process tells: the same for all of its services.

    Args:
        store: without which nothing is served.
        services: full names of what is served.
    """

    def __init__(self, store: Store, services: Sequence[str]) -> None:
        self._store = store
        self._services = services
        self._health = health.aio.HealthServicer()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Let a server answer health checks."""
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)

    async def begin(self) -> None:
        """Tell that everything is served from now on."""
        await self._set(health_pb2.HealthCheckResponse.SERVING)

    async def end(self) -> None:
        """Tell that nothing is served any more, whatever the store does."""
        await self._health.enter_graceful_shutdown()

    async def _set(self, status: int) -> None:
        for service in ("", *self._services):
            await self._health.set(service, status)

    async def follow_store(self) -> None:
        """Tell SERVING while the store answers, NOT_SERVING while it does not, until cancelled."""
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
                await self._set(health_pb2.HealthCheckResponse.SERVING)
            elif serving and not answers:
                _log.warning("the store does not answer: not serving", reason=trouble)
                await self._set(health_pb2.HealthCheckResponse.NOT_SERVING)
            serving = answers


async def log_findings(store: Store) -> None:
    """Log what is unsafe about the store, as `coherd doctor` says it."""
    with contextlib.suppress(StoreUnavailable):
        for finding in examine(await store.inspect()):
            if finding.level is not Level.OK:
                _log.warning("store check", level=finding.level.value, node=finding.address, finding=finding.text)
