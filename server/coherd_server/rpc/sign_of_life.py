"""What a stream says so that its client knows that the server lives."""

from __future__ import annotations

import asyncio
from typing import Final

from coherd.v1 import session_pb2 as session_pb
from coherd_server.rpc.send_queue import SendQueue

UNASKED_S: Final = 1.0
"""How often it is said while nothing is read; well below the silence after which a client leaves."""
_PONG: Final = session_pb.SessionResponse(pong=session_pb.Pong())


def say_alive(queue: SendQueue) -> None:
    """Say it, unless the client takes nothing: then it has answers to take, or is the one that stands still."""
    if not queue.is_full:
        queue.say(_PONG)


async def wait_alive(event: asyncio.Event, queue: SendQueue) -> None:
    """Wait for an event while nothing is read of a stream, and so no ping is heard."""
    while True:
        try:
            async with asyncio.timeout(UNASKED_S):
                await event.wait()
            return
        except TimeoutError:
            say_alive(queue)
