"""One attempt at sets: fencing tokens and stamps, asked for or remembered [remembered-then-verified], and the guarded
writes [late-write-fence]."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Mapping
from typing import Final, NamedTuple

from coherd.catalog.catalog import ResolvedKey
from coherd_server.core.entry import decode_header
from coherd_server.core.failure import FOREIGN_VALUE, UNAVAILABLE, Failure, failure_of
from coherd_server.core.get import Reader
from coherd_server.core.near.change_log import ChangeNotice
from coherd_server.core.near.publish import ChangePublisher, distinct
from coherd_server.core.set_plan import SetDone, SetPlan, needs_of
from coherd_server.core.store import Outdated, Put, PutOutcome, Store, StoreUnavailable, WriteBasis
from coherd_server.core.validity import ABSENT, State, Validity, expected_block

_NOTHING: Final[Mapping[str, bytes]] = {}


class EntryStamps(NamedTuple):
    """A block of stamps, and the identity of the key's node that goes with it."""

    identity: bytes
    block: bytes


class SetProgress:
    """What the attempts at one group of sets leave to the next, by the index of the set.

    Args:
        wanted: whether a set is still to be stored. Asked once more when its fence is known, before it is sent: a fence
            from after its caller gave up does not keep it from undoing what that caller has done since
            [given-up-is-not-written].
    """

    def __init__(self, wanted: Callable[[int], bool]) -> None:
        self.wanted = wanted
        self.stamps: dict[int, EntryStamps] = {}
        """Of the first attempt. A set that starts over because it was fenced keeps them: with newer ones it could
        outlive an invalidation that came after it began [start-time-stamps]."""
        self.told: dict[int, ChangeNotice] = {}
        """What near caches must be told, as of the last attempt that was sent."""
        self.fenced: dict[int, bytes] = {}
        """The fencing tokens of sets whose last attempt was fenced; not of those that look at what is there before."""
        self.begun: set[int] = set()
        """Sets of which something may be written already, though dead: a failure leaves the outcome unknown."""


