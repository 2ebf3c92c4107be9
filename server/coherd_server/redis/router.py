"""Bring names and jobs to the nodes that hold them, and again where a node says so, until the deadline.

Repeated are: what was not sent; reads, ensured epochs and invalidations whose connection was lost; and commands a node
refused without doing them (MOVED, ASK, TRYAGAIN, CLUSTERDOWN, NOSCRIPT, READONLY). A write that may have been done is
never repeated [no-blind-replay]. A fresh epoch is made anew each time (`Batch.pack`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple, cast

from redis.exceptions import (
    AskError,
    ClusterDownError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from coherd_server.core.store import StoreUnavailable, ValueRead
from coherd_server.redis.batch import Batch, Job, LateError, UnconfirmedError
from coherd_server.redis.connection import Reply, error_code
from coherd_server.redis.node import Node
from coherd_server.redis.settings import StoreSettings
from coherd_server.redis.topology import Topology

PAUSE_S: Final = 0.02
"""Before a repetition, except after a first MOVED or ASK."""
SLACK_S: Final = 0.05
"""A batch ends by the deadline on its own; this is for the scheduling of its answer."""
NOT_EXECUTED: Final = frozenset(
    {"NOSCRIPT", "MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "READONLY", "OOM", "LOADING", "MASTERDOWN", "MISCONF"}
    | {"NOAUTH", "NOPERM", "BUSY"}
)
"""Codes of errors that come before a command's first write. A script that fails otherwise may have written (P6)."""
_AGAIN: Final = (AskError, TryAgainError, ClusterDownError, NoScriptError, ReadOnlyError)


class Done(NamedTuple):
    """Answer to a job, and what is known of the node behind the connection that carried it."""

    answer: Reply
    """bytes or another reply, or `Moved`; never an error."""
    identity: bytes
    redis_now_ms: int
    """That node's own clock when the reply arrived, unix milliseconds."""
    batch: int
    """`Batch.number` of the batch that carried it."""


def refusal(error: ResponseError) -> StoreUnavailable:
    """A command that a node refused, told without keys and values."""
    if isinstance(error, OutOfMemoryError):
        return StoreUnavailable("the node is full: maxmemory is reached and maxmemory-policy evicts nothing", full=True)
    if isinstance(error, UnconfirmedError):
        return StoreUnavailable("fewer replicas than the domain asks for have confirmed it", outcome_unknown=True)
    if isinstance(error, LateError):
        return LateRefusal("the command reached its node after its deadline and did nothing")
    code = error_code(error)
    hint = " (what this user may do, and below which key prefix: docs/operate/security.md)" if code == "NOPERM" else ""
    return StoreUnavailable(f"the node refused the command: {code}{hint}", outcome_unknown=code not in NOT_EXECUTED)


class LateRefusal(StoreUnavailable):
    """The command was void when it arrived [node-time-deadline]."""


class Fetched(NamedTuple):
    """What came of names and jobs."""

    values: dict[str, ValueRead]
    """By name, those that could be read."""
    answers: list[Done | StoreUnavailable]
    """Per job."""
    missing: StoreUnavailable | None = None
    """Why some name could not be read."""


class _Item:
    """One name to read, or one job, on its way."""

    __slots__ = ("answer", "asked", "error", "job", "maybe_done", "name", "under_way")

    def __init__(self, name: str, job: Job | None) -> None:
        self.name = name
        self.job = job
        self.answer: ValueRead | Done | None = None
        self.error: StoreUnavailable | None = None
        self.maybe_done = False
        """Some attempt reached a node, as far as is known."""
        self.asked: Node | None = None
        """Where an ASK reply sends it, once."""
        self.under_way: tuple[Batch, str | int] | None = None
        """The batch that is to bring its answer, and where in it."""


def _item_of(job: Job) -> _Item:
    return _Item(job.keys[0], job)


