"""The `Store` port over one Redis/Valkey, Sentinel or a cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, TypeVar

from coherd_server.core.near.log import NAMES_PER_ENTRY, ChangeNotice
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
    ValueRead,
    Wake,
    WriteBasis,
)
from coherd_server.redis.answers import all_of, bytes_of, text_of
from coherd_server.redis.batch import Job, Moved
from coherd_server.redis.change_log import RedisChangeLog, log_name
from coherd_server.redis.fences import Fences, KeyFences, SharedFences
from coherd_server.redis.known_epochs import KnownEpochs, lifetime_to_ask_ms
from coherd_server.redis.listener import Listener
from coherd_server.redis.log_reader import LogReader
from coherd_server.redis.maintenance import Maintenance
from coherd_server.redis.recent_writes import RecentWrites
from coherd_server.redis.redis_url import RedisTarget
from coherd_server.redis.router import Done, LateRefusal
from coherd_server.redis.scripts import ENSURE_EPOCH, GRANT, HOLD, INVALIDATE, TOUCH, UNLINK_DEAD
from coherd_server.redis.settings import StoreSettings
from coherd_server.redis.topology import Topology

E = TypeVar("E", GrantOutcome, FillOutcome)
W = TypeVar("W", PutOutcome, FillOutcome)
FENCE_LIFETIMES: Final = 5
"""A fence outlives its write's deadline this many times."""