class SetAttempt:
    """Makes attempts at sets over one store.

    Args:
        store: where entries live.
        reader: of the same store.
        publisher: tells near caches.
    """

    def __init__(self, store: Store, reader: Reader, publisher: ChangePublisher) -> None:
        self._store = store
        self._reader = reader
        self._publisher = publisher

    async def make(
        self,
        pending: Mapping[int, SetPlan],
        tried: Container[int],
        progress: SetProgress,
    ) -> dict[int, SetDone | Failure]:
        """Make one attempt at every pending set; those absent from the answer must be tried again.

        Args:
            pending: what to store, by index.
            tried: those that were tried before. The others need not ask where the store remembers their fencing token
                and stamps.
            progress: what earlier attempts left.
        """
        again = {index: plan for index, plan in pending.items() if index in tried}
        first = {index: plan for index, plan in pending.items() if index not in again} if again else pending
        puts = self._remembered(first)
        if again:
            puts |= self._fenced(again, progress)
        if not puts:
            return await self._ask_and_put(pending, progress)
        if len(puts) == len(pending):
            return await self._put(puts, pending, progress)
        asking = {index: plan for index, plan in pending.items() if index not in puts}
        answers = await asyncio.gather(self._put(puts, pending, progress), self._ask_and_put(asking, progress))
        return answers[0] | answers[1]

    def _remembered(self, pending: Mapping[int, SetPlan]) -> dict[int, Put]:
        """The puts that need no question: whose fencing token and stamps the store knows from what was asked before."""
        plans = {index: plan for index, plan in pending.items() if not plan.item.only_if_absent}
        known = self._store.remembered(needs_of(plans.values())) if plans else None
        if known is None:
            return {}
        basis, epochs = known
        stamps = {tag: epoch for tag, (epoch, _) in epochs.items() if epoch is not None}
        puts: dict[int, Put] = {}
        for index, plan in plans.items():
            block = expected_block(plan.item.key, plan.extra, basis.identity, epochs)
            if block is not None:
                puts[index] = _put_of(plan, basis, block, None, stamps)
        return puts

    def _fenced(self, pending: Mapping[int, SetPlan], progress: SetProgress) -> dict[int, Put]:
        """The puts of sets that were fenced, where the answer told another fencing token; they keep their stamps."""
        known = self._store.remembered({}) if progress.fenced else None
        if known is None:
            return {}
        basis, _ = known
        return {
            index: _put_of(plan, basis, progress.stamps[index].block, None)
            for index, plan in pending.items()
            if progress.fenced.pop(index, basis.fencing_token) != basis.fencing_token
            and progress.stamps[index].identity == basis.identity
        }

    async def _ask_and_put(self, pending: Mapping[int, SetPlan], progress: SetProgress) -> dict[int, SetDone | Failure]:
        """As `make`, after a question for fences and stamps."""
        needs = needs_of(pending.values())
        try:
            bases, epochs = await self._store.ensure_epochs([plan.item.key.text for plan in pending.values()], needs)
        except StoreUnavailable as error:
            if len(pending) == 1 or self._store.one_primary:
                return dict.fromkeys(pending, failure_of(error))
            return await self._ask_and_put_each(pending, progress)
        answers: dict[int, SetDone | Failure] = {}
        puts: dict[int, Put] = {}
        asked = [index for index, plan in pending.items() if plan.item.only_if_absent]
        validities = await asyncio.gather(*(self._present(pending[index].item.key) for index in asked)) if asked else ()
        present = dict(zip(asked, validities, strict=True))
        for (index, plan), basis in zip(pending.items(), bases, strict=True):
            replaces: bytes | None = None
            if index in present:
                validity = present[index]
                if isinstance(validity, Failure) or validity.state is State.FOREIGN:
                    answers[index] = validity if isinstance(validity, Failure) else FOREIGN_VALUE
                    continue
                if validity.state in (State.FRESH, State.LATER):  # it may be fresh to who can read it
                    answers[index] = SetDone(PutOutcome.PRESENT)
                    continue
                replaces = validity.head
            block = expected_block(plan.item.key, plan.extra, basis.identity, epochs)
            if block is None:
                raise AssertionError("ensure_epochs answered without an epoch")
            first = progress.stamps.setdefault(index, EntryStamps(basis.identity, block))
            if first.identity == basis.identity:
                block = first.block
            else:
                progress.stamps[index] = EntryStamps(basis.identity, block)
            if progress.wanted(index):
                puts[index] = _put_of(plan, basis, block, replaces)
        return answers | await self._put(puts, pending, progress) if puts else answers

    async def _put(
        self,
        puts: Mapping[int, Put],
        pending: Mapping[int, SetPlan],
        progress: SetProgress,
    ) -> dict[int, SetDone | Failure]:
        """As `make`, with all that is needed."""
        answers: dict[int, SetDone | Failure] = {}
        notices = self._publisher.of_keys([pending[index].item.key for index in puts])
        progress.told |= {index: notice for index, notice in zip(puts, notices, strict=True) if notice is not None}
        outcomes = await self._store.put(list(puts.values()), distinct(notices))
        for (index, put), outcome in zip(puts.items(), outcomes, strict=True):
            if outcome is PutOutcome.STORED:
                answers[index] = tuple.__new__(SetDone, (outcome, pending[index].ttl_ms))
                continue
            if outcome is PutOutcome.FENCED:
                if put.remembered:
                    progress.stamps[index] = EntryStamps(put.identity, decode_header(put.entry).block)
                if put.replaces is None:
                    progress.fenced[index] = put.fencing_token
            elif isinstance(outcome, Outdated):
                progress.begun.add(index)
                plan = pending[index]
                block = expected_block(plan.item.key, plan.extra, put.identity, outcome.epochs)
                if block is not None:
                    progress.stamps[index] = EntryStamps(put.identity, block)
            answer = _answer(outcome)
            if answer is not None:
                answers[index] = answer
        return answers

    async def _ask_and_put_each(
        self, pending: Mapping[int, SetPlan], progress: SetProgress
    ) -> dict[int, SetDone | Failure]:
        """One attempt per set, so that a node that is down fails only its own items."""
        parts = await asyncio.gather(*(self._ask_and_put({index: plan}, progress) for index, plan in pending.items()))
        return {index: answer for part in parts for index, answer in part.items()}

    async def _present(self, key: ResolvedKey) -> Validity | Failure:
        """The validity of a key, dead only by epochs read after the value [later-epochs]: a dead entry
        counts as absent [dead-is-absent]."""
        try:
            lookup = (await self._reader.find([key]))[0]
            if lookup.validity.state is State.INVALIDATED:
                again = (await self._reader.find([key]))[0]
                if again.validity.state is not State.INVALIDATED or again.validity.head == lookup.validity.head:
                    return again.validity
                return ABSENT
        except StoreUnavailable as error:
            return failure_of(error)
        return lookup.validity


def _put_of(
    plan: SetPlan,
    basis: WriteBasis,
    block: bytes,
    replaces: bytes | None,
    remembered: Mapping[str, bytes] = _NOTHING,
) -> Put:
    identity, now_ms, fencing_token = basis
    put = (
        plan.item.key.text,
        plan.entry(block, now_ms),
        plan.ttl_ms + plan.stale_ms,
        identity,
        fencing_token,
        replaces,
        remembered,
        plan.tags,
    )
    return tuple.__new__(Put, put)


def _answer(outcome: PutOutcome | Outdated | StoreUnavailable) -> SetDone | Failure | None:
    """What the caller of a set that was not stored is told; None where the set must start over."""
    if isinstance(outcome, StoreUnavailable):
        return failure_of(outcome)
    if isinstance(outcome, Outdated):
        return None
    match outcome:
        case PutOutcome.OLDER_VERSION:
            return SetDone(outcome)
        case PutOutcome.FOREIGN:
            return FOREIGN_VALUE
        case PutOutcome.LATE:
            return UNAVAILABLE
        case PutOutcome.STORED | PutOutcome.PRESENT | PutOutcome.FENCED | PutOutcome.MOVED_IDENTITY:
            return None
