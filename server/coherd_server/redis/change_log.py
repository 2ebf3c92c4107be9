"""The `ChangeLog` port: a Redis stream that only its scripts write, and the registry of members in its hash slot."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from typing import Final

from coherd_server.core.entry import IDENTITY_BYTES
from coherd_server.core.near.change_log import (
    DEFAULT_TERMS,
    DIGEST_BYTES,
    Answer,
    Changes,
    Field,
    Heard,
    LogPosition,
    LogUnavailable,
    MemberTerms,
    Registry,
)
from coherd_server.core.near.terms import MAX_LEASE_MS
from coherd_server.core.store import StoreUnavailable
from coherd_server.redis.jobs import Done, Job
from coherd_server.redis.listener import Listener
from coherd_server.redis.log_reader import LogReader
from coherd_server.redis.names import log_name, registry_name
from coherd_server.redis.router import Router
from coherd_server.redis.scripts import APPEND, FORGET, JOIN

GENERATION_BYTES: Final = 8
FIELD_VERSION: Final = 1
_TERMS: Final = struct.Struct(f">BI{DIGEST_BYTES}s")
"""What the field of a member begins with: its version, the lease in milliseconds, the digest of the domains."""
_WATERMARK: Final = struct.Struct(f">{IDENTITY_BYTES}s{GENERATION_BYTES}sQ")
_BEAT_BYTES: Final = 8
_FIELD_BYTES: Final = (_TERMS.size + _BEAT_BYTES, _TERMS.size + _WATERMARK.size + _BEAT_BYTES)
_OF_LATER_VERSION: Final = MemberTerms(MAX_LEASE_MS, b"")
"""What a member is taken to go by whose field cannot be read [alike-or-paused]."""
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

    async def join(
        self, member: str, watermark: LogPosition | None, complete: bytes, terms: MemberTerms = DEFAULT_TERMS
    ) -> Answer:
        """See `ChangeLog.join`. Doing it twice is harmless."""
        mark = b"" if watermark is None else _WATERMARK.pack(*watermark)
        field = _TERMS.pack(FIELD_VERSION, *terms) + mark + os.urandom(_BEAT_BYTES)
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
            if message[at:] == log and (field := _field(raw)).terms is not None:
                heard(member.decode("ascii", "replace"), field)

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
    """What a member has published; of a later version, only that it is there."""
    if raw[:1] > bytes([FIELD_VERSION]) and len(raw) > _BEAT_BYTES:
        return Field(raw, None, _OF_LATER_VERSION)
    if raw[:1] != bytes([FIELD_VERSION]) or len(raw) not in _FIELD_BYTES:
        return Field(raw, None)
    _, lease_ms, domains = _TERMS.unpack_from(raw)
    mark = raw[_TERMS.size : -_BEAT_BYTES]
    watermark = LogPosition(*_WATERMARK.unpack(mark)) if mark else None
    return Field(raw, watermark, MemberTerms(lease_ms, domains))


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
