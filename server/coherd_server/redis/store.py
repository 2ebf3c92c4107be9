"""The `Store` port over one Redis/Valkey, Sentinel or a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from coherd_server.core.near.change_log import ChangeNotice
from coherd_server.core.store import (
    EPOCH_BYTES,
    EpochRead,
    Fill,
    FillOutcome,
    Grant,
    GrantOutcome,
    HoldOutcome,
    Outdated,
    Put,
    PutOutcome,
    RemoveOutcome,
    StoreUnavailable,
    TouchOutcome,
    ValueColumns,
    ValueRead,
    Wake,
    WriteBasis,
)
from coherd_server.redis.change_log import RedisChangeLog
from coherd_server.redis.epochs import Epochs
from coherd_server.redis.fencing import fencing_of
from coherd_server.redis.jobs import Job, all_of, outcome_of, put_outcome_of, text_of
from coherd_server.redis.listener import Listener
from coherd_server.redis.log_reader import LogReader
from coherd_server.redis.maintenance import Maintenance
from coherd_server.redis.names import log_name
from coherd_server.redis.recent_writes import RecentWrites
from coherd_server.redis.redis_url import RedisTarget
from coherd_server.redis.scripts import GRANT, INVALIDATE, RENEW_LEASE, TOUCH, UNLINK_DEAD
from coherd_server.redis.settings import StoreSettings
from coherd_server.redis.topology import Topology
from coherd_server.redis.writes import Writes

_new: Final = tuple.__new__
"""Makes a named tuple without the call of its constructor."""


class RedisStore(Maintenance):
    """Implements `coherd_server.core.store.Store`."""

    def __init__(
        self,
        target: RedisTarget,
        topology: Topology,
        settings: StoreSettings,
        recent_writes: RecentWrites,
        *,
        prefix: str,
    ) -> None:
        super().__init__(target, topology, settings, prefix=prefix)
        self._listener = Listener(target, topology, settings, prefix=prefix)
        reader = LogReader(target, topology, settings, log_name(prefix))
        self.log = RedisChangeLog(self._router, reader, self._listener, prefix=prefix, length=settings.log_length)
        """The log of changes beside the entries."""
        one_primary, deadline_ms = topology.one_primary, settings.deadline_ms
        self._fencing = fencing_of(prefix, one_primary=one_primary, deadline_ms=deadline_ms)
        self._epochs = Epochs(self._router, topology, self._fencing, self._names)
        self._writes = Writes(self._router, topology, self.log, recent_writes, self._names.epoch_prefix)

    @property
    def one_primary(self) -> bool:
        """See `Store.one_primary`."""
        return self._topology.one_primary

    async def read(self, keys: Sequence[str], tags: Sequence[str]) -> tuple[Sequence[ValueRead], Sequence[EpochRead]]:
        """See `Store.read`."""
        columns, epochs = await self.read_columns(keys, tags)
        return list(map(ValueRead, *columns)), epochs

    async def read_columns(self, keys: Sequence[str], tags: Sequence[str]) -> tuple[ValueColumns, Sequence[EpochRead]]:
        """See `Store.read_columns`."""
        prefix, epoch_prefix = self._names.value_prefix, self._names.epoch_prefix
        names = [prefix + key for key in keys]
        names += [epoch_prefix + tag for tag in tags]
        raws, identities, now_ms = await self._values(names)
        end = len(keys)
        return ValueColumns(raws[:end], identities[:end], now_ms[:end]), _epochs(raws[end:], identities[end:])

    async def _values(self, names: Sequence[str]) -> ValueColumns:
        """What is stored under full names. There is nothing to route where all are on one primary, and that answers as
        it should.

        Raises:
            StoreUnavailable: some value could not be read by the deadline.
        """
        node = self._topology.only_node
        if node is None:
            values, _ = await self._router.fetch(names, repeat=True)
            return _columns_of(values, names)
        end_s = asyncio.get_running_loop().time() + self._settings.deadline_ms / 1000
        reads, _ = node.submit(names, ())
        if len(reads) == 1:
            [(_, batch)] = reads
            await batch.join()
            if batch.failure is None and not batch.errors:
                size = len(names)
                raws = list(map(batch.values.__getitem__, names))
                return ValueColumns(raws, [batch.identity] * size, [batch.redis_now_ms] * size)
        return _columns_of(await self._router.read_on(node, reads, end_s), names)

    async def ensure_epochs(
        self, keys: Sequence[str], tags: Mapping[str, int]
    ) -> tuple[Sequence[WriteBasis], Mapping[str, EpochRead]]:
        """See `Store.ensure_epochs`. Ensuring twice is harmless: the second finds what the first made."""
        return await self._epochs.ensure(keys, tags)

    def remembered(self, tags: Mapping[str, int]) -> tuple[WriteBasis, Mapping[str, EpochRead]] | None:
        """See `Store.remembered`."""
        return self._epochs.remembered(tags)

    async def put(
        self, puts: Sequence[Put], notices: Collection[ChangeNotice] = ()
    ) -> Sequence[PutOutcome | Outdated | StoreUnavailable]:
        """See `Store.put`. What the puts are stamped with unasked is read beside them."""
        script, numbers_of, names_of = self._fencing.put, self._fencing.numbers_of, self._names_to_write
        jobs: list[Job] = []
        basis: tuple[bytes, bytes | None] | None = None
        common: tuple[bytes, bytes] = (b"", b"")
        for key, entry, lifetime_ms, identity, fencing_token, replaces, _, _ in puts:
            if basis != (fencing_token, replaces):
                basis = (fencing_token, replaces)
                common = (fencing_token, b"-" if replaces is None else b"=" + replaces)
            names = names_of(key)
            jobs.append(_new(Job, (script, names, (numbers_of(names[0], lifetime_ms), entry), identity, 0, common)))
        values, answers = await self._writes.do(jobs, self._removal, notices, stamped=puts)
        stamps = _RememberedStamps(values, self._names.epoch_prefix, self._epochs.forget)
        outcomes: list[PutOutcome | Outdated | StoreUnavailable] = []
        for put, answer in zip(puts, answers, strict=True):
            outcome: PutOutcome | Outdated | StoreUnavailable = put_outcome_of(answer)
            if put.remembered and (outcome is PutOutcome.STORED or outcome is PutOutcome.FENCED):
                outcome = stamps.unless_current(put.remembered, put.tags, put.identity) or outcome
            outcomes.append(outcome)
        return outcomes

    async def remove(
        self, keys: Mapping[str, int], notices: Collection[ChangeNotice] = ()
    ) -> Sequence[RemoveOutcome | StoreUnavailable]:
        """See `Store.remove`."""
        prefix = self._names.value_prefix
        jobs = [self._removal(prefix + key, replicas) for key, replicas in keys.items()]
        _, answers = await self._writes.do(jobs, self._removal, notices)
        return [
            answer if isinstance(answer, StoreUnavailable) else RemoveOutcome(text_of(answer.answer))
            for answer in answers
        ]

    async def invalidate(self, tags: Mapping[str, int], notices: Collection[ChangeNotice] = ()) -> None:
        """See `Store.invalidate`. Repeated with a new id where a connection was lost."""
        for tag in tags:
            self._epochs.forget(tag)
        prefix = self._names.epoch_prefix
        jobs = [self._replacement(prefix + tag, replicas) for tag, replicas in tags.items()]
        _, answers = await self._writes.do(jobs, self._replacement, notices, repeat=True)
        failed = [answer for answer in answers if isinstance(answer, StoreUnavailable)]
        if failed:
            unknown = len(failed) < len(answers) or any(error.outcome_unknown for error in failed)
            raise StoreUnavailable(str(failed[0]), outcome_unknown=unknown, cause=failed[0].cause)

    async def touch(self, key: str, header: bytes, new_header: bytes, lifetime_ms: int) -> TouchOutcome:
        """See `Store.touch`.

        Raises:
            ValueError: the headers differ in length, or are empty.
        """
        if not header or len(header) != len(new_header):
            raise ValueError("touch needs two headers of one length")
        job = Job(TOUCH, (self._names.value_prefix + key,), (header, new_header, lifetime_ms))
        return TouchOutcome(text_of((await self._router.do(job, repeat=False)).answer))

    async def unlink_dead(self, items: Sequence[tuple[str, bytes]]) -> None:
        """See `Store.unlink_dead`; harmless to repeat, since the bytes are compared."""
        prefix = self._names.value_prefix
        jobs = [Job(UNLINK_DEAD, (prefix + key,), (header,)) for key, header in items if header]
        all_of((await self._router.fetch((), jobs, repeat=True))[1])

    # Leases.

    async def read_leased(
        self, keys: Sequence[str], tags: Sequence[str]
    ) -> tuple[Sequence[ValueRead], Sequence[bytes | None], Sequence[EpochRead]]:
        """See `Store.read_leased`."""
        names = [name for key in keys for name in self._names.value_and_lease(key)]
        end = len(names)
        names += [self._names.epoch_prefix + tag for tag in tags]
        raws, identities, now_ms = await self._values(names)
        values = list(map(ValueRead, raws[:end:2], identities[:end:2], now_ms[:end:2]))
        return values, raws[1:end:2], _epochs(raws[end:], identities[end:])

    async def grant(self, grants: Sequence[Grant]) -> Sequence[GrantOutcome | StoreUnavailable]:
        """See `Store.grant`."""
        jobs: list[Job] = []
        for key, judged_head, judged_lease, lease, lease_ms, identity in grants:
            judged = b"-" if judged_head is None else b"=" + judged_head
            args = (judged, judged_lease, lease, lease_ms)
            jobs.append(Job(GRANT, self._names.value_and_lease(key), args, identity))
        _, answers = await self._router.fetch((), jobs, repeat=False)
        return [outcome_of(GrantOutcome, answer, GrantOutcome.CHANGED) for answer in answers]

    async def fill(
        self, fills: Sequence[Fill], notices: Collection[ChangeNotice] = ()
    ) -> Sequence[FillOutcome | Outdated | StoreUnavailable]:
        """See `Store.fill`."""
        jobs: list[Job] = []
        script, numbers_of = self._fencing.fill, self._fencing.numbers_of
        for key, entry, lifetime_ms, lease, identity, _, _ in fills:
            names = self._names_to_write(key)
            jobs.append(Job(script, names, (numbers_of(names[0], lifetime_ms), entry, lease), identity))
        values, answers = await self._writes.do(jobs, self._removal, notices, stamped=fills)
        stamps = _RememberedStamps(values, self._names.epoch_prefix, self._epochs.forget)
        outcomes: list[FillOutcome | Outdated | StoreUnavailable] = []
        for fill, answer in zip(fills, answers, strict=True):
            outcome: FillOutcome | Outdated | StoreUnavailable = outcome_of(FillOutcome, answer, FillOutcome.REJECTED)
            if outcome is FillOutcome.STORED:
                outcome = stamps.unless_current(fill.remembered, fill.tags, fill.identity) or outcome
            outcomes.append(outcome)
        return outcomes

    async def hold(self, key: str, holder: bytes, lease_ms: int) -> HoldOutcome:
        """See `Store.hold`."""
        job = Job(RENEW_LEASE, (*self._names.value_and_lease(key), self._names.waiting(key)), (holder, lease_ms))
        return HoldOutcome(text_of((await self._router.do(job, repeat=True)).answer))

    async def await_changes(self, key: str, wait_ms: int) -> None:
        """See `Store.await_changes`."""
        waiting = self._names.waiting(key)
        await self._router.do(Job(None, (waiting,), ("SET", waiting, "1", "PX", wait_ms)), repeat=True)

    def on_wake(self, wake: Wake) -> None:
        """See `Store.on_wake`."""

        def heard(name: str, is_key: bool) -> None:
            if not is_key:
                self._epochs.forget(name)
            wake(name, is_key)

        self._listener.on_wake(heard)

    async def close(self) -> None:
        """See `Store.close`."""
        await self.log.close()
        await self._listener.close()
        await self._topology.close()

    def _names_to_write(self, key: str) -> tuple[str, str, str, str]:
        """The value's name, and those of its lease, what waits for it and its fence."""
        value, lease, waiting = self._names.of_key(key)
        return value, lease, waiting, self._fencing.name_of(value)

    def _removal(self, name: str, replicas: int = 0) -> Job:
        """The job that removes a value, by its full name."""
        numbers = self._fencing.numbers_of(name, self._settings.tombstone_ms)
        names = self._names_to_write(name.removeprefix(self._names.value_prefix))
        return Job(self._fencing.remove, names, (numbers,), replicas=replicas)

    def _replacement(self, name: str, replicas: int = 0) -> Job:
        """The job that replaces an epoch, by its full name."""
        return Job(INVALIDATE, (name,), (self._settings.invalidated_epoch_ms,), replicas=replicas)


