"""Bring names and jobs to the nodes that hold them, and again where a node says so, until the deadline.

Repeated are: what was not sent; reads, ensured epochs and invalidations whose connection was lost; and commands a node
refused without doing them (MOVED, ASK, TRYAGAIN, CLUSTERDOWN, NOSCRIPT, READONLY). A write that may have been done is
never repeated [no-blind-replay]. A fresh epoch is made anew each time (`Batch.pack`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from coherd_server.core.store import StoreUnavailable, ValueRead
from coherd_server.redis.batch import Batch
from coherd_server.redis.causes import CAUSES
from coherd_server.redis.jobs import Done, Job, LateError, Moved, refusal
from coherd_server.redis.node import JobPart, Node, ReadPart
from coherd_server.redis.redis_py import Reply
from coherd_server.redis.settings import StoreSettings
from coherd_server.redis.topology import Topology

PAUSE_S: Final = 0.02
"""Before a repetition, except after a first MOVED or ASK."""
SLACK_S: Final = 0.05
"""A batch ends by the deadline on its own; this is for the scheduling of its answer."""
_AGAIN: Final = (AskError, TryAgainError, ClusterDownError, NoScriptError, ReadOnlyError)
Fetched = tuple[dict[str, ValueRead], list[Done | StoreUnavailable]]
"""Values by name, and per job its answer or why there is none."""


class _Item:
    """One name to read, or one job, on its way."""

    __slots__ = ("answer", "asked", "elsewhere", "error", "job", "maybe_done", "name", "under_way")

    def __init__(self, name: str, job: Job | None) -> None:
        self.name = name
        self.job = job
        self.answer: ValueRead | Done | None = None
        self.error: StoreUnavailable | None = None
        self.maybe_done = False
        """Some attempt reached a node, as far as is known."""
        self.asked: Node | None = None
        """Where an ASK reply sends it, once."""
        self.elsewhere: Done | None = None
        """The answer of its node, which has not the identity that it is for, while the node with that one is asked."""
        self.under_way: tuple[Batch, str | int] | None = None
        """The batch that is to bring its answer, and where in it."""


def _item_of(job: Job) -> _Item:
    return _Item(job.keys[0], job)


class Router:
    """Brings names and jobs to the nodes of one topology."""

    def __init__(self, topology: Topology, settings: StoreSettings) -> None:
        self._topology = topology
        self._deadline_s = settings.deadline_ms / 1000

    async def fetch(
        self, names: Sequence[str], jobs: Sequence[Job] = (), *, repeat: bool, partial: bool = False
    ) -> Fetched:
        """Read names and do jobs at one time: where all is on one primary they share a round trip.

        Args:
            names: full names of values.
            jobs: what to do, in this order on each node.
            repeat: doing a job twice is harmless, so a lost connection is no reason to give up. Reads always are.
            partial: values that cannot be read are left out.

        Raises:
            StoreUnavailable: some value could not be read by the deadline.
        """
        end_s = asyncio.get_running_loop().time() + self._deadline_s
        node = self._topology.only_node
        if node is None:
            items = [_Item(name, None) for name in dict.fromkeys(names)] + [_item_of(job) for job in jobs]
            await self._route(items, end_s, repeat=repeat)
            return _results(items, partial)
        reads, writes = node.submit(names, jobs)
        values: dict[str, ValueRead] = {}
        answers: list[Done | StoreUnavailable] = []
        whole, new = True, tuple.__new__
        for part, batch in reads:
            if not batch.is_done:
                await batch.join()  # ends by the deadline on its own
            whole = whole and batch.failure is None and not batch.errors
            values.update(batch.reads(part))
        for places, batch in writes:
            if not batch.is_done:
                await batch.join()
            if batch.failure is not None:
                whole = False
                continue
            replies, identity, now_ms, number = batch.answers, batch.identity, batch.redis_now_ms, batch.number
            for place in places:
                answer = replies[place]
                whole = whole and not isinstance(answer, ResponseError)
                answers.append(new(Done, (answer, identity, now_ms, number)))
        if whole:
            return values, answers
        items = await self._go_on(node, [*reads, *writes], jobs, end_s, repeat=repeat)
        return _results(items, partial)

    async def read_on(self, node: Node, reads: Sequence[ReadPart], end_s: float) -> dict[str, ValueRead]:
        """The values that a node was already asked for, and asked for again where it did not go well.

        Args:
            node: that all names are on.
            reads: which batches are to bring them.
            end_s: when the loop's clock ends it.

        Raises:
            StoreUnavailable: some value could not be read by then.
        """
        values: dict[str, ValueRead] = {}
        for part, batch in reads:
            await batch.join()
            values.update(batch.reads(part))
        if all(batch.failure is None and not batch.errors for _, batch in reads):
            return values
        return _results(await self._go_on(node, reads, (), end_s, repeat=True), partial=False)[0]

    async def do(self, job: Job, *, repeat: bool) -> Done:
        """Do one job; ``repeat`` as of `fetch`.

        Raises:
            StoreUnavailable: no answer.
        """
        _, [answer] = await self.fetch((), (job,), repeat=repeat)
        if isinstance(answer, StoreUnavailable):
            raise answer
        return answer

    async def do_on(self, node: Node, job: Job) -> Done:
        """Do a job that belongs to one primary, not to a name.

        Raises:
            StoreUnavailable: no answer.
        """
        _, [((place,), batch)] = node.submit((), (job,))
        await batch.join()
        if batch.failure is not None:
            raise StoreUnavailable(batch.failure.text, cause=batch.failure.cause)
        answer = batch.answers[place]
        if isinstance(answer, ResponseError):
            raise refusal(answer)
        return Done(answer, batch.identity, batch.redis_now_ms, batch.number)

    async def _go_on(
        self, node: Node, parts: Sequence[ReadPart | JobPart], jobs: Sequence[Job], end_s: float, *, repeat: bool
    ) -> list[_Item]:
        """Repeat what may be repeated of a first round that did not go well everywhere."""
        await asyncio.sleep(0)  # known to be down: a caller that tries on and on must not starve the loop
        jobs_left = iter(jobs)
        items: list[_Item] = []
        again: list[_Item] = []
        for places, batch in parts:
            for place in places:
                item = _Item(place, None) if isinstance(place, str) else _item_of(next(jobs_left))
                items.append(item)
                if self._again(item, place, batch, node, repeat=repeat or item.job is None):
                    again.append(item)
        if again:
            await asyncio.sleep(PAUSE_S)
            await self._route(again, end_s, repeat=repeat)
        return items

    async def _route(self, items: Sequence[_Item], end_s: float, *, repeat: bool) -> None:
        """Send items, each where it belongs, until all have answers or the time is over."""
        loop = asyncio.get_running_loop()
        left = items
        first = True
        try:
            async with asyncio.timeout_at(end_s + SLACK_S):
                while left:
                    again = await self._round(left, repeat=repeat)
                    if again and loop.time() + PAUSE_S >= end_s:
                        return
                    if again and not (first and any(isinstance(item.error, _Redirected) for item in again)):
                        await asyncio.sleep(PAUSE_S)
                    left, first = again, False
        except TimeoutError:
            for item in items:
                if item.under_way is not None:
                    batch, place = item.under_way
                    unsent = isinstance(place, int) and not repeat and batch.withdraw(place)
                    maybe_done = item.job is not None and (item.maybe_done or not unsent)
                    item.error = StoreUnavailable("no answer in time", outcome_unknown=maybe_done)

    async def _round(self, items: Sequence[_Item], *, repeat: bool) -> list[_Item]:
        """Send every item once; those to send again."""
        groups: dict[tuple[Node, bool], list[_Item]] = {}
        again: list[_Item] = []
        for item in items:
            node = item.asked or self._topology.node_for(item.name)
            if node is None:
                item.error = StoreUnavailable(self._topology.trouble(), cause=self._topology.cause)
                again.append(item)
            else:
                groups.setdefault((node, item.asked is not None), []).append(item)
                item.asked = None
        if again:
            self._topology.refresh()
        waiting: list[tuple[Node, list[tuple[_Item, str | int]], Batch, asyncio.Future[Batch]]] = []
        for (node, asking), group in groups.items():
            reading = [item for item in group if item.job is None]
            doing = [item for item in group if item.job is not None]
            jobs = [item.job for item in doing if item.job is not None]
            reads, writes = node.submit([item.name for item in reading], jobs, asking=asking)
            sent = iter([*reading, *doing])
            parts: list[ReadPart | JobPart] = [*reads, *writes]
            for places, batch in parts:
                members = [(next(sent), place) for place in places]
                for item, place in members:
                    item.under_way = (batch, place)
                waiting.append((node, members, batch, batch.join()))
        for node, members, batch, future in waiting:
            await future
            if batch.failure is not None and batch.failure.final:
                await asyncio.sleep(0)  # known to be down: a caller that tries on and on must not starve the loop
            for item, place in members:
                item.under_way = None
                if self._again(item, place, batch, node, repeat=repeat or item.job is None):
                    again.append(item)
        return again

    def _again(self, item: _Item, place: str | int, batch: Batch, node: Node, *, repeat: bool) -> bool:
        """Take the answer to an item, or note the error; True when it is to be sent again."""
        failure = batch.failure
        if failure is not None:
            item.maybe_done = item.maybe_done or failure.sent
            unknown = item.maybe_done and item.job is not None
            item.error = StoreUnavailable(failure.text, outcome_unknown=unknown, cause=failure.cause)
            return not failure.final and (repeat or not failure.sent)
        answer: Reply | ValueRead
        if isinstance(place, int):
            answer = batch.answers[place]
        else:
            answer = batch.errors.get(place) or batch.reads((place,))[place]
        if item.elsewhere is not None and isinstance(answer, MovedError):
            item.answer = item.elsewhere  # the slot is not on its way to that node, as it may have been
            return False
        if isinstance(answer, ResponseError):
            item.error = refusal(answer)
            if item.job is None:  # a read changes nothing, whatever it failed of
                item.error = StoreUnavailable(str(item.error), cause=item.error.cause)
            if isinstance(answer, AskError):
                item.error = _Redirected(str(item.error))
                item.asked = self._topology.redirect(answer, node)
            elif isinstance(answer, ClusterDownError):
                self._topology.refresh()
            return isinstance(answer, _AGAIN) or (repeat and isinstance(answer, LateError))
        if isinstance(answer, ValueRead):
            item.answer = answer
            return False
        done = Done(answer, batch.identity, batch.redis_now_ms, batch.number)
        if isinstance(answer, Moved) and item.job is not None and item.job.identity is not None:
            item.asked = self._topology.importing(item.name, node, item.job.identity)
            if item.asked is not None:
                item.elsewhere, item.error = done, StoreUnavailable("TRYAGAIN", cause=CAUSES["TRYAGAIN"].text)
                return True
        item.answer = done
        return False


def _results(items: Sequence[_Item], partial: bool) -> Fetched:
    """Raises:
    StoreUnavailable: a value could not be read; not with ``partial``.
    """
    values: dict[str, ValueRead] = {}
    answers: list[Done | StoreUnavailable] = []
    for item in items:
        if isinstance(item.answer, ValueRead):
            values[item.name] = item.answer
        elif isinstance(item.answer, Done):
            answers.append(item.answer)
        elif item.job is not None:
            answers.append(item.error or StoreUnavailable("no answer in time"))
        elif not partial:
            raise item.error or StoreUnavailable("no answer in time")
    return values, answers


class _Redirected(StoreUnavailable):
    """Only the node was wrong."""
