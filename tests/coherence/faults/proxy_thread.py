"""A proxy on an event loop of its own, for callers that have none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from coherence.faults.late_proxy import LateProxy
from rig.proxy import FaultProxy

P = TypeVar("P", FaultProxy, LateProxy)


class ProxyThread(Generic[P]):
    """``with ProxyThread(FaultProxy(port)) as proxy``: connect to ``proxy.port``; `act` on it at any time."""

    def __init__(self, proxy: P) -> None:
        self._proxy = proxy
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._proxy.port

    def act(self, act: Callable[[P], object]) -> None:
        """Do something with the proxy, on its loop."""

        async def run() -> None:
            act(self._proxy)

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(5)

    def __enter__(self) -> ProxyThread[P]:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._proxy.__aenter__(), self._loop).result(5)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._proxy.__aexit__(None, None, None), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
