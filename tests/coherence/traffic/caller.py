"""Every operation of the service as a recorded call, over raw gRPC: no client library between it and the wire."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.message import Message

from coherd.v1 import cache_service_pb2 as pb
from coherd.v1 import keys_pb2
from coherence.history import GIVEN_UP, Operation, Recorder, Traced
from coherence.traffic.connection import Connection
from coherence.traffic.keyspace import Item, Target
from coherence.traffic.source import Source
from rig.calls import RPCS, SERVICE, problem_in, reason_in

CHANNEL: Final = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 200),
]
NOWHERE: Final = pb.GetRequest(key=keys_pb2.Key(text="nowhere:nothing"))
"""A server refuses it at once, without its store."""
IMPATIENT: Final = frozenset({"lost:CANCELLED", "lost:DEADLINE_EXCEEDED", "lost:DeadlineExceeded"})
"""How calls end whose caller does not wait any longer."""
Load = Callable[[Item], Awaitable[Traced]]


class Caller:
    """Calls some servers and records what they answer. Errors are outcomes, never exceptions."""

    def __init__(self, targets: Sequence[str], recorder: Recorder, source: Source, *, timeout_s: float = 3.0) -> None:
        self.recorder = recorder
        self.source = source
        self.targets = targets
        self._timeout_s = timeout_s
        self._connections: dict[int, Connection] = {}
        self._channels = [grpc.aio.insecure_channel(target, CHANNEL) for target in targets]
        self._methods = [
            {name: channel.unary_unary(f"/{SERVICE.full_name}/{name}") for name in RPCS} for channel in self._channels
        ]

    @property
    def servers(self) -> int:
        """How many servers it knows."""
        return len(self._channels)

    async def call(self, server: int, rpc: str, request: Message, *, timeout_s: float | None = None) -> Any:
        """The response, or the outcome that stands for the failure."""
        try:
            raw = await self._methods[server][rpc](request.SerializeToString(), timeout=timeout_s or self._timeout_s)
        except grpc.aio.AioRpcError as error:
            reason = problem_in(error).reason
            return f"error:{reason}" if reason else f"lost:{error.code().name}"
        return RPCS[rpc][1].FromString(raw)

    def connection(self, server: int) -> object:
        """What tells the connection to a server from the one before; None: there is none."""
        if server not in self._connections:
            self._connections[server] = Connection(self._channels[server])
        return self._connections[server].number

    async def is_told(self, server: int, connection: object) -> bool:
        """Whether a server surely knows of what was given up on a connection: it has answered what came behind it.

        Twice, since calls are handed to a server's tasks one by one.
        """
        for _ in range(2):
            if connection is None or self.connection(server) != connection:
                return False
            if await self.call(server, "Get", NOWHERE, timeout_s=1.0) != "error:DOMAIN_UNKNOWN":
                return False
        return self.connection(server) == connection

    # Reading.

    async def get(self, server: int, item: Item, *, accept_stale: bool = False) -> Operation:
        """One key."""
        begun = self.recorder.start("get", key=item.key, server=server)
        answer = await self.call(server, "Get", pb.GetRequest(key=item.wire, accept_stale=accept_stale))
        return self._end_read(begun, answer)

    async def batch_get(self, server: int, items: Sequence[Item]) -> list[Operation]:
        """Many keys."""
        begun = [self.recorder.start("batch_get", key=item.key, server=server) for item in items]
        answer = await self.call(server, "BatchGet", pb.BatchGetRequest(keys=[item.wire for item in items]))
        parts = [answer] * len(items) if isinstance(answer, str) else answer.results
        return [self._end_read(one, part) for one, part in zip(begun, parts, strict=True)]

    def _end_read(self, begun: Operation, answer: Any) -> Operation:
        if isinstance(answer, str):
            return self.recorder.end(begun, answer)
        kind = answer.WhichOneof("result")
        if kind == "error":
            return self.recorder.end(begun, f"error:{reason_in(answer)}")
        if kind == "hit":
            return self._end_hit(begun, answer.hit)
        return self.recorder.end(begun, kind)

    def _end_hit(self, begun: Operation, hit: pb.Hit, outcome: str = "", grant: str = "") -> Operation:
        outcome = outcome or ("stale" if hit.stale else "hit")
        try:
            return self.recorder.end(begun, outcome, value=Traced.of(hit.value), grant=grant)
        except Exception:  # noqa: BLE001 - whatever the bytes are: that is what the checks must see
            return self.recorder.end(begun, outcome, garbled=True, grant=grant)

    # Changing.

    def written(self, item: Item, nonce: str, version: int, read_ns: int, origin: str) -> Traced:
        """The value that stands for a version of a key."""
        return Traced(item.key, version, nonce, origin, read_ns, item.extra_texts)

    def _begin_set(self, path: str, server: int, item: Item, version: int) -> Operation:
        nonce = self.recorder.new_id()
        value = self.written(item, nonce, version, 0, "set")
        return self.recorder.begin(path, id=nonce, key=item.key, server=server, value=value)

    async def set(self, server: int, item: Item, version: int, /, **options: Any) -> Operation:
        """A value that is current now, and says so."""
        begun = self._begin_set("set", server, item, version)
        answer = await self.call(server, "Set", _set_request(item, begun.value, **options))
        return self._end_set(begun, answer)

    async def impatient_set(
        self, server: int, item: Item, version: int, patience_s: float, /, *, cancels: bool, **options: Any
    ) -> Operation:
        """As `set`, given up after a while: cancelled, or by its time limit. It ends when the server knows of that, as
        `GIVEN_UP`; where that is not sure, as lost."""
        begun = self._begin_set("set", server, item, version)
        request = _set_request(item, begun.value, **options)
        connection = self.connection(server)
        if cancels:
            try:
                async with asyncio.timeout(patience_s):
                    answer = await self.call(server, "Set", request)
            except TimeoutError:
                answer = "lost:CANCELLED"
        else:
            answer = await self.call(server, "Set", request, timeout_s=patience_s)
        if isinstance(answer, str) and await self._is_given_up(server, connection, answer):
            answer = GIVEN_UP
        return self._end_set(begun, answer)

    async def _is_given_up(self, server: int, connection: object, outcome: str) -> bool:
        """Whether the server surely knows that the caller of a set waits no longer; it may have said so itself."""
        if outcome == "error:OUTCOME_UNKNOWN":
            return True
        return outcome in IMPATIENT and await self.is_told(server, connection)

    async def batch_set(self, server: int, items: Sequence[tuple[Item, int]]) -> list[Operation]:
        """Many values."""
        begun = [self._begin_set("batch_set", server, item, version) for item, version in items]
        requests = [_set_request(item, one.value) for (item, _), one in zip(items, begun, strict=True)]
        answer = await self.call(server, "BatchSet", pb.BatchSetRequest(items=requests))
        parts = [answer] * len(items) if isinstance(answer, str) else answer.results
        return [self._end_set(one, part) for one, part in zip(begun, parts, strict=True)]

    def _end_set(self, begun: Operation, answer: Any) -> Operation:
        if isinstance(answer, str):
            return self.recorder.end(begun, answer)
        if isinstance(answer, pb.BatchSetResult):
            if answer.HasField("error"):
                return self.recorder.end(begun, f"error:{reason_in(answer)}")
            answer = answer.set
        name = pb.SetOutcome.Name(answer.outcome).removeprefix("SET_OUTCOME_").lower()
        return self.recorder.end(begun, name.removesuffix("_version"))

    async def delete(self, server: int, item: Item) -> Operation:
        """One key."""
        begun = self.recorder.begin("delete", key=item.key, server=server)
        answer = await self.call(server, "Delete", pb.DeleteRequest(key=item.wire))
        return self.recorder.end(begun, answer if isinstance(answer, str) else "done")

    async def invalidate(self, server: int, target: Target) -> Operation:
        """What a target names."""
        begun = self.recorder.begin("invalidate", key=target.key, tags=target.tags, server=server)
        answer = await self.call(server, "Invalidate", pb.InvalidateRequest(selectors=[target.selector]))
        return self.recorder.end(begun, answer if isinstance(answer, str) else "done")

    async def touch(self, server: int, item: Item) -> Operation:
        """A new TTL."""
        begun = self.recorder.begin("touch", key=item.key, server=server)
        answer = await self.call(server, "Touch", pb.TouchRequest(key=item.wire))
        return self.recorder.end(begun, answer if isinstance(answer, str) else "done" if answer.touched else "miss")

    # Loading.

    async def lease(self, server: int, item: Item, *, lease_ms: int = 2_000, wait_ms: int = 0) -> Operation:
        """A value, or the right to load it."""
        begun, request = self._begin_lease("lease", server, item, lease_ms, wait_ms)
        return self._end_lease(begun, await self.call(server, "Lease", request))

    async def batch_lease(self, server: int, items: Sequence[Item], lease_ms: int = 2_000) -> list[Operation]:
        """Many leases."""
        begun = [self._begin_lease("batch_lease", server, item, lease_ms, 0) for item in items]
        request = pb.BatchLeaseRequest(items=[request for _, request in begun])
        answer = await self.call(server, "BatchLease", request)
        parts = [answer] * len(items) if isinstance(answer, str) else answer.results
        return [self._end_lease(one, part) for (one, _), part in zip(begun, parts, strict=True)]

    def _begin_lease(
        self, path: str, server: int, item: Item, lease_ms: int, wait_ms: int
    ) -> tuple[Operation, pb.LeaseRequest]:
        token = os.urandom(16)
        begun = self.recorder.begin(path, key=item.key, server=server, lease_ms=lease_ms, token=token.hex())
        extra = dict(item.extra)
        return begun, pb.LeaseRequest(key=item.wire, token=token, lease_ms=lease_ms, wait_ms=wait_ms, extra_tags=extra)

    def _end_lease(self, begun: Operation, answer: Any) -> Operation:
        if isinstance(answer, str):
            return self.recorder.end(begun, answer)
        if isinstance(answer, pb.BatchLeaseResult):
            if answer.HasField("error"):
                return self.recorder.end(begun, f"error:{reason_in(answer)}")
            answer = answer.lease
        kind = answer.WhichOneof("result")
        if kind == "hit":
            return self._end_hit(begun, answer.hit)
        part = getattr(answer, kind)
        grant = answer.granted.grant.hex()
        if part.HasField("stale"):
            return self._end_hit(begun, part.stale, kind, grant)
        return self.recorder.end(begun, kind, grant=grant)

    async def lease_copy(self, server: int, leased: Operation, item: Item) -> Operation:
        """The request of a lease once more, as from a proxy that repeats it: nobody loads for its answer."""
        begun = self.recorder.begin("lease_copy", key=item.key, server=server, token=leased.token)
        request = pb.LeaseRequest(
            key=item.wire,
            token=bytes.fromhex(leased.token),
            lease_ms=leased.lease_ms,
            extra_tags=dict(item.extra),
        )
        answer = await self.call(server, "Lease", request)
        return self.recorder.end(begun, answer if isinstance(answer, str) else answer.WhichOneof("result"))

    async def load(self, item: Item, seconds: float) -> Traced:
        """Read the source, then take a while: what another change may overtake."""
        begun = self.recorder.start("load", key=item.key)
        version = self.source.read(item.index)
        value = self.written(item, begun.id, version, time.monotonic_ns(), "load")
        await asyncio.sleep(seconds)
        self.recorder.end(begun, "done", value=value)
        return value

    async def fill(self, server: int, leased: Operation, item: Item, value: Traced, **options: Any) -> Operation:
        """A loaded value under its lease."""
        begun, request = self._begin_fill("fill", server, leased, item, value, **options)
        return self._end_fill(begun, await self.call(server, "Fill", request))

    async def batch_fill(self, server: int, loaded: Sequence[tuple[Operation, Item, Traced]]) -> list[Operation]:
        """Many loaded values."""
        begun = [self._begin_fill("batch_fill", server, *one) for one in loaded]
        answer = await self.call(server, "BatchFill", pb.BatchFillRequest(items=[request for _, request in begun]))
        parts = [answer] * len(begun) if isinstance(answer, str) else answer.results
        return [self._end_fill(one, part) for (one, _), part in zip(begun, parts, strict=True)]

    def _begin_fill(
        self, path: str, server: int, leased: Operation, item: Item, value: Traced, **options: Any
    ) -> tuple[Operation, pb.FillRequest]:
        begun = self.recorder.begin(path, key=item.key, server=server, value=value, token=leased.token)
        item = item._replace(extra=())  # a fill can add none [tags-with-the-lease]
        return begun, pb.FillRequest(
            set=_set_request(item, value, **options),
            token=bytes.fromhex(leased.token),
            grant=bytes.fromhex(leased.grant),
            load_ms=5,
        )

    def _end_fill(self, begun: Operation, answer: Any) -> Operation:
        if isinstance(answer, str):
            return self.recorder.end(begun, answer)
        if isinstance(answer, pb.BatchFillResult):
            if answer.HasField("error"):
                return self.recorder.end(begun, f"error:{reason_in(answer)}")
            answer = answer.fill
        return self.recorder.end(begun, pb.FillOutcome.Name(answer.outcome).removeprefix("FILL_OUTCOME_").lower())

    async def abandon(self, server: int, leased: Operation, item: Item) -> Operation:
        """Give a lease back without a value."""
        begun = self.recorder.begin("abandon", key=item.key, server=server, token=leased.token)
        request = pb.FillRequest(set=pb.SetRequest(key=item.wire), token=bytes.fromhex(leased.token), abandon=True)
        answer = await self.call(server, "Fill", request)
        return self.recorder.end(begun, answer if isinstance(answer, str) else "done")

    async def get_or_load(self, server: int, item: Item, rng: random.Random) -> None:
        """The value, or a load under a lease; loads are slow, late or fail, or the lease is asked for twice, now and
        then."""
        for _ in range(3):
            slow = rng.random() < 0.05
            leased = await self.lease(server, item, lease_ms=150 if slow else rng.choice((600, 2_000)), wait_ms=400)
            if leased.outcome == "granted":
                break
            if leased.outcome != "held":
                return
        else:
            return
        value = await self.load(item, 0.3 if slow else rng.random() * 0.03)
        if rng.random() < 0.1:
            await self.lease_copy(rng.randrange(self.servers), leased, item)
        if rng.random() < 0.04:
            await self.abandon(server, leased, item)
        else:
            options = {"ttl_ms": rng.randint(50, 800)} if rng.random() < 0.1 else {}
            await self.fill(rng.randrange(self.servers), leased, item, value, **options)

    async def close(self) -> None:
        """Close the channels."""
        for connection in self._connections.values():
            await connection.close()
        for channel in self._channels:
            await channel.close()


def _set_request(item: Item, value: Traced | None, **options: Any) -> pb.SetRequest:
    assert value is not None
    return pb.SetRequest(key=item.wire, value=value.encode(), extra_tags=dict(item.extra), **options)
