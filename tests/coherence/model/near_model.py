"""An exhaustive search of near caches: what the log, a member, a client and writers may do, step by step.

One key with a tag and an extra tag, in a store that is right by itself (`store_model` is about that). A client holds a
session with one member and keeps the key; somebody changes it through another server; the log may fail over, be
evicted or trimmed, the registry be lost, the member be cut off, streams break and leases end. Breadth first, so the
first violation found has the shortest trace.

Promises (P2): OWN, a client sees its own acknowledged changes; STRICT, nothing is served that is older than a change
that was confirmed; STUCK, without strict mode: once everything is delivered, nothing older is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from coherence.model import searching
from coherence.model.near_state import (
    CUTS,
    EVICTIONS,
    FAILOVERS,
    FILLS,
    HANGUPS,
    LAPSES,
    LOSSES,
    OWNS,
    READS,
    TRIMS,
    WRITES,
    Bounds,
    Client,
    Log,
    LogPosition,
    Member,
    Registry,
    Rules,
    Session,
    State,
    minus,
    start,
)
from coherence.model.searching import Broken, Result

Step = tuple[str, State]

QUEUE = 4
"""Longest queue to the client."""


class NearModel:
    """The steps that are possible in a state."""

    def __init__(self, rules: Rules, bounds: Bounds) -> None:
        self.rules, self.bounds = rules, bounds

    def steps(self, s: State) -> Iterator[Step]:
        self._check(s)
        if s.stored is None and s.left[FILLS]:
            yield f"somebody loads v{s.source}", s._replace(stored=s.source, left=minus(s, FILLS))
        yield from self._writer(s)
        yield from self._own(s)
        yield from self._member(s)
        yield from self._read(s)
        yield from self._client(s)
        yield from self._faults(s)

    def _check(self, s: State) -> None:
        client = s.client
        if client.valid and client.near is not None:
            if client.near < s.own_floor:
                raise Broken(f"OWN: v{client.near} is served after the client's own v{s.own_floor}")
            if client.near < s.floor and self.bounds.strict:
                raise Broken(f"STRICT: v{client.near} is served after v{s.floor} was confirmed")
            if client.near < s.floor and not self.bounds.strict and self._at_rest(s):
                raise Broken(f"STUCK: v{client.near} is served for ever after v{s.floor}")

    def _at_rest(self, s: State) -> bool:
        """Nothing is under way that could end it. A member that is cut off, or a session that is closed, extends no
        lease; so that ends with the lease, unless that rule is left out."""
        ending = (s.member.cut and self.rules.extended_only_in_step) or s.session.closed
        busy = s.queue or s.client.flight or s.reading or s.writer or s.own
        following = not s.member.cut and any(True for _ in self._followed(s))
        return s.member.up and not (ending or busy or following)

    # Somebody else's change.

    def _writer(self, s: State) -> Iterator[Step]:
        rules = self.rules
        match s.writer:
            case () if s.left[WRITES]:
                for verb in self.bounds.verbs:
                    begun = s._replace(left=minus(s, WRITES))
                    if not rules.registry_read_by_append:
                        yield "the writer looks who is registered", begun._replace(writer=("looked", verb, s.registry))
                    elif not rules.change_before_append:
                        position, log = _appended(s.log, verb)
                        version = _after(s, verb)
                        told = ("told", verb, version, position, s.registry)
                        yield f"{verb} of v{version} is appended", begun._replace(source=version, log=log, writer=told)
                    else:
                        yield f"{verb} of v{_after(s, verb)} holds", self._changed(begun, verb, _after(s, verb), None)
            case ("looked", verb, registry):
                yield f"{verb} of v{_after(s, verb)} holds", self._changed(s, verb, _after(s, verb), registry)
            case ("told", verb, version, position, registry):
                after = self._changed(s, verb, version, None)
                yield (
                    f"{verb} of v{version} holds",
                    after._replace(writer=("appended", verb, version, position, registry)),
                )
            case ("changed", verb, version, seen):
                position, log = _appended(s.log, verb)
                writer = ("appended", verb, version, position, seen or s.registry)
                yield f"{verb} of v{version} is appended", s._replace(log=log, writer=writer)
            case ("appended", verb, version, position, registry):
                moved = rules.watermarks_name_their_log and not s.log.tail.is_of(position)
                if not self.bounds.strict or (not moved and self._confirmed(s, position, registry)):
                    yield f"v{version} is acknowledged", s._replace(writer=(), floor=max(s.floor, version))
                elif moved:
                    again = ("changed", verb, version, None if rules.registry_read_by_append else registry)
                    yield "the log is another one: append again", s._replace(writer=again)

    def _changed(self, s: State, verb: str, version: int, seen: Registry | None) -> State:
        stored = s.stored if verb == "O" else version if verb == "K" else None
        return s._replace(source=version, stored=stored, writer=("changed", verb, version, seen))

    def _confirmed(self, s: State, position: LogPosition, appended: Registry) -> bool:
        """What a waiter may conclude from the registry as the append found it, and as it is now."""
        rules, now = self.rules, s.registry
        over = not s.client.valid  # all that the member granted is over: it has been silent for a lease and a margin
        if over or (s.member.cut and not rules.silent_for_a_lease):
            return True
        trusted = not rules.young_registry_not_trusted or self._is_complete(appended, position.identity)
        if trusted and not appended.joined:
            return True
        mark = now.watermark
        same = mark.is_of(position) or not rules.watermarks_name_their_log
        return now.joined and same and mark.offset >= position.offset

    def _is_complete(self, registry: Registry, identity: int) -> bool:
        return registry.complete == identity or (bool(registry.complete) and not self.rules.completeness_names_its_node)

    # The client's own invalidation.

    def _own(self, s: State) -> Iterator[Step]:
        match s.own:
            case () if s.left[OWNS] and (s.client.valid or self.bounds.own_elsewhere):
                yield "the client invalidates", s._replace(own=("sent",), left=minus(s, OWNS))
            case ("sent",):
                version = s.source + 1
                yield f"own T of v{version} holds", s._replace(source=version, stored=None, own=("changed", version))
            case ("changed", version):
                yield "own T is appended", s._replace(log=_appended(s.log, "T")[1], own=("appended", version))
            case ("appended", version):
                if self.bounds.own_elsewhere:
                    yield f"own v{version} is acknowledged", self._own_acknowledged(s, version)
                elif s.session.alive and not s.session.closed and len(s.queue) < QUEUE:
                    queue = (*s.queue, ("own", version))
                    yield "the member answers the own change", s._replace(queue=queue, own=("answered", version))
                else:
                    yield "the own change's outcome is unknown", self._own_dropped(s)._replace(own=())
            case ("answered", _) if not any(one[0] == "own" for one in s.queue):
                yield "the own change's outcome is unknown", self._own_dropped(s)._replace(own=())

    def _own_dropped(self, s: State) -> State:
        if not self.rules.own_changes_dropped:
            return s
        return s._replace(client=s.client._replace(near=None, flight=_touched(s.client.flight)))

    def _own_acknowledged(self, s: State, version: int) -> State:
        floor = s.floor if self.bounds.strict else max(s.floor, version)
        return self._own_dropped(s)._replace(own=(), own_floor=version, floor=floor)

    # The member: joins, follows, publishes.

    def _member(self, s: State) -> Iterator[Step]:
        registry, tail = s.registry, s.log.tail
        if not s.member.up:
            session, client = s.session._replace(alive=True), s.client._replace(valid=True)
            serving = s._replace(member=Member(True, tail), session=session, client=client)
            if self.rules.joined_before_serving:
                joined = registry._replace(joined=True, watermark=tail)
                yield "the member joins and serves", serving._replace(registry=joined)
            else:
                yield "the member serves without having joined", serving
            return
        watched = registry.joined or not s.client.valid  # for a lease: who has not joined in it serves no more
        if self.bounds.strict and watched and not self._is_complete(registry, s.log.identity):
            yield "the registry is complete", s._replace(registry=registry._replace(complete=s.log.identity))
        if s.member.cut:
            return
        yield from self._followed(s)
        mark = self._watermark(s)
        if self.bounds.strict and (True, mark) != registry[:2]:
            yield "the member joins", s._replace(registry=registry._replace(joined=True, watermark=mark))

    def _watermark(self, s: State) -> LogPosition:
        """What all sessions have acknowledged; there is one."""
        if s.session.alive and self.rules.acknowledged_before_published:
            if s.session.undelivered is not None:
                return s.session.undelivered
            for one in s.queue[s.ack_first :]:
                if one[0] in ("push", "flush"):
                    return one[1]
        return s.member.position

    def _followed(self, s: State) -> Iterator[Step]:
        if len(s.queue) >= QUEUE:
            return
        position, log = s.member.position, s.log
        other = (self.rules.identity_watched and log.identity != position.identity) or (
            self.rules.generation_watched and log.generation != position.generation
        )
        if other:
            yield (
                "the member finds another log and flushes",
                self._told(s, log.tail, "flush", log.tail._replace(offset=0)),
            )
            return
        first = max(position.offset + 1, log.base + 1)
        if log.tail.offset < first:
            return
        at = position._replace(offset=first)
        if first != position.offset + 1 and self.rules.gaps_noticed:
            yield "the member finds a gap and flushes", self._told(s, at, "flush", position)
            return
        verb = log.entries[first - log.base - 1]
        if verb == "O":
            yield "the member applies O", s._replace(member=s.member._replace(position=at))
            return
        holds = s.session.holds_extra if verb == "X" else s.session.holds
        yield f"the member applies {verb}", self._told(s, at, "push" if holds else "", at._replace(offset=first - 1))

    def _told(self, s: State, position: LogPosition, kind: str, before: LogPosition) -> State:
        """The member is up to a position; what it tells the session of is forgotten, until a reply asks anew."""
        reading, session = _touched_reading(s.reading), s.session
        after = s._replace(member=s.member._replace(position=position), reading=reading)
        if not kind or not session.alive:
            return after
        forgotten = session._replace(holds=False, holds_extra=False)
        if session.closed:
            return after._replace(session=forgotten._replace(undelivered=session.undelivered or before))
        return after._replace(session=forgotten, queue=(*s.queue, (kind, before)))

    # A read through the session.

    def _read(self, s: State) -> Iterator[Step]:
        session = s.session
        flight, open_ = s.client.flight, session.alive and not session.closed
        if s.client.valid and s.client.near is None and flight is None and open_ and not s.reading and s.left[READS]:
            client = s.client._replace(flight=(False, s.own_floor, s.floor))
            yield "the client marks and asks", s._replace(client=client, reading=("asked",), left=minus(s, READS))
        unsent = s.reading == ("asked",) or not self.rules.joins_only_unsent
        if flight and s.client.valid and unsent and flight[1:] != (s.own_floor, s.floor):
            joined = s.client._replace(flight=(flight[0], s.own_floor, s.floor))
            yield "a later get joins", s._replace(client=joined)
        match s.reading:
            case ("asked",):
                yield "the member issues the read", s._replace(reading=("issued", False))
            case ("issued", touched):
                yield "the store answers", s._replace(reading=("read", touched, s.stored))
            case ("read", touched, value) if len(s.queue) < QUEUE:
                keeps = not (touched and self.rules.checked_at_reply)
                extra = session.holds_extra or (keeps and self.rules.extra_tags_registered)
                held = session._replace(holds=session.holds or keeps, holds_extra=extra)
                after = s._replace(session=held, reading=(), queue=(*s.queue, ("reply", value, keeps)))
                yield "the member replies", after

    # The client.

    def _client(self, s: State) -> Iterator[Step]:
        if not s.queue:
            return
        head, rest = s.queue[0], s._replace(queue=s.queue[1:], ack_first=False)
        match head:
            case ("reply", value, keeps):
                yield "the client takes the reply", self._replied(rest, value, keeps)
            case ("own", version):
                yield f"own v{version} is acknowledged", self._own_acknowledged(rest, version)
            case (kind, _):
                dropped = s.client._replace(near=None, flight=_touched(s.client.flight))
                if self.rules.dropped_before_acknowledging or s.ack_first:
                    yield f"the client applies the {kind}", rest._replace(client=dropped)
                else:
                    yield f"the client acknowledges the {kind}", s._replace(ack_first=True)

    def _replied(self, s: State, value: int | None, keeps: bool) -> State:
        client = s.client
        if client.flight is None:
            return s
        touched, own_floor, floor = client.flight
        if value is not None and value < own_floor:
            raise Broken(f"OWN: a get that started after the client's own v{own_floor} returns v{value}")
        if value is not None and self.bounds.strict and value < floor:
            raise Broken(f"STRICT: a get that started after v{floor} was confirmed returns v{value}")
        kept = value is not None and client.valid and keeps and not (touched and self.rules.marked_before_asking)
        return s._replace(client=client._replace(near=value if kept else client.near, flight=None))

    # Faults, and how they end.

    def _faults(self, s: State) -> Iterator[Step]:
        yield from self._log_faults(s)
        session, client, member = s.session, s.client, s.member
        if member.cut:
            yield "the member reaches the log again", s._replace(member=member._replace(cut=False))
        elif s.left[CUTS] and member.up:
            yield (
                "the member is cut off from the log",
                s._replace(member=member._replace(cut=True), left=minus(s, CUTS)),
            )
        if s.left[HANGUPS] and session.alive and not session.closed:
            mark = self._watermark(s)
            broken = s._replace(queue=(), reading=(), ack_first=False, left=minus(s, HANGUPS))
            closed = session._replace(closed=True, undelivered=None if mark == member.position else mark)
            if not self.rules.closed_sessions_count:
                closed = session._replace(closed=True, holds=False, holds_extra=False)
            yield "the stream breaks unnoticed", broken._replace(session=closed)
        if client.valid and (s.left[LAPSES] or session.closed or member.cut):
            left = s.left if session.closed or member.cut else minus(s, LAPSES)
            yield "the client's lease ends", s._replace(client=client._replace(valid=False), left=left)
        if not client.valid and member.up and session.alive:
            gone = Session(False, False, False)
            yield "the member drops the session", s._replace(session=gone, reading=(), queue=(), ack_first=False)
        joined = s.registry.joined or not self.bounds.strict or not self.rules.joined_before_serving
        if not client.valid and member.up and not session.alive and not member.cut and joined:
            near = None if self.rules.flushed_after_lapse else client.near
            again = s._replace(client=Client(True, near), session=Session(True, False, False))
            yield "the client has a lease again", again

    def _log_faults(self, s: State) -> Iterator[Step]:
        if s.left[FAILOVERS]:
            now = (s.log, s.registry)
            if s.copy != now:
                yield "log and registry are copied", s._replace(copy=now)
            log, registry = s.copy
            moved = s._replace(log=log._replace(identity=s.log.identity + 1), registry=registry)
            yield "THE LOG FAILS OVER", moved._replace(left=minus(s, FAILOVERS))
        if s.left[EVICTIONS] and s.log.entries:
            tail = s.log.tail
            lost = Log(tail.identity, tail.generation + 1, 0)
            yield "THE LOG IS LOST", s._replace(log=lost, left=minus(s, EVICTIONS))
        if s.left[TRIMS] and len(s.log.entries) > 1:  # one that is emptied has no tail: it begins anew, as a lost one
            log = s.log._replace(base=s.log.base + 1, entries=s.log.entries[1:])
            yield "the log is trimmed", s._replace(log=log, left=minus(s, TRIMS))
        if s.left[LOSSES] and s.registry.joined:
            lost_registry = s.registry._replace(joined=False, complete=0)
            yield "THE REGISTRY IS LOST", s._replace(registry=lost_registry, left=minus(s, LOSSES))


def _after(s: State, verb: str) -> int:
    """The version a change makes."""
    return s.source + (verb != "O")


def _appended(log: Log, verb: str) -> tuple[LogPosition, Log]:
    return log.tail._replace(offset=log.tail.offset + 1), log._replace(entries=(*log.entries, verb))


def _touched(flight: tuple[bool, int, int] | None) -> tuple[bool, int, int] | None:
    return None if flight is None else (True, *flight[1:])


def _touched_reading(reading: tuple[Any, ...]) -> tuple[Any, ...]:
    return (reading[0], True, *reading[2:]) if reading and reading[0] != "asked" else reading


def search(rules: Rules, bounds: Bounds, *, most: int = 400_000) -> Result:
    """All states of log and near cache; see `coherence.model.searching.search`."""
    return searching.search(start(bounds), NearModel(rules, bounds).steps, most)
