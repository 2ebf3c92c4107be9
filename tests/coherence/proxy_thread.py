"""The rig's fault proxy on an event loop of its own, for callers that have none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from rig.proxy import FaultProxy


class ProxyThread:
    """``with ProxyThread(port) as proxy``: connect to ``proxy.port``; `set` its fields at any time."""

    def __init__(self, target_port: int) -> None:
        self._proxy = FaultProxy(target_port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._proxy.port

    def set(self, **fields: Any) -> None:
        """Set fields of the proxy."""

        def act() -> None:
            for name, value in fields.items():
                setattr(self._proxy, name, value)

        self._call(act)

    def cut(self) -> None:
        """Reset every connection."""
        self._call(self._proxy.cut)

    def _call(self, act: Callable[[], None]) -> None:
        async def run() -> None:
            act()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(5)

    def __enter__(self) -> ProxyThread:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._proxy.__aenter__(), self._loop).result(5)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._proxy.__aexit__(None, None, None), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
