"""What the search of near caches (`near_model`) searches: rules that can be left out, bounds, and the state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Rules:
    """The rules of the log, by their names in docs/internals/rules.md; each can be left out."""

    marked_before_asking: bool = True
    """[mark-before-asking]"""
    checked_at_reply: bool = True
    """A reply is uncacheable if a matching entry was applied since the read was issued [registered-with-the-reply]."""
    extra_tags_registered: bool = True
    """[registered-with-the-reply]"""
    change_before_append: bool = True
    """[change-then-log]"""
    own_changes_dropped: bool = True
    """[own-changes-drop]"""
    joins_only_unsent: bool = True
    """A get joins one that is under way only if that was not sent yet [join-before-sending]."""
    identity_watched: bool = True
    """[gap-means-flush]"""
    generation_watched: bool = True
    """[gap-means-flush]"""
    gaps_noticed: bool = True
    """[gap-means-flush]"""
    extended_only_in_step: bool = True
    """[in-step-lease]"""
    joined_before_serving: bool = True
    """[join-before-serving]"""
    flushed_after_lapse: bool = True
    """[flush-after-a-lapse]"""
    dropped_before_acknowledging: bool = True
    """[acknowledge-after-dropping]"""
    acknowledged_before_published: bool = True
    """A watermark says what sessions have acknowledged, not what was read [published-after-acknowledged]."""
    watermarks_name_their_log: bool = True
    """[watermarks-name-their-log]"""
    registry_read_by_append: bool = True
    """[registry-by-the-append]"""
    young_registry_not_trusted: bool = True
    """[watched-registry]"""
    completeness_names_its_node: bool = True
    """[watched-registry]"""
    silent_for_a_lease: bool = True
    """A waiter drops a member only after all that it granted is over [silent-for-a-lease]."""
    closed_sessions_count: bool = True
    """A session whose stream broke counts until its lease is over [closed-sessions-count]."""


@dataclass(frozen=True)
class Bounds:
    """How much of what may happen."""

    strict: bool = False
    """Changes wait for confirmation; else a near cache may lag, but not for ever."""
    writes: int = 1
    """By somebody on another server."""
    verbs: str = "T"
    """Of these: T invalidates a tag of the key, X an extra tag of the value, K sets the key, O is about other keys."""
    owns: int = 0
    """Invalidations by the client itself."""
    own_elsewhere: bool = False
    """They go through the other server: no acknowledgement in the session's stream."""
    reads: int = 2
    fills: int = 2
    started: bool = True
    """The member has joined and serves."""
    failovers: int = 0
    """Of the log's node, to a copy that lags."""
    evictions: int = 0
    """Of the log, or FLUSHALL."""
    trims: int = 0
    """Of the oldest entry of the log."""
    cuts: int = 0
    """Of the member from the log."""
    losses: int = 0
    """Of the registry."""
    lapses: int = 0
    """The client hears nothing of its server until its lease is over."""
    hangups: int = 0
    """The stream breaks, and the client does not notice."""


class LogPosition(NamedTuple):
    identity: int
    generation: int
    offset: int

    def is_of(self, other: LogPosition) -> bool:
        """Both are of one log."""
        return self[:2] == other[:2]


class Log(NamedTuple):
    identity: int
    generation: int
    base: int
    """Position of the last entry that was trimmed."""
    entries: tuple[str, ...] = ()
    """Verb each."""

    @property
    def tail(self) -> LogPosition:
        return LogPosition(self.identity, self.generation, self.base + len(self.entries))


class Registry(NamedTuple):
    joined: bool
    """The member is in it."""
    watermark: LogPosition
    complete: int = 1
    """Identity of the node on which it was found complete; 0: on none."""


class Member(NamedTuple):
    """The server of the client's session, as it follows the log."""

    up: bool
    position: LogPosition
    cut: bool = False


class Session(NamedTuple):
    alive: bool
    holds: bool
    """It is told of changes of the key and of its tag."""
    holds_extra: bool
    closed: bool = False
    """Its stream broke, and its lease may still run."""
    undelivered: LogPosition | None = None
    """Of a closed session: what it had acknowledged when the first push could not be delivered."""


class Client(NamedTuple):
    valid: bool
    """Its lease runs."""
    near: int | None = None
    flight: tuple[bool, int, int] | None = None
    """Its get: the mark was touched; what was acknowledged when it, or the last one that joined, started: own, any."""


class State(NamedTuple):
    log: Log
    copy: tuple[Log, Registry]
    """What the node that takes over has."""
    registry: Registry
    member: Member
    session: Session
    client: Client
    left: tuple[int, ...]
    source: int = 0
    stored: int | None = None
    """Version in the store; None: none that is valid."""
    floor: int = 0
    """Acknowledged by anybody."""
    own_floor: int = 0
    """Acknowledged to the client itself."""
    writer: tuple[Any, ...] = ()
    own: tuple[Any, ...] = ()
    reading: tuple[Any, ...] = ()
    queue: tuple[tuple[Any, ...], ...] = ()
    """On its way from the member to the client, in order."""
    ack_first: bool = False
    """The head of the queue was acknowledged and not applied."""


WRITES, OWNS, FILLS, READS, FAILOVERS, EVICTIONS, TRIMS, CUTS, LOSSES, LAPSES, HANGUPS = range(11)


def start(bounds: Bounds) -> State:
    b = bounds
    log = Log(1, 1, 0)
    up = b.started
    left = (
        b.writes,
        b.owns,
        b.fills,
        b.reads,
        b.failovers,
        b.evictions,
        b.trims,
        b.cuts,
        b.losses,
        b.lapses,
        b.hangups,
    )
    registry = Registry(up, log.tail)
    member, session = Member(up, log.tail), Session(up, False, False)
    return State(log, (log, registry), registry, member, session, Client(up), left)


def minus(s: State, at: int) -> tuple[int, ...]:
    return (*s.left[:at], s.left[at] - 1, *s.left[at + 1 :])
