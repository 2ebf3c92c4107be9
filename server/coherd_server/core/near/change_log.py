"""What near-cache coherence needs from outside: an ordered log that all members follow, and a registry beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from coherd_server.core.near.terms import DEFAULT_LEASE_MS

DIGEST_BYTES: Final = 8
NAMES_PER_ENTRY: Final = 1_000
"""Most names of one entry of the log, as its writers fill it; what shares an entry may be more together."""
Clock = Callable[[], float]
"""Seconds that also pass while the machine sleeps [lease-from-sending]."""


class LogPosition(NamedTuple):
    """An offset of the log. Comparable only within one identity and generation [watermarks-name-their-log]."""

    identity: bytes
    """Identity of the connection that told the position [node-identity]."""
    generation: bytes
    """Random bytes; another one where the log began anew: first use, eviction, ``FLUSHALL``."""
    offset: int
    """Counted from 1 in each generation; each entry's predecessor is the offset before."""

    def is_of(self, other: LogPosition) -> bool:
        """Whether both are of one log, so that their offsets compare."""
        return self.generation == other.generation and self.identity == other.identity

    def reaches(self, other: LogPosition) -> bool:
        """Whether all up to the other position is applied where this one is."""
        return self.is_of(other) and self.offset >= other.offset


class MemberTerms(NamedTuple):
    """What a member goes by, and all members of a store are to go by alike."""

    lease_ms: int = DEFAULT_LEASE_MS
    """Longest time its near caches serve without hearing from it."""
    domains: bytes = bytes(DIGEST_BYTES)
    """`digest_of` what it tells near caches of: `DIGEST_BYTES`; empty: it is not known."""


DEFAULT_TERMS: Final = MemberTerms()


class Field(NamedTuple):
    """What one member has published of itself."""

    raw: bytes
    """The bytes that are stored. Every join changes them: where they stand still, the member does not join."""
    watermark: LogPosition | None
    """What all its sessions have acknowledged; None where it has none, and where the bytes are none of ours or of a
    later version."""
    terms: MemberTerms | None = None
    """None where the bytes are none of ours."""


class Registry(NamedTuple):
    """All members that hold near caches, as one script found them."""

    incarnation: bytes
    """Random; another one where the registry was lost and began anew; empty where there is none."""
    complete: bytes
    """`completeness` of the incarnation and node some member has watched for a whole lease: by then every member with
    a live session is in it. A younger registry may lack some."""
    fields: Mapping[str, Field]


class Answer(NamedTuple):
    """Answer of a log script."""

    position: LogPosition
    """The tail when it ran: of an append the entry's own position."""
    registry: Registry
    """Empty where nobody awaits an append."""

    @property
    def completeness(self) -> bytes:
        """What `Registry.complete` is when the registry is known to be whole: a registry that went back with its node
        has the old incarnation and another identity."""
        return self.registry.incarnation + self.position.identity

    @property
    def is_complete(self) -> bool:
        """Every member with a live session is in the registry."""
        return bool(self.registry.incarnation) and self.registry.complete == self.completeness


@dataclass(slots=True, eq=False)
class ChangeNotice:
    """Names to append behind a change. A store that can do so carries them with the change itself."""

    names: list[str]
    """Names, as `Change.names` has them."""
    awaited: bool
    """Whoever made the change waits until all near caches have dropped them."""
    asked_s: float
    """Not later than the append was sent."""
    appended: Answer | None = None
    """Answer of the append, once it was done behind the whole change."""


class Change(NamedTuple):
    """One entry of the log."""

    generation: bytes
    offset: int
    names: tuple[str, ...]
    """``k`` and a key's canonical text, or ``t`` and a tag's. None: only a marker."""
    awaited: bool = False
    """Somebody waits until all members have it."""
    is_known: bool = True
    """False: it says something that only a later version knows, so what it names is not all that changed."""


class Changes(NamedTuple):
    """Entries in order, as one connection gave them."""

    identity: bytes
    entries: Sequence[Change]
    """Empty: nothing new for a while."""
    more: bool = False
    """There may be more behind them: they are as many as are read at one time."""


Heard = Callable[[str, Field], None]
"""Called with a member and what it has just published."""


class LogUnavailable(Exception):
    """The log did not answer, or not in time. The message names no key.

    ``maybe_done`` is True where an append may have been done.
    """

    def __init__(self, message: str, *, maybe_done: bool = False) -> None:
        super().__init__(message)
        self.maybe_done = maybe_done


class ChangeLog(Protocol):
    """The log of one deployment. Every method raises `LogUnavailable`."""

    async def append(self, names: Sequence[str], *, awaited: bool) -> Answer:
        """Append one entry; begins a new generation where there is no log.

        Calls of one turn of the event loop may share an entry.
        """
        ...

    async def join(
        self, member: str, watermark: LogPosition | None, complete: bytes, terms: MemberTerms = DEFAULT_TERMS
    ) -> Answer:
        """Register and take the tail, in one step.

        Args:
            member: id of this process.
            watermark: what all its sessions have acknowledged; None: it has none, whatever the tail is.
            complete: a `Answer.completeness` that was watched for a whole lease, or empty.
            terms: what it goes by.
        """
        ...

    async def forget(self, member: str, field: bytes) -> None:
        """Drop a member whose field still is this one."""
        ...

    async def follow(self, after: LogPosition) -> Changes:
        """The next entries behind a position, as soon as there are any; an empty answer after a while.

        Their identity is that of the position, unless the node has another one by now.
        """
        ...

    def on_heard(self, heard: Heard, awaited: Callable[[], None]) -> None:
        """Register who is told of what members publish; what is missed while not connected is in the next `join`.

        Args:
            heard: of a member's field.
            awaited: of an entry that somebody waits for, by whichever process; not always.
        """
        ...

    async def close(self) -> None:
        """Close connections of its own. Idempotent."""
        ...
