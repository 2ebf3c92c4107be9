"""The `ChangeLog` port: a Redis stream that only its scripts write, and the registry of members in its hash slot."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from typing import Final

from coherd_server.core.entry import IDENTITY_BYTES
from coherd_server.core.near.change_log import Answer, Changes, Field, Heard, LogPosition, LogUnavailable, Registry
from coherd_server.core.store import StoreUnavailable
from coherd_server.redis.jobs import Done, Job
from coherd_server.redis.listener import Listener
from coherd_server.redis.log_reader import LogReader
from coherd_server.redis.names import log_name, registry_name
from coherd_server.redis.router import Router
from coherd_server.redis.scripts import APPEND, FORGET, JOIN

GENERATION_BYTES: Final = 8
_WATERMARK: Final = struct.Struct(f">{IDENTITY_BYTES}s{GENERATION_BYTES}sQ")
_BEAT_BYTES: Final = 8
MEMBER_CHARACTERS: Final = 32
"""A member's id is that many hex digits."""


class RedisChangeLog:
    """Implements `coherd_server.core.near.change_log.ChangeLog`.

    Args:
        router: routes the scripts.
        reader: of the log's key, `log_name`.
        listener: hears what members publish.
        prefix: of the deployment.
        length: how many entries are kept, about.
    """

    def __init__(self, router: Router, reader: LogReader, listener: Listener, *, prefix: str, length: int) -> None:
        self._router = router
        self._reader = reader
        self._listener = listener
        self._length = length
        self._log = log_name(prefix)
        self._registry = registry_name(prefix)
        self._latest: tuple[object, Answer | None] = (None, None)

    async def append(self, names: Sequence[str], *, awaited: bool) -> Answer:
        """See `ChangeLog.append`. Doing it twice is harmless."""
        return self.answer_of(await self._do(self.append_job(names, awaited=awaited)))

    def append_job(self, names: Sequence[str], *, awaited: bool) -> Job:
        """The append as one job, for a batch that carries the change itself."""
        return Job(APPEND, (self._log, self._registry), (self._length, "\n".join(names), int(awaited)))

    async def join(self, member: str, watermark: LogPosition | None, complete: bytes) -> Answer:
        """See `ChangeLog.join`. Doing it twice is harmless."""
        field = (b"" if watermark is None else _WATERMARK.pack(*watermark)) + os.urandom(_BEAT_BYTES)
        return self.answer_of(await self._do(Job(JOIN, (self._log, self._registry), (member, field, complete))))

    async def forget(self, member: str, field: bytes) -> None:
        """See `ChangeLog.forget`."""
        await self._do(Job(FORGET, (self._registry,), (member, field)))

    async def follow(self, after: LogPosition) -> Changes:
        """See `ChangeLog.follow`."""
        return await self._reader.read(after)

    def on_heard(self, heard: Heard, awaited: Callable[[], None]) -> None:
        """See `ChangeLog.on_heard`."""
        log = self._log.encode()

        def take(message: bytes) -> None:
            if message == log:
                awaited()
                return
            at = len(message) - len(log)
            member, raw = message[:MEMBER_CHARACTERS], message[MEMBER_CHARACTERS:at]
            if message[at:] == log and len(raw) in (_BEAT_BYTES, _WATERMARK.size + _BEAT_BYTES):
                heard(member.decode("ascii", "replace"), _field(raw))

        self._listener.on_near(take)

    async def close(self) -> None:
        """See `ChangeLog.close`."""
        self._reader.close()

    def answer_of(self, done: Done) -> Answer:
        """What a script of the log has answered; callers of one batch share one."""
        raw, answer = self._latest
        if answer is None or raw is not done.answer:
            answer = _answer_of(done)
            self._latest = (done.answer, answer)
        return answer

    async def _do(self, job: Job) -> Done:
        try:
            return await self._router.do(job, repeat=True)
        except StoreUnavailable as error:
            raise LogUnavailable(str(error), maybe_done=error.outcome_unknown) from None


def _field(raw: bytes) -> Field:
    if len(raw) != _WATERMARK.size + _BEAT_BYTES:
        return Field(raw, None)
    return Field(raw, LogPosition(*_WATERMARK.unpack(raw[: _WATERMARK.size])))


def _answer_of(done: Done) -> Answer:
    """Raises:
    TypeError: the answer is not that of a log script.
    """
    flat = done.answer
    if not isinstance(flat, list) or len(flat) % 2 or not isinstance(flat[1], int):
        raise TypeError("unexpected answer of a script")
    registry = dict(zip(flat[2::2], flat[3::2], strict=True))
    incarnation, complete = registry.pop(b"*", b""), registry.pop(b"+", b"")
    fields = {name.decode("ascii", "replace"): _field(raw) for name, raw in registry.items()}
    return Answer(LogPosition(done.identity, flat[0], flat[1]), Registry(incarnation, complete, fields))
