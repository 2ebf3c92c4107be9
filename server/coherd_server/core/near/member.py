"""This process among the members: joins, follows the log, publishes its watermark, and confirms strict changes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from typing import Final

import structlog

from coherd_server.core.near.alike import Alike
from coherd_server.core.near.change_log import (
    DIGEST_BYTES,
    Answer,
    ChangeLog,
    Changes,
    Field,
    LogPosition,
    LogUnavailable,
    MemberTerms,
)
from coherd_server.core.near.confirm import AckWait, MemberView
from coherd_server.core.near.follower import Follower
from coherd_server.core.near.hub import Hub
from coherd_server.log import Repeated

_log = structlog.get_logger("coherd.near")
_PAUSE_S: Final = 0.05
"""Pause after a log that did not answer."""
_LEAVE_S: Final = 0.5
"""How long the end of the process may wait for the log."""
_GATHER_S: Final = 0.002
"""Between two reads of the log, so that one push tells of changes in quick succession; not while somebody waits."""
_LEISURE_S: Final = 0.1
"""Between two reads of the log while no session has a near cache: nobody is to be told, and a read costs a set."""


class Member:
    """Runs on one event loop: `run` until cancelled, then `leave`.

    Args:
        log: that it follows.
        hub: its sessions.
        domains: `digest_of` what it tells near caches of.
    """

    def __init__(self, log: ChangeLog, hub: Hub, domains: bytes = bytes(DIGEST_BYTES)) -> None:
        self._log = log
        self._hub = hub
        self._terms = hub.terms
        self._alike = Alike(MemberTerms(hub.terms.lease_ms, domains), hub.pause)
        self._follower = Follower(hub)
        self._view = MemberView(hub.terms)
        self._id = uuid.uuid4().hex
        self._silence = Repeated(_log, severity=logging.WARNING)
        self._flushed = Repeated(_log, severity=logging.WARNING)
        self._published: LogPosition | None = None
        self._field = b""
        self._wanted = asyncio.Event()
        """A join is wanted at once."""
        self._joined = asyncio.Event()
        self._following: asyncio.Future[Changes] | None = None
        self._hurry = asyncio.Event()
        """The log is to be read on at once: somebody waits for it, or a session came."""
        self._waits: dict[AckWait, asyncio.Event] = {}
        self._latest: dict[str, Field] = {}
        """What members have published lately: it may be heard before the append it confirms is answered."""
        hub.on_acknowledged = self._acknowledged
        hub.on_opened = self._hurry.set
        log.on_heard(self._heard, self._hurry.set)

    async def run(self) -> None:
        """Join, follow the log and tick until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._join())
            group.create_task(self._follow())
            group.create_task(self._tick())

    async def leave(self) -> None:
        """Take this process off the registry, if none of its sessions may still serve; else others wait for that, as
        they do where the log does not answer soon."""
        if self._field and not self._hub.is_serving:
            with contextlib.suppress(LogUnavailable, TimeoutError):
                async with asyncio.timeout(_LEAVE_S):
                    await self._log.forget(self._id, self._field)
        await self._log.close()

    @property
    def longest_wait_s(self) -> float:
        """A strict change is confirmed within, or not at all."""
        return self._view.longest.longest_wait_s

    async def confirm(self, appended: Answer, *, asked_s: float) -> bool:
        """Return when every near cache has dropped what an entry names, or serves no more.

        Args:
            appended: what the append answered.
            asked_s: when it was sent.

        Returns:
            False: the log is another one now, so append again.
        """
        now_s = self._hub.now_s()
        seen = self._view.saw(appended, asked_s=asked_s, now_s=now_s)
        wait = AckWait(appended, own=self._id, complete=seen.complete, now_s=now_s)
        wait.own(self._hub.position, self._hub.watermark)
        for member, field in self._latest.items():
            wait.heard(member, field)
        changed = self._waits[wait] = asyncio.Event()
        self._hurry.set()
        try:
            while not wait.is_done and not wait.has_moved:
                changed.clear()
                await changed.wait()
            return wait.is_done
        finally:
            del self._waits[wait]

    # Joining.

    async def _join(self) -> None:
        """Join once in `Terms.join_s`; thrice as often while somebody waits or the log is silent; or when wanted."""
        available = True
        while True:
            self._wanted.clear()
            try:
                await self._join_once()
                self._silence.over("near caches are in step again: the log answers")
                available = True
            except LogUnavailable as error:
                self._silence.tell("near caches are out of step: the log does not answer", reason=str(error))
                available = False
                await asyncio.sleep(_PAUSE_S)
            for _ in range(3):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._terms.join_s / 3):
                        await self._wanted.wait()
                if self._wanted.is_set() or self._waits or not available:
                    break

    async def _join_once(self) -> None:
        """Register and take the tail in one script [join-before-serving]: before it nothing is kept by any session."""
        hub = self._hub
        asked_s, applied, watermark = hub.now_s(), self._follower.position, hub.watermark
        answer = await self._log.join(self._id, watermark, self._view.complete, self._alike.own)
        self._published = watermark
        self._field = answer.registry.fields[self._id].raw
        seen = self._view.saw(answer, asked_s=asked_s, now_s=hub.now_s())
        if self._follower.joined(answer.position, asked_s=asked_s, applied=applied):
            if applied is not None:
                self._flushed.tell("the log is another one: near caches are flushed")
            self._wanted.set()  # the watermark is another one, too
            if self._following is not None:
                self._following.cancel()
        self._alike.look([f.terms for m, f in seen.fields.items() if m not in seen.silent and f.terms is not None])
        self._joined.set()
        self._latest = {member: field for member, field in self._latest.items() if member in seen.fields}
        for wait, changed in self._waits.items():
            wait.saw(seen)
            wait.own(hub.position, hub.watermark)
            changed.set()
        for member in seen.silent - {self._id}:
            await self._log.forget(member, seen.fields[member].raw)

    # Following.

    async def _follow(self) -> None:
        await self._joined.wait()
        while True:
            position = self._follower.position
            if position is None:
                raise AssertionError("joined, and nowhere")
            self._hurry.clear()
            self._following = following = asyncio.ensure_future(self._log.follow(position))
            try:
                await asyncio.wait([following])
            finally:
                following.cancel()
            if following.cancelled():
                continue  # there is another position to read from
            more = False
            try:
                changes = following.result()
                followed, more = self._follower.read(changes, position), changes.more
            except LogUnavailable:
                followed = False
            if not followed:
                self._wanted.set()
                await asyncio.sleep(_PAUSE_S)
            elif not self._waits:
                await self._pause(at_leisure=not more and not self._hub.has_sessions)

    async def _pause(self, *, at_leisure: bool) -> None:
        """Between two reads of the log."""
        if not at_leisure:
            await asyncio.sleep(_GATHER_S)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEISURE_S):
                await self._hurry.wait()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._terms.margin_s)
            self._hub.tick()

    # What others have published, and what our own sessions have acknowledged.

    def _heard(self, member: str, field: Field) -> None:
        self._latest[member] = field
        for wait, changed in self._waits.items():
            wait.heard(member, field)
            changed.set()

    def _acknowledged(self) -> None:
        hub = self._hub
        watermark, published = hub.watermark, self._published
        if self._follower.awaited_offset and watermark is not None and watermark != published:
            known = published.offset if published is not None and published.is_of(watermark) else -1
            if known < self._follower.awaited_offset:
                self._wanted.set()
        for wait, changed in self._waits.items():
            wait.own(hub.position, watermark)
            changed.set()
