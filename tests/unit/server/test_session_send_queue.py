"""Order, sharing and bounds of what a session stream says, and the gate that reads pass."""

from __future__ import annotations

import asyncio

import pytest

from coherd.v1 import session_pb2 as session_pb
from coherd_server.rpc.send_queue import MESSAGE_BYTES, MESSAGE_RESULTS, RESULT_BYTES, ReadGate, SendQueue

FULL = 10_000


class Wire:
    """Where a send queue writes to; it takes nothing while it is closed."""

    def __init__(self, full_bytes: int = FULL) -> None:
        self.sent: list[session_pb.SessionResponse] = []
        self.open = asyncio.Event()
        self.open.set()
        self.written = 0
        self.send_queue = SendQueue(full_bytes, self._count)

    def _count(self) -> None:
        self.written += 1

    async def send(self, data: bytes) -> None:
        await self.open.wait()
        self.sent.append(session_pb.SessionResponse.FromString(data))

    async def finish(self) -> list[str]:
        """Write all; what was sent, shortly."""
        self.send_queue.end()
        await asyncio.wait_for(self.send_queue.write(self.send), 60)
        return [self._short(message) for message in self.sent]

    @staticmethod
    def _short(message: session_pb.SessionResponse) -> str:
        if message.HasField("push"):
            return f"push {message.push.sequence}"
        return "results " + " ".join(str(result.id) for result in message.frame.results)


def push(sequence: int) -> session_pb.SessionResponse:
    return session_pb.SessionResponse(push=session_pb.PushFrame(sequence=sequence))


async def test_pushes_stand_where_they_were_queued() -> None:
    wire = Wire()
    wire.send_queue.result(1, 10)
    wire.send_queue.result(2, 10)
    wire.send_queue.say(push(1))
    wire.send_queue.say(push(2))
    wire.send_queue.result(3, 10)
    wire.send_queue.say(push(3))
    wire.send_queue.result(4, 10)
    assert await wire.finish() == ["results 1 2", "push 1", "push 2", "results 3", "push 3", "results 4"]
    assert (wire.send_queue.queued_bytes, wire.written) == (0, 6)


async def test_what_comes_while_a_message_is_on_its_way_shares_the_next() -> None:
    wire = Wire()
    wire.open.clear()
    writer = asyncio.create_task(wire.send_queue.write(wire.send))
    wire.send_queue.result(1, 10)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for number in range(2, 6):
        wire.send_queue.result(number, 10)
        await asyncio.sleep(0)
    wire.open.set()
    wire.send_queue.end()
    await asyncio.wait_for(writer, 60)
    assert [len(message.frame.results) for message in wire.sent] == [1, 4]


async def test_messages_are_bounded_in_results() -> None:
    wire = Wire(1 << 30)
    for number in range(2 * MESSAGE_RESULTS + 1):
        wire.send_queue.result(number, 1)
    await wire.finish()
    assert [len(message.frame.results) for message in wire.sent] == [MESSAGE_RESULTS, MESSAGE_RESULTS, 1]


async def test_a_long_result_has_a_message_of_its_own() -> None:
    """Together with what was before it, it might exceed what gRPC sends."""
    wire = Wire(1 << 30)
    for number, size_bytes in enumerate([100, MESSAGE_BYTES - 200, 500, 10 * MESSAGE_BYTES, 5, 5]):
        wire.send_queue.result(number, size_bytes)
    assert await wire.finish() == ["results 0 1", "results 2", "results 3", "results 4 5"]


async def test_all_that_is_queued_counts() -> None:
    """Also extensions and pushes: a client that does not take them is read no further."""
    wire = Wire()
    while not wire.send_queue.is_full:
        wire.send_queue.say(push(1))
    assert FULL <= wire.send_queue.queued_bytes < FULL + 100
    waits = asyncio.create_task(wire.send_queue.room())
    await asyncio.sleep(0)
    assert not waits.done()
    assert len(await wire.finish()) > 100
    await asyncio.wait_for(waits, 60)
    assert wire.send_queue.queued_bytes == 0


async def is_let_in(gate: ReadGate, keys: int) -> asyncio.Task[int] | None:
    """None, or the task that waits at the gate."""
    task = asyncio.create_task(gate.enter(keys))
    for _ in range(5):
        await asyncio.sleep(0)
    return None if task.done() else task


async def test_reads_begin_as_far_as_their_answers_fit() -> None:
    wire = Wire()
    gate = ReadGate(wire.send_queue, FULL)
    assert await gate.enter(256) == 256
    gate.leave(256, 256 * 1_000)
    assert await gate.enter(256) == 10
    second, third = await is_let_in(gate, 5), await is_let_in(gate, 1)
    assert second is not None
    assert third is not None, "in turn, although it would fit"
    gate.leave(10, 0)
    await asyncio.wait_for(asyncio.gather(second, third), 60)
    gate.leave(5, 0)
    gate.leave(1, 0)
    assert await is_let_in(gate, 500) is None, "one may always, whatever its size"
    gate.leave(500, 500)
    for _ in range(60):  # answers are short again
        gate.leave(0, 0) if await is_let_in(gate, 1) else gate.leave(1, 1)
    assert await gate.enter(256) > 100


async def test_nothing_is_read_while_the_client_takes_nothing() -> None:
    wire = Wire()
    gate = ReadGate(wire.send_queue, FULL)
    wire.send_queue.result(1, FULL)
    waits = [await is_let_in(gate, 1) for _ in range(3)]
    assert all(waits)
    assert await wire.finish() == ["results 1"]
    await asyncio.wait_for(asyncio.gather(*(wait for wait in waits if wait)), 60)


@pytest.mark.parametrize("answer_bytes", [0, 50])
async def test_who_is_cancelled_at_the_gate_keeps_nobody_out(answer_bytes: int) -> None:
    wire = Wire()
    gate = ReadGate(wire.send_queue, FULL)
    wire.send_queue.result(1, FULL)
    first, second = await is_let_in(gate, 1), await is_let_in(gate, 1)
    assert first is not None
    assert second is not None
    first.cancel()
    await wire.finish()
    await asyncio.wait_for(second, 60)
    gate.leave(1, answer_bytes)
    assert RESULT_BYTES > 0
    assert await is_let_in(gate, 1) is None