class Router:
    """Routing and repetition over one topology."""

    def __init__(self, topology: Topology, settings: StoreSettings) -> None:
        self._topology = topology
        self._deadline_s = settings.deadline_ms / 1000

    async def read(self, names: Sequence[str]) -> dict[str, ValueRead]:
        """The values under full key names.

        Raises:
            StoreUnavailable: some value could not be read by the deadline.
        """
        return (await self.read_and_do(names, (), repeat=True))[0]

    async def do(self, jobs: Sequence[Job], *, repeat: bool) -> list[Done | StoreUnavailable]:
        """Do jobs; per job its answer or why there is none.

        ``repeat``: doing one twice is harmless, so a lost connection is no reason to give up.
        """
        return (await self.fetch((), jobs, repeat=repeat)).answers

    async def read_and_do(
        self, names: Sequence[str], jobs: Sequence[Job], *, repeat: bool
    ) -> tuple[dict[str, ValueRead], list[Done | StoreUnavailable]]:
        """As `fetch`.

        Raises:
            StoreUnavailable: some value could not be read by the deadline.
        """
        fetched = await self.fetch(names, jobs, repeat=repeat)
        if fetched.missing is not None:
            raise fetched.missing
        return fetched.values, fetched.answers

    async def fetch(self, names: Sequence[str], jobs: Sequence[Job], *, repeat: bool) -> Fetched:
        """Read names and do jobs at one time: on one primary they share a round trip. Arguments as of `do`."""
        end_s = asyncio.get_running_loop().time() + self._deadline_s
        node = self._topology.node_for("") if self._topology.wide else None
        if node is None:
            items = [_Item(name, None) for name in dict.fromkeys(names)] + [_item_of(job) for job in jobs]
            await self._route(items, end_s, repeat=repeat)
            return _results(items)
        read = node.read(names) if names else ()
        done = node.submit(jobs) if jobs else ()
        values: dict[str, ValueRead] = read[0][1].values if len(read) == 1 else {}
        answers: list[Done | StoreUnavailable] = []
        whole = True
        for _, batch in read:
            if not batch.is_done:
                await batch.join()  # ends by the deadline on its own
            whole = whole and batch.failure is None and not batch.errors
            if batch.values is not values:
                values.update(batch.values)
        for places, batch in done:
            if not batch.is_done:
                await batch.join()
            if batch.failure is not None:
                whole = False
                continue
            found, identity, now_ms, number = batch.answers, batch.identity, batch.redis_now_ms, batch.number
            for place in places:
                answer = found[place]
                whole = whole and not isinstance(answer, ResponseError)
                answers.append(Done(answer, identity, now_ms, number))
        if whole:
            return Fetched(values, answers)
        return await self._go_on(node, read, done, jobs, end_s, repeat=repeat)

    async def _go_on(
        self,
        node: Node,
        read: Sequence[tuple[Sequence[str], Batch]],
        done: Sequence[tuple[Sequence[int], Batch]],
        jobs: Sequence[Job],
        end_s: float,
        *,
        repeat: bool,
    ) -> Fetched:
        """Repeat what may be repeated of a first round that did not go well everywhere."""
        await asyncio.sleep(0)  # known to be down: a caller that tries on and on must not starve the loop
        left = iter(jobs)
        items: list[_Item] = []
        again: list[_Item] = []
        parts: list[tuple[Sequence[str | int], Batch]] = [*read, *done]
        for marks, batch in parts:
            for mark in marks:
                item = _Item(mark, None) if isinstance(mark, str) else _item_of(next(left))
                items.append(item)
                if self._again(item, mark, batch, node, repeat=repeat or item.job is None):
                    again.append(item)
        if again:
            await asyncio.sleep(PAUSE_S)
            await self._route(again, end_s, repeat=repeat)
        return _results(items)

    async def do_on(self, node: Node, job: Job) -> Done:
        """Do a job that belongs to one primary, not to a name.

        Raises:
            StoreUnavailable: no answer.
        """
        [((place,), batch)] = node.submit([job])
        await batch.join()
        if batch.failure is not None:
            raise StoreUnavailable(batch.failure.text)
        answer = batch.answers[place]
        if isinstance(answer, ResponseError):
            raise refusal(answer)
        return Done(answer, batch.identity, batch.redis_now_ms, batch.number)

    async def _route(self, items: Sequence[_Item], end_s: float, *, repeat: bool) -> None:
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
                    batch, mark = item.under_way
                    unsent = isinstance(mark, int) and not repeat and batch.withdraw(mark)
                    maybe_done = item.job is not None and (item.maybe_done or not unsent)
                    item.error = StoreUnavailable("no answer in time", outcome_unknown=maybe_done)

    async def _round(self, items: Sequence[_Item], *, repeat: bool) -> list[_Item]:
        """Send every item once; those to send again."""
        groups: dict[tuple[Node, bool, bool], list[_Item]] = {}
        again: list[_Item] = []
        for item in items:
            node = item.asked or self._topology.node_for(item.name)
            if node is None:
                item.error = StoreUnavailable(self._topology.trouble())
                again.append(item)
            else:
                groups.setdefault((node, item.asked is not None, item.job is None), []).append(item)
                item.asked = None
        if again:
            self._topology.refresh()
        waiting: list[tuple[Node, Sequence[_Item], Batch, asyncio.Future[Batch]]] = []
        for (node, asking, _), group in groups.items():
            at = 0
            for marks, batch in _send(node, group, asking):
                members = group[at : at + len(marks)]
                for item, mark in zip(members, marks, strict=True):
                    item.under_way = (batch, mark)
                waiting.append((node, members, batch, batch.join()))
                at += len(marks)
        for node, part, batch, future in waiting:
            await future
            if batch.failure is not None and batch.failure.final:
                await asyncio.sleep(0)  # known to be down: a caller that tries on and on must not starve the loop
            for item in part:
                _, mark = cast(tuple[Batch, str | int], item.under_way)
                item.under_way = None
                if self._again(item, mark, batch, node, repeat=repeat or item.job is None):
                    again.append(item)
        return again

    def _again(self, item: _Item, mark: str | int, batch: Batch, node: Node, *, repeat: bool) -> bool:
        """Take the answer to an item, or note the error; True when it is to be sent again."""
        failure = batch.failure
        if failure is not None:
            item.maybe_done = item.maybe_done or failure.sent
            item.error = StoreUnavailable(failure.text, outcome_unknown=item.maybe_done and item.job is not None)
            return not failure.final and (repeat or not failure.sent)
        answer = batch.answers[mark] if isinstance(mark, int) else batch.errors.get(mark) or batch.values[mark]
        if isinstance(answer, ResponseError):
            item.error = refusal(answer)
            if item.job is None:  # a read changes nothing, whatever it failed of
                item.error = StoreUnavailable(str(item.error))
            if isinstance(answer, AskError):
                item.error = _Redirected(str(item.error))
                item.asked = self._topology.redirect(answer, node)
            elif isinstance(answer, ClusterDownError):
                self._topology.refresh()
            return isinstance(answer, _AGAIN) or (repeat and isinstance(answer, LateError))
        item.answer = (
            answer if isinstance(answer, ValueRead) else Done(answer, batch.identity, batch.redis_now_ms, batch.number)
        )
        return False


def _results(items: Sequence[_Item]) -> Fetched:
    values: dict[str, ValueRead] = {}
    answers: list[Done | StoreUnavailable] = []
    missing: StoreUnavailable | None = None
    for item in items:
        if item.job is not None:
            error = item.error or StoreUnavailable("no answer in time")
            answers.append(item.answer if isinstance(item.answer, Done) else error)
        elif isinstance(item.answer, ValueRead):
            values[item.name] = item.answer
        else:
            missing = missing or item.error or StoreUnavailable("no answer in time")
    return Fetched(values, answers, missing)


class _Redirected(StoreUnavailable):
    """Only the node was wrong."""


def _send(node: Node, items: Sequence[_Item], asking: bool) -> Sequence[tuple[Sequence[str | int], Batch]]:
    if items[0].job is None:
        return node.read([item.name for item in items], asking=asking)
    return node.submit([item.job for item in items if item.job is not None], asking=asking)
