"""Hears of what somebody waits for: one subscribed connection to one primary (a cluster tells all its nodes).

What is missed while it is not connected is made good: after each connect everything that waits for a key or tag is told
to look again; those who wait for near caches look a few times a second on their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

from coherd_server.core.store import Wake
from coherd_server.redis.end_task import end
from coherd_server.redis.redis_py import CONNECTION_ERRORS, open_connection
from coherd_server.redis.redis_url import RedisTarget
from coherd_server.redis.scripts import NEAR_CHANNEL, WAKE_CHANNEL
from coherd_server.redis.settings import StoreSettings
from coherd_server.redis.topology import Topology

_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_STEADY_S: Final = 5.0
"""A connection that held this long ends the back-off."""


class Listener:
    """Subscribes when first asked to, and stays subscribed until closed."""

    def __init__(self, target: RedisTarget, topology: Topology, settings: StoreSettings, *, prefix: str) -> None:
        self._target = target
        self._topology = topology
        self._settings = settings
        self._prefix = prefix
        self._epoch_prefix = f"{prefix}coherd:epoch:"
        self._wakes: list[Wake] = []
        self._near: list[Callable[[bytes], None]] = []
        self._task: asyncio.Task[None] | None = None

    def on_wake(self, wake: Wake) -> None:
        """Whom to tell; the first call subscribes."""
        self._wakes.append(wake)
        self._begin()

    def on_near(self, near: Callable[[bytes], None]) -> None:
        """Whom to give the messages of `NEAR_CHANNEL`; the first call subscribes."""
        self._near.append(near)
        self._begin()

    def _begin(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Unsubscribe. Idempotent."""
        if self._task is not None:
            await end(self._task)

    async def _run(self) -> None:
        pause_s = _PAUSE_S
        while True:
            began_s = time.monotonic()
            with contextlib.suppress(*CONNECTION_ERRORS):
                await self._listen()
            if time.monotonic() - began_s > _STEADY_S:
                pause_s = _PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _listen(self) -> None:
        """One connection, from connect to loss; always ends with one of `CONNECTION_ERRORS`."""
        nodes = self._topology.nodes()
        if not nodes:
            raise ConnectionError
        node = max(nodes, key=lambda one: one.answered_at_s)
        connection = open_connection(self._target, node.address, self._settings)
        timeout_s = self._settings.reply_timeout_ms / 1000
        try:
            async with asyncio.timeout(2 * self._settings.connect_timeout_ms / 1000):
                await connection.connect()
                await connection.send_packed_command(f"SUBSCRIBE {NEAR_CHANNEL} {WAKE_CHANNEL}\r\n".encode())
            asked = False
            while True:
                reply = await connection.read_response(timeout=timeout_s)
                if reply is None:  # nothing for a while: is it still there?
                    if asked:
                        raise TimeoutError
                    asked = True
                    await connection.send_packed_command(b"PING\r\n")
                    continue
                asked = False
                if not isinstance(reply, list):
                    raise TypeError("unexpected push")
                if reply[0] == b"subscribe" and reply[1] == WAKE_CHANNEL.encode():
                    self._tell("", True)
                elif reply[0] == b"message" and reply[1] == WAKE_CHANNEL.encode():
                    self._hear(reply[2].decode("utf-8", "replace"))
                elif reply[0] == b"message":
                    for near in self._near:
                        near(reply[2])
        finally:
            await connection.disconnect(nowait=True)

    def _hear(self, name: str) -> None:
        if name.startswith(self._epoch_prefix):
            self._tell(name.removeprefix(self._epoch_prefix), False)
        elif name.startswith(self._prefix):
            self._tell(name.removeprefix(self._prefix), True)

    def _tell(self, name: str, is_key: bool) -> None:
        for wake in self._wakes:
            wake(name, is_key)
