"""Lets the reads of a stream begin as far as their answers will fit: a client that reads slowly must not fill memory.

How long answers are is only known when they are there, so it is reckoned from those of the stream so far.
"""

from __future__ import annotations

import asyncio

from coherd_server.rpc.send_queue import SendQueue


class ReadGate:
    """Of one stream.

    Args:
        send_queue: takes the answers.
        full_bytes: of answers that are under way or not taken yet; one read may exceed it.
    """

    def __init__(self, send_queue: SendQueue, full_bytes: int) -> None:
        self._send_queue = send_queue
        self._full_bytes = full_bytes
        self._reading = 0
        self._average_bytes = 0.0
        self._turn = asyncio.Lock()
        self._left = asyncio.Event()

    def part(self, most: int) -> int:
        """How many keys to read at a time, at most this many."""
        if self._average_bytes * most <= self._full_bytes:
            return most
        return max(1, int(self._full_bytes / self._average_bytes))

    async def enter(self, keys: int) -> None:
        """Wait until so many keys may be read; then call `leave`. Whoever must wait does so in turn."""
        if self._turn.locked() or self._is_crowded(keys):
            async with self._turn:
                while self._is_crowded(keys):
                    if self._send_queue.is_full:
                        await self._send_queue.room()
                    else:
                        self._left.clear()
                        await self._left.wait()
                self._reading += keys
        else:
            self._reading += keys

    def leave(self, keys: int, answer_bytes: int) -> None:
        """They are read, and what was found is in the send queue; 0: they failed."""
        self._reading -= keys
        if answer_bytes:
            latest = answer_bytes / keys
            more = latest - self._average_bytes
            self._average_bytes += more if more > 0 else more / 8
        self._left.set()

    def _is_crowded(self, keys: int) -> bool:
        if self._send_queue.is_full:
            return True
        expected = (self._reading + keys) * self._average_bytes
        return self._reading > 0 and self._send_queue.queued_bytes + expected > self._full_bytes
