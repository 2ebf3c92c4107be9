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
WATCH_INTERVAL_S: Final = 0.25
"""How often it is looked whether the store answers."""


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
        """Tell SERVING while the store answers, NOT_SERVING while it does not, until cancelled.

        Twice in a row it must be seen that it does not: a process that stood still has its answers to read first.
        """
        serving = True
        doubt = ""
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            trouble = self._store.trouble()
            if serving and trouble and doubt:
                serving = False
                await self._set(health_pb2.HealthCheckResponse.NOT_SERVING)
                _log.warning("the store does not answer: not serving", reason=trouble)
            elif not serving and not trouble:
                serving = True
                await self._set(health_pb2.HealthCheckResponse.SERVING)
                _log.info("the store answers again")
            doubt = trouble


async def log_findings(store: Store) -> None:
    """Log what is not well with the store, as `coherd doctor` says it: what is unsafe as an error."""
    with contextlib.suppress(StoreUnavailable):
        for finding in examine(await store.inspect()):
            if finding.level is not Level.OK:
                tell = _log.error if finding.level is Level.UNSAFE else _log.warning
                tell("store check", verdict=finding.level.value, node=finding.address, finding=finding.text)