class RedisStore(Maintenance):
    """Implements `coherd_server.core.store.Store`; every name gets the deployment's prefix here and nowhere else."""

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
        self._recent_writes = recent_writes
        self._listener = Listener(target, topology, settings, prefix=prefix)
        reader = LogReader(target, topology, settings, log_name(prefix))
        self.log = RedisChangeLog(self._router, reader, self._listener, prefix=prefix, length=settings.log_length)
        """The log of changes beside the entries."""
        self._known_epochs = KnownEpochs()
        self._epoch_prefix = f"{prefix}coherd:epoch:"
        self._fences: Fences = (
            SharedFences(f"{prefix}coherd:fences")
            if topology.wide
            else KeyFences(f"{prefix}coherd:fence:", FENCE_LIFETIMES * settings.deadline_ms)
        )
        self._lease_prefix = f"{prefix}coherd:lease:{{"
        self._waiting_prefix = f"{prefix}coherd:waiting:{{"

    @property
    def one_primary(self) -> bool:
        """Whether all names are on one node at a time."""
        return self._topology.wide

    @property
    def is_crowded(self) -> bool:
        """See `Store.is_crowded`."""
        node = self._topology.node_for("") if self._topology.wide else None
        return node is not None and node.crowd.is_on

    def when_gathered(self, call: Callable[[], None]) -> None:
        """See `Store.when_gathered`."""
        node = self._topology.node_for("") if self._topology.wide else None
        if node is None:
            asyncio.get_running_loop().call_soon(call)
        else:
            node.crowd.when_gathered(call)

    async def read(self, keys: Sequence[str], tags: Sequence[str]) -> tuple[Sequence[ValueRead], Sequence[EpochRead]]:
        """See `Store.read`."""
        prefix, epoch_prefix = self._prefix, self._epoch_prefix
        key_names = [prefix + key for key in keys]
        tag_names = [epoch_prefix + tag for tag in tags]
        values = await self._router.read(key_names + tag_names)
        return [values[name] for name in key_names], [_epoch(values[name]) for name in tag_names]

    async def ensure_epochs(
        self, keys: Sequence[str], tags: Mapping[str, int]
    ) -> tuple[Sequence[WriteBasis], Mapping[str, EpochRead]]:
        """See `Store.ensure_epochs`. Ensuring twice is harmless: the second finds what the first made."""
        now_ms = int(time.monotonic() * 1000)
        known = {tag: kept for tag, need_ms in tags.items() if (kept := self._known_epochs.of(tag, now_ms + need_ms))}
        fences = self._fences.ask([self._prefix + key for key in keys])
        wanted = [tag for tag in tags if tag not in known]
        epochs: dict[str, EpochRead] = {}
        try:
            values, answers = await self._router.read_and_do(
                [self._epoch_prefix + tag for tag in known],
                fences + [self._ensure_epoch(tag, tags[tag]) for tag in wanted],
                repeat=True,
            )
            found = list(all_of(answers))
            for tag, kept in known.items():  # of another node nothing is known: it may have come back with less time
                read = values[self._epoch_prefix + tag]
                if (read.raw, read.identity) == kept:
                    epochs[tag] = kept
            lost = [tag for tag in known if tag not in epochs]
            ensured = zip(wanted, found[len(fences) :], strict=True)
            if lost:
                again = await self._router.do([self._ensure_epoch(tag, tags[tag]) for tag in lost], repeat=True)
                ensured = zip(wanted + lost, [*found[len(fences) :], *all_of(again)], strict=True)
        except StoreUnavailable as error:  # a fence or an epoch nobody carries changes nothing
            raise StoreUnavailable(str(error), full=error.full) from None
        for tag, done in ensured:
            epochs[tag] = EpochRead(bytes_of(done.answer)[1:], done.identity)
            self._known_epochs.note(tag, epochs[tag], now_ms + lifetime_to_ask_ms(tags[tag]))
        bases = [
            WriteBasis(done.identity, done.redis_now_ms, bytes_of(done.answer)[1:]) for done in found[: len(fences)]
        ]
        if bases and self._topology.wide:
            bases *= len(keys)
            if (node := self._topology.node_for("")) is not None:
                node.learn(bases[0].identity, bases[0].fencing_token)
        return bases, epochs

    def remembered(self, tags: Mapping[str, int]) -> tuple[WriteBasis, Mapping[str, EpochRead]] | None:
        """See `Store.remembered`."""
        node = self._topology.node_for("") if self._topology.wide else None
        basis = node.remembered() if node is not None else None
        if basis is None:
            return None
        now_ms = int(time.monotonic() * 1000)
        unknown = EpochRead(None, basis.identity)
        epochs: dict[str, EpochRead] = {}
        for tag, need_ms in tags.items():
            read = self._known_epochs.of(tag, now_ms + need_ms)
            epochs[tag] = read if read is not None and read.identity == basis.identity else unknown
        return basis, epochs

    def _ensure_epoch(self, tag: str, need_ms: int) -> Job:
        return Job(ENSURE_EPOCH, (self._epoch_prefix + tag,), (lifetime_to_ask_ms(need_ms),))

    async def read_leased(
        self, keys: Sequence[str], tags: Sequence[str]
    ) -> tuple[Sequence[ValueRead], Sequence[bytes | None], Sequence[EpochRead]]:
        """See `Store.read_leased`."""
        pairs = [self._names(key, "lease") for key in keys]
        tag_names = [self._epoch_prefix + tag for tag in tags]
        found = await self._router.read([name for pair in pairs for name in pair] + tag_names)
        values = [found[value] for value, _ in pairs]
        leases = [found[lease].raw for _, lease in pairs]
        return values, leases, [_epoch(found[name]) for name in tag_names]

    async def grant(self, grants: Sequence[Grant]) -> Sequence[GrantOutcome | StoreUnavailable]:
        """See `Store.grant`."""
        jobs = [
            Job(
                GRANT,
                self._names(one.key, "lease"),
                (
                    b"-" if one.judged_head is None else b"=" + one.judged_head,
                    one.judged_lease,
                    one.lease,
                    one.lease_ms,
                ),
                one.identity,
            )
            for one in grants
        ]
        return [
            _outcome(GrantOutcome, answer, GrantOutcome.CHANGED) for answer in await self._router.do(jobs, repeat=False)
        ]

    async def fill(
        self, fills: Sequence[Fill], notices: Collection[ChangeNotice] = ()
    ) -> Sequence[FillOutcome | Outdated | StoreUnavailable]:
        """See `Store.fill`."""
        jobs = [
            Job(
                self._fences.fill,
                names := self._names_to_write(one.key),
                (one.entry, one.lifetime_ms, one.lease, self._fences.places(names[0])),
                one.identity,
            )
            for one in fills
        ]
        again = [self._removal(one.key) for one in fills]
        values, answers = await self._do_noted(jobs, again, notices, names=self._unasked(fills))
        found: list[FillOutcome | Outdated | StoreUnavailable] = []
        for one, answer in zip(fills, answers, strict=True):
            outcome: FillOutcome | Outdated | StoreUnavailable = _outcome(FillOutcome, answer, FillOutcome.REJECTED)
            if outcome is FillOutcome.STORED:
                outcome = self._if_current(one, values, outcome)
            found.append(outcome)
        return found

    async def hold(self, key: str, holder: bytes, lease_ms: int) -> HoldOutcome:
        """See `Store.hold`."""
        job = Job(HOLD, self._names(key, "lease", "waiting"), (holder, lease_ms))
        [done] = all_of(await self._router.do([job], repeat=True))
        return HoldOutcome(text_of(done.answer))

    async def await_changes(self, key: str, wait_ms: int) -> None:
        """See `Store.await_changes`."""
        _, waiting = self._names(key, "waiting")
        for _ in all_of(
            await self._router.do([Job(None, (waiting,), ("SET", waiting, "1", "PX", wait_ms))], repeat=True)
        ):
            pass

    def on_wake(self, wake: Wake) -> None:
        """See `Store.on_wake`."""

        def heard(name: str, is_key: bool) -> None:
            if not is_key:
                self._known_epochs.forget(name)
            wake(name, is_key)

        self._listener.on_wake(heard)

    async def _do_noted(
        self,
        jobs: Sequence[Job],
        again: Sequence[Job],
        notices: Collection[ChangeNotice],
        *,
        repeat: bool = False,
        names: Sequence[str] = (),
    ) -> tuple[Mapping[str, ValueRead], Sequence[Done | StoreUnavailable]]:
        """Do jobs, beside reading names, and note how to repeat the jobs on a new primary: before, since a switch may
        come between the node's answer and its arrival here, and after, since the window begins with the
        acknowledgement [repeat-on-switch].

        On one primary the notices go behind them in the same batch. They are made good as soon as all that was
        done was done by the batch that carried them: what was repeated came later than they did.
        """
        self._recent_writes.note(again)
        riding = [one for one in notices if self._topology.wide and len(one.names) <= NAMES_PER_ENTRY]
        appends = [self.log.append_job(one.names, awaited=one.awaited) for one in riding]
        values, answers, _ = await self._router.fetch(names, [*jobs, *appends], repeat=repeat)
        self._recent_writes.note(again)
        changes = answers[: len(jobs)]
        batches = {done.batch for done in changes if isinstance(done, Done)}
        for one, appended in zip(riding, answers[len(jobs) :], strict=True):
            if isinstance(appended, Done) and batches <= {appended.batch}:
                one.appended = self.log.answer_of(appended)
        return values, changes

    def _removal(self, key: str) -> Job:
        names = self._names_to_write(key)
        return Job(self._fences.remove, names, (self._settings.tombstone_ms, self._fences.places(names[0])))

    async def put(
        self, puts: Sequence[Put], notices: Collection[ChangeNotice] = ()
    ) -> Sequence[PutOutcome | Outdated | StoreUnavailable]:
        """See `Store.put`. What the puts are stamped with unasked is read beside them."""
        jobs: list[Job] = []
        again: list[Job] = []
        put, remove, places_of = self._fences.put, self._fences.remove, self._fences.places
        for key, entry, lifetime_ms, identity, fence, replaces, _ in puts:
            names = self._names_to_write(key)
            places = places_of(names[0])
            condition = b"-" if replaces is None else b"=" + replaces
            jobs.append(Job(put, names, (entry, lifetime_ms, condition, fence, places), identity))
            again.append(Job(remove, names, (self._settings.tombstone_ms, places)))
        values, answers = await self._do_noted(jobs, again, notices, names=self._unasked(puts))
        found: list[PutOutcome | Outdated | StoreUnavailable] = []
        for one, answer in zip(puts, answers, strict=True):
            outcome: PutOutcome | Outdated | StoreUnavailable = _put_outcome(answer)
            if outcome is PutOutcome.STORED or outcome is PutOutcome.FENCED:
                outcome = self._if_current(one, values, outcome)
            found.append(outcome)
        return found

    def _unasked(self, writes: Sequence[Put | Fill]) -> list[str]:
        """Names of the epochs that writes carry from memory."""
        return [self._epoch_prefix + tag for tag in dict.fromkeys(tag for one in writes for tag in one.remembered)]

    def _if_current(
        self, write: Put | Fill, values: Mapping[str, ValueRead], outcome: W
    ) -> W | Outdated | StoreUnavailable:
        """The outcome, if the epochs that a write carries from memory are those read beside it."""
        current, epochs = True, {}
        for tag, epoch in write.remembered.items():
            read = values.get(self._epoch_prefix + tag)
            if read is None:
                return StoreUnavailable("no answer in time", outcome_unknown=True)
            epochs[tag] = _epoch(read)
            if epochs[tag] != (epoch, write.identity):
                self._known_epochs.forget(tag)
                current = False
        return outcome if current else Outdated(epochs)

    async def remove(
        self, keys: Mapping[str, int], notices: Collection[ChangeNotice] = ()
    ) -> Sequence[RemoveOutcome | StoreUnavailable]:
        """See `Store.remove`."""
        jobs = [self._removal(key)._replace(replicas=replicas) for key, replicas in keys.items()]
        return [
            answer if isinstance(answer, StoreUnavailable) else RemoveOutcome(text_of(answer.answer))
            for answer in (await self._do_noted(jobs, jobs, notices))[1]
        ]

    async def touch(self, key: str, header: bytes, new_header: bytes, lifetime_ms: int) -> TouchOutcome:
        """See `Store.touch`.

        Raises:
            ValueError: the headers differ in length, or are empty.
        """
        if not header or len(header) != len(new_header):
            raise ValueError("touch needs two headers of one length")
        job = Job(TOUCH, (self._prefix + key,), (header, new_header, lifetime_ms))
        [done] = all_of(await self._router.do([job], repeat=False))
        return TouchOutcome(text_of(done.answer))

    async def unlink_dead(self, items: Sequence[tuple[str, bytes]]) -> None:
        """See `Store.unlink_dead`; harmless to repeat, since the bytes are compared."""
        jobs = [Job(UNLINK_DEAD, (self._prefix + key,), (header,)) for key, header in items if header]
        for _ in all_of(await self._router.do(jobs, repeat=True)):
            pass

    async def invalidate(self, tags: Mapping[str, int], notices: Collection[ChangeNotice] = ()) -> None:
        """See `Store.invalidate`. Repeated with a new id where a connection was lost."""
        for tag in tags:
            self._known_epochs.forget(tag)
        keep_ms = self._settings.invalidated_epoch_ms
        jobs = [
            Job(INVALIDATE, (self._epoch_prefix + tag,), (keep_ms,), replicas=replicas)
            for tag, replicas in tags.items()
        ]
        _, answers = await self._do_noted(jobs, jobs, notices, repeat=True)
        failed = [answer for answer in answers if isinstance(answer, StoreUnavailable)]
        if failed:
            unknown = len(failed) < len(answers) or any(error.outcome_unknown for error in failed)
            raise StoreUnavailable(str(failed[0]), outcome_unknown=unknown)

    async def close(self) -> None:
        """See `Store.close`."""
        await self.log.close()
        await self._listener.close()
        await self._topology.close()

    def _names_to_write(self, key: str) -> tuple[str, str, str, str]:
        """The value's name, and those of its lease, its fence and what waits for it."""
        name = self._prefix + key
        return name, f"{self._lease_prefix}{name}}}", self._fences.name(name), f"{self._waiting_prefix}{name}}}"

    def _names(self, key: str, *kinds: str) -> tuple[str, ...]:
        """The value's name, and those beside it in its hash slot: ``coherd:<kind>:{<key>}``."""
        name = self._prefix + key
        return (name, *(f"{self._prefix}coherd:{kind}:{{{name}}}" for kind in kinds))


def _epoch(value: ValueRead) -> EpochRead:
    """Bytes of another length are no epoch (P4); they are replaced when they are ensured next."""
    raw = value.raw
    return tuple.__new__(EpochRead, (raw if raw is not None and len(raw) == EPOCH_BYTES else None, value.identity))


def _outcome(kind: type[E], answer: Done | StoreUnavailable, moved: E) -> E | StoreUnavailable:
    if isinstance(answer, StoreUnavailable):
        return answer
    return moved if isinstance(answer.answer, Moved) else kind(text_of(answer.answer))


def _put_outcome(answer: Done | StoreUnavailable) -> PutOutcome | StoreUnavailable:
    if isinstance(answer, StoreUnavailable):
        return PutOutcome.LATE if isinstance(answer, LateRefusal) else answer
    if isinstance(answer.answer, Moved):
        return PutOutcome.MOVED_IDENTITY
    outcome = _PUT_OUTCOMES.get(bytes_of(answer.answer))
    if outcome is None:
        raise TypeError("unexpected answer of a script")
    return outcome


_PUT_OUTCOMES: Final = {outcome.value.encode(): outcome for outcome in PutOutcome}
