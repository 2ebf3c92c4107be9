"""The `Store` port over one Redis/Valkey, Sentinel or a cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence

from coherd_server.adapters.batch import Job, Moved
from coherd_server.adapters.drive import Done, Driver, LateRefusal
from coherd_server.adapters.inspection import inspect_node
from coherd_server.adapters.redis_url import RedisTarget
from coherd_server.adapters.scripts import INVALIDATE, MINT, PUT, REMOVE, TOUCH, UNLINK_DEAD
from coherd_server.adapters.settings import StoreSettings
from coherd_server.adapters.topology import Topology
from coherd_server.domain.ports import (
    EPOCH_BYTES,
    EpochRead,
    Holder,
    NodeReport,
    Put,
    PutOutcome,
    RemoveOutcome,
    StoreUnavailable,
    TouchOutcome,
    ValueRead,
)


class RedisStore:
    """Implements `coherd_server.domain.ports.Store`; every name gets the deployment's prefix here and nowhere else."""

    def __init__(self, target: RedisTarget, topology: Topology, settings: StoreSettings, *, prefix: str) -> None:
        self._target = target
        self._topology = topology
        self._settings = settings
        self._driver = Driver(topology, settings)
        self._prefix = prefix
        self._epoch_prefix = f"{prefix}coherd:epoch:"
        self._lease_prefix = f"{prefix}coherd:lease:{{{prefix}"
        self._fence_prefix = f"{prefix}coherd:fence:{{{prefix}"
        self._counters_prefix = f"{prefix}coherd:counters:"

    async def read(self, keys: Sequence[str], tags: Sequence[str]) -> tuple[Sequence[ValueRead], Sequence[EpochRead]]:
        """See `Store.read`."""
        prefix, epoch_prefix = self._prefix, self._epoch_prefix
        key_names = [prefix + key for key in keys]
        tag_names = [epoch_prefix + tag for tag in tags]
        values = await self._driver.read(key_names + tag_names)
        return [values[name] for name in key_names], [_epoch(values[name]) for name in tag_names]

    async def mint(
        self, keys: Sequence[str], tags: Mapping[str, int]
    ) -> tuple[Sequence[Holder], Mapping[str, EpochRead]]:
        """See `Store.mint`. Minting twice is harmless: the second finds what the first made."""
        jobs = [Job(MINT, (self._epoch_prefix + tag,), (need_ms,)) for tag, need_ms in tags.items()]
        names = [f"{self._fence_prefix}{key}}}" for key in keys]
        fences, answers = await asyncio.gather(self._driver.read(names), self._driver.do(jobs, repeat=True))
        holders = [Holder(fences[name].identity, fences[name].redis_now_ms) for name in names]
        return holders, {
            tag: EpochRead(answer[1:], identity) for tag, (answer, identity) in zip(tags, _all(answers), strict=True)
        }

    async def put(self, puts: Sequence[Put]) -> Sequence[PutOutcome | StoreUnavailable]:
        """See `Store.put`."""
        jobs = [
            Job(
                PUT,
                self._value_and_lease(put.key),
                (put.entry, put.lifetime_ms, b"-" if put.replaces is None else b"=" + put.replaces),
                put.identity,
            )
            for put in puts
        ]
        return [_put_outcome(answer) for answer in await self._driver.do(jobs, repeat=False)]

    async def remove(self, keys: Sequence[str]) -> Sequence[RemoveOutcome | StoreUnavailable]:
        """See `Store.remove`."""
        tombstone_ms = self._settings.tombstone_ms
        jobs = [Job(REMOVE, self._value_and_lease(key), (tombstone_ms,)) for key in keys]
        return [
            answer if isinstance(answer, StoreUnavailable) else RemoveOutcome(_text(answer.answer))
            for answer in await self._driver.do(jobs, repeat=False)
        ]

    async def touch(self, key: str, header: bytes, new_header: bytes, lifetime_ms: int) -> TouchOutcome:
        """See `Store.touch`.

        Raises:
            ValueError: the headers differ in length, or are empty.
        """
        if not header or len(header) != len(new_header):
            raise ValueError("touch needs two headers of one length")
        job = Job(TOUCH, (self._prefix + key,), (header, new_header, lifetime_ms))
        [(answer, _)] = _all(await self._driver.do([job], repeat=False))
        return TouchOutcome(_text(answer))

    async def unlink_dead(self, items: Sequence[tuple[str, bytes]]) -> None:
        """See `Store.unlink_dead`; harmless to repeat, since the bytes are compared."""
        jobs = [Job(UNLINK_DEAD, (self._prefix + key,), (header,)) for key, header in items if header]
        for _ in _all(await self._driver.do(jobs, repeat=True)):
            pass

    async def invalidate(self, tags: Sequence[str]) -> None:
        """See `Store.invalidate`. Repeated with a new id where a connection was lost."""
        keep_ms = self._settings.invalidated_epoch_ms
        jobs = [Job(INVALIDATE, (self._epoch_prefix + tag,), (keep_ms,)) for tag in dict.fromkeys(tags)]
        answers = await self._driver.do(jobs, repeat=True)
        failed = [answer for answer in answers if isinstance(answer, StoreUnavailable)]
        if failed:
            unknown = len(failed) < len(answers) or any(error.outcome_unknown for error in failed)
            raise StoreUnavailable(str(failed[0]), outcome_unknown=unknown)

    async def count(self, increments: Mapping[str, Mapping[str, int]]) -> None:
        """See `Store.count`. Not repeated: a lost reply may cost or double increments, and is reported."""
        jobs = []
        for domain, counters in increments.items():
            name = self._counters_prefix + domain
            jobs += [Job(None, (name,), ("HINCRBY", name, counter, by)) for counter, by in counters.items()]
        for _ in _all(await self._driver.do(jobs, repeat=False)):
            pass

    async def counters(self, domains: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
        """See `Store.counters`."""
        names = [self._counters_prefix + domain for domain in domains]
        answers = await self._driver.do([Job(None, (name,), ("HGETALL", name)) for name in names], repeat=True)
        found: dict[str, dict[str, int]] = {}
        for domain, done in zip(domains, answers, strict=True):
            if isinstance(done, StoreUnavailable):
                raise done
            flat = done.answer if isinstance(done.answer, list) else []
            found[domain] = {_text(name): int(by) for name, by in zip(flat[::2], flat[1::2], strict=True)}
        return found

    async def ping(self) -> None:
        """See `Store.ping`; "lately" is two intervals of the one-second check."""
        end_s = time.monotonic() + self._settings.deadline_ms / 1000
        lately_s = 2 * self._settings.check_every_ms / 1000
        while True:
            links = self._topology.links()
            silent = [link for link in links if time.monotonic() - link.answered_at_s > lately_s]
            if links and not silent:
                return
            if time.monotonic() > end_s or any(link.is_refused for link in silent):
                raise StoreUnavailable(silent[0].trouble if silent else self._topology.trouble())
            await asyncio.sleep(0.01)

    async def inspect(self) -> Sequence[NodeReport]:
        """See `Store.inspect`; over connections of its own."""
        links = self._topology.links()
        if not links:
            raise StoreUnavailable(self._topology.trouble())
        cluster = not self._topology.wide
        return await asyncio.gather(
            *(inspect_node(self._target, link.address, self._settings, cluster=cluster) for link in links)
        )

    async def close(self) -> None:
        """See `Store.close`."""
        await self._topology.close()

    def _value_and_lease(self, key: str) -> tuple[str, str]:
        return self._prefix + key, self._lease_prefix + key + "}"


def _epoch(value: ValueRead) -> EpochRead:
    """Bytes of another length are no epoch (P4); the next mint replaces them."""
    raw = value.raw
    return EpochRead(raw if raw is not None and len(raw) == EPOCH_BYTES else None, value.identity)


def _put_outcome(answer: Done | StoreUnavailable) -> PutOutcome | StoreUnavailable:
    if isinstance(answer, StoreUnavailable):
        return PutOutcome.LATE if isinstance(answer, LateRefusal) else answer
    if isinstance(answer.answer, Moved):
        return PutOutcome.MOVED_IDENTITY
    return PutOutcome(_text(answer.answer))


def _text(answer: object) -> str:
    if not isinstance(answer, bytes):
        raise TypeError("unexpected answer of a script")
    return answer.decode()


def _all(answers: Sequence[Done | StoreUnavailable]) -> Iterator[tuple[bytes, bytes]]:
    """Answer and identity of each.

    Raises:
        StoreUnavailable: the first that has no answer.
    """
    for answer in answers:
        if isinstance(answer, StoreUnavailable):
            raise answer
        yield answer.answer if isinstance(answer.answer, bytes) else b"", answer.identity
