"""How a near-cache hit is told from a remote read, without asking the client: it never hands over to the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

from tests.benchmarks.contenders import PATIENCE_S

from coherd.client import CacheClient
from coherd.key import Key

Value = TypeVar("Value")

_PAUSE_S: Final = 0.01
"""A near cache may serve only once its stream to the service is in step."""


async def without_waiting(read: Awaitable[Value]) -> tuple[Value, bool]:
    """What is read, and whether the event loop got no turn meanwhile."""
    turned = False

    def turn() -> None:
        nonlocal turned
        turned = True

    handle = asyncio.get_running_loop().call_soon(turn)
    try:
        value = await read
    finally:
        handle.cancel()
    return value, not turned


async def is_held(cache: CacheClient, key: Key[Any]) -> bool:
    """Reads a stored key until the near cache serves it; False if it has not come to that within `PATIENCE_S`."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        value, at_once = await without_waiting(cache.get(key))
        if value is not None and at_once:
            return True
        await asyncio.sleep(_PAUSE_S)
    return False
