"""Bring names and jobs to the nodes that hold them, and again where a node says so, until the deadline.

Repeated are: what was not sent; reads, mints and invalidations whose connection was lost; and commands a node refused
without doing them (MOVED, ASK, TRYAGAIN, CLUSTERDOWN, NOSCRIPT, READONLY). A write that may have been done is never
repeated (rules 6 and 7). A fresh epoch is made anew each time (`Batch.pack`).
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

from coherd_server.adapters.batch import Batch, Job, LateError, UnconfirmedError
from coherd_server.adapters.link import Link
from coherd_server.adapters.settings import StoreSettings
from coherd_server.adapters.topology import Topology
from coherd_server.adapters.wire import Reply, error_code
from coherd_server.domain.ports import StoreUnavailable, ValueRead

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


def refusal(error: ResponseError) -> StoreUnavailable:
    """A command that a node refused, told without keys and values."""
    if isinstance(error, OutOfMemoryError):
        return StoreUnavailable("the node is full: maxmemory is reached and maxmemory-policy evicts nothing", full=True)
    if isinstance(error, UnconfirmedError):
        return StoreUnavailable("fewer replicas than the domain asks for have confirmed it", outcome_unknown=True)
    if isinstance(error, LateError):
        return LateRefusal("the command reached its node after its deadline and did nothing")
    code = error_code(error)
    return StoreUnavailable(f"the node refused the command: {code}", outcome_unknown=code not in NOT_EXECUTED)


class LateRefusal(StoreUnavailable):
    """The command was void when it arrived (rule 6)."""


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
        self.asked: Link | None = None
        """Where an ASK reply sends it, once."""
        self.under_way: tuple[Batch, str | int] | None = None
        """The batch that is to bring its answer, and where in it."""


class Driver:
    """Routing and repetition over one topology."""

    def __init__(self, topology: Topology, settings: StoreSettings) -> None:
        self._topology = topology
        self._deadline_s = settings.deadline_ms / 1000

    async def read(self, names: Sequence[str]) -> dict[str, ValueRead]:
        """The values under full key names.

        Raises:
            StoreUnavailable: some value could not be read by the deadline.
        """
        end_s = asyncio.get_running_loop().time() + self._deadline_s
        if self._topology.wide and (link := self._topology.link_for("")) is not None:
            parts = link.read(names)
            for _, batch in parts:
                await batch.join()
            if len(parts) == 1 and parts[0][1].failure is None and not parts[0][1].errors:
                return parts[0][1].values
        items = [_Item(name, None) for name in dict.fromkeys(names)]
        await self._drive(items, end_s, repeat=True)
        found: dict[str, ValueRead] = {}
        for item in items:
            if not isinstance(item.answer, ValueRead):
                raise item.error or StoreUnavailable("no answer in time")
            found[item.name] = item.answer
        return found

    async def do(self, jobs: Sequence[Job], *, repeat: bool) -> list[Done | StoreUnavailable]:
        """Do jobs; per job its answer or why there is none.

        ``repeat``: doing one twice is harmless, so a lost connection is no reason to give up.
        """
        items = [_Item(job.keys[0], job) for job in jobs]
        await self._drive(items, asyncio.get_running_loop().time() + self._deadline_s, repeat=repeat)
        return [
            item.answer if isinstance(item.answer, Done) else item.error or StoreUnavailable("no answer in time")
            for item in items
        ]

    async def do_on(self, link: Link, job: Job) -> Done:
        """Do a job that belongs to one primary, not to a name.

        Raises:
            StoreUnavailable: no answer.
        """
        [((place,), batch)] = link.submit([job])
        await batch.join()
        if batch.failure is not None:
            raise StoreUnavailable(batch.failure.text)
        answer = batch.answers[place]
        if isinstance(answer, ResponseError):
            raise refusal(answer)
        return Done(answer, batch.identity, batch.redis_now_ms)

    async def _drive(self, items: Sequence[_Item], end_s: float, *, repeat: bool) -> None:
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
        groups: dict[tuple[Link, bool], list[_Item]] = {}
        again: list[_Item] = []
        for item in items:
            link = item.asked or self._topology.link_for(item.name)
            if link is None:
                item.error = StoreUnavailable(self._topology.trouble())
                again.append(item)
            else:
                groups.setdefault((link, item.asked is not None), []).append(item)
                item.asked = None
        if again:
            self._topology.refresh()
        waiting: list[tuple[Link, Sequence[_Item], Batch, asyncio.Future[Batch]]] = []
        for (link, asking), group in groups.items():
            at = 0
            for marks, batch in _send(link, group, asking):
                members = group[at : at + len(marks)]
                for item, mark in zip(members, marks, strict=True):
                    item.under_way = (batch, mark)
                waiting.append((link, members, batch, batch.join()))
                at += len(marks)
        for link, part, batch, future in waiting:
            await future
            if batch.failure is not None and batch.failure.final:
                await asyncio.sleep(0)  # known to be down: a caller that tries on and on must not starve the loop
            for item in part:
                _, mark = cast(tuple[Batch, str | int], item.under_way)
                item.under_way = None
                if self._again(item, mark, batch, link, repeat=repeat):
                    again.append(item)
        return again

    def _again(self, item: _Item, mark: str | int, batch: Batch, link: Link, *, repeat: bool) -> bool:
        """Take the answer to an item, or note the error; True when it is to be sent again."""
        failure = batch.failure
        if failure is not None:
            item.maybe_done = item.maybe_done or failure.sent
            item.error = StoreUnavailable(failure.text, outcome_unknown=item.maybe_done and item.job is not None)
            return not failure.final and (repeat or not failure.sent)
        answer = batch.answers[mark] if isinstance(mark, int) else batch.errors.get(mark) or batch.values[mark]
        if isinstance(answer, ResponseError):
            item.error = refusal(answer)
            if isinstance(answer, AskError):
                item.error = _Redirected(str(item.error))
                item.asked = self._topology.redirect(answer, link)
            elif isinstance(answer, ClusterDownError):
                self._topology.refresh()
            return isinstance(answer, _AGAIN) or (repeat and isinstance(answer, LateError))
        item.answer = answer if isinstance(answer, ValueRead) else Done(answer, batch.identity, batch.redis_now_ms)
        return False


class _Redirected(StoreUnavailable):
    """Only the node was wrong."""


def _send(link: Link, items: Sequence[_Item], asking: bool) -> Sequence[tuple[Sequence[str | int], Batch]]:
    if items[0].job is None:
        return link.read([item.name for item in items], asking=asking)
    return link.submit([item.job for item in items if item.job is not None], asking=asking)
