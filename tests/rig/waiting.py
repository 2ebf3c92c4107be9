"""Waiting for what tells nobody when it happens: asked again and again, up to a bound that says it hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import grpc
import redis

HANGS_S: Final = 180.0
"""What takes longer hangs, on a busy machine too."""


async def until(what: str, holds: Callable[[], object], *, timeout_s: float = HANGS_S) -> None:
    """Wait until it holds, while other tasks of the loop go on.

    Args:
        what: said when it does not.
        holds: looked at every 5 ms; its errors end the wait.
        timeout_s: from now on.

    Raises:
        TimeoutError: it does not hold in time.
    """
    end_s = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() >= end_s:
            raise TimeoutError(f"not within {timeout_s:.0f} s: {what}")
        await asyncio.sleep(0.005)


def wait_until(what: str, holds: Callable[[], Any], *, timeout_s: float = HANGS_S) -> Any:
    """Block until the answer is true, and give it.

    Args:
        what: said when it is not.
        holds: asked every 20 ms; an error of gRPC, Redis or a socket counts as "not yet".
        timeout_s: from now on.

    Raises:
        TimeoutError: it is not true in time; from the last such error.
    """
    end_s = time.monotonic() + timeout_s
    last: Exception | None = None
    while time.monotonic() < end_s:
        try:
            if answer := holds():
                return answer
            last = None
        except (grpc.RpcError, redis.RedisError, OSError) as error:
            last = error
        time.sleep(0.02)
    raise TimeoutError(f"not within {timeout_s:.0f} s: {what}") from last