def _columns_of(values: Mapping[str, ValueRead], names: Sequence[str]) -> ValueColumns:
    """What was read under these names."""
    reads = [values[name] for name in names]
    return ValueColumns(
        [read.raw for read in reads], [read.identity for read in reads], [read.redis_now_ms for read in reads]
    )


def _epochs(raws: Sequence[bytes | None], identities: Sequence[bytes]) -> list[EpochRead]:
    """What was read as epochs. Bytes of another length are none (P4); they are replaced when it is ensured next."""
    return [
        _new(EpochRead, (raw if raw is not None and len(raw) == EPOCH_BYTES else None, identity))
        for raw, identity in zip(raws, identities, strict=True)
    ]


class _RememberedStamps:
    """Whether the epochs that writes carried from memory are those that were read beside them
    [remembered-then-verified].

    Args:
        values: what was read, by full name.
        prefix: an epoch's full name is this and its tag.
        forget: told each tag whose epoch was another one.
    """

    def __init__(self, values: Mapping[str, ValueRead], prefix: str, forget: Callable[[str], None]) -> None:
        self._values = values
        self._prefix = prefix
        self._forget = forget
        self._wrong: dict[tuple[int, bytes], frozenset[str]] = {}
        """Of each mapping and node the tags whose epochs are not known to be as remembered; nearly always empty."""

    def unless_current(
        self, remembered: Mapping[str, bytes], tags: Sequence[str], identity: bytes
    ) -> Outdated | StoreUnavailable | None:
        """What became of a write that was stamped with remembered epochs; None where all of them are current.

        Args:
            remembered: the epochs, by tag; not altered while this lives.
            tags: which of them; empty: all.
            identity: of the node that the write was stamped for.
        """
        wrong = self._wrong.get((id(remembered), identity))
        if wrong is None:
            wrong = self._wrong[id(remembered), identity] = self._wrong_of(remembered, identity)
        if not wrong:
            return None
        stamped = tags or tuple(remembered)
        if wrong.isdisjoint(stamped):
            return None
        names = [self._prefix + tag for tag in stamped]
        if any(name not in self._values for name in names):
            return StoreUnavailable("no answer in time", outcome_unknown=True)
        raws, identities, _ = _columns_of(self._values, names)
        return Outdated(dict(zip(stamped, _epochs(raws, identities), strict=True)))

    def _wrong_of(self, remembered: Mapping[str, bytes], identity: bytes) -> frozenset[str]:
        wrong: list[str] = []
        for tag, epoch in remembered.items():
            read = self._values.get(self._prefix + tag)
            if read is None or read.raw != epoch or read.identity != identity:
                wrong.append(tag)
                if read is not None:
                    self._forget(tag)
        return frozenset(wrong)
