"""What the exhaustive search (`store_model`) searches: rules that can be left out, bounds, and the state of all parts.

Ids (epochs, fences, tokens, identities) are small integers: a fresh one is the smallest that occurs nowhere in the
state, since ids that occur nowhere cannot be told apart.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Rules:
    """The rules, by their names in docs/internals/rules.md; each can be left out."""

    epochs_compared: bool = True
    """[current-stamps]"""
    missing_is_a_miss: bool = True
    """[missing-is-a-miss]"""
    epochs_unique: bool = True
    """Else counters, which begin anew when they are lost [unique-epochs]."""
    copies_have_ids_of_their_own: bool = True
    """[fresh-id-once]"""
    tag_node_identity: bool = True
    """[node-identity]"""
    key_node_identity: bool = True
    """[node-identity]"""
    stamps_of_the_grant: bool = True
    """[grant-time-stamps]"""
    fill_needs_lease: bool = True
    """[fill-names-its-grant]"""
    fill_needs_grant: bool = True
    """Else the token suffices [fill-names-its-grant]."""
    delete_voids_lease: bool = True
    """[writes-void-leases]"""
    set_voids_lease: bool = True
    """[writes-void-leases]"""
    fenced: bool = True
    """[late-write-fence]"""
    writes_change_the_fence: bool = True
    """[late-write-fence]"""
    judged_by_later_epochs: bool = True
    """[later-epochs]"""
    grant_compares: bool = True
    """[grant-compares]"""
    absence_is_no_fence: bool = True
    """Else servers remember that there is none, too, and a write takes it away [remembered-then-verified]."""
    stamps_of_before: bool = True
    """Else a put has those that are current when it is executed [start-time-stamps]."""
    fast_put_compares: bool = True
    """The fence it remembers [remembered-then-verified]."""
    put_needs_identity: bool = True
    """Else it is sent to whatever the key's node has become, and stamped with that [remembered-then-verified]. (Stamped
    with the node it was meant for, it would do no harm: no reader takes it.)"""
    lost_fence_fences: bool = True
    """Else any fence passes where there is none [remembered-then-verified]."""


@dataclass(frozen=True)
class Bounds:
    """How much of what may happen."""

    readers: int = 1
    loads: bool = True
    """Else readers only get."""
    tags: int = 1
    writes: int = 2
    verbs: str = "IDS"
    """Of the writer: Invalidate the first tag, Delete, Set."""
    evictions: int = 0
    """Of an epoch or a fence."""
    expiries: int = 0
    """Of the lease."""
    rollbacks: int = 0
    """Of a node to what it held before."""
    late: int = 0
    """Commands that are executed late, or once more."""
    remembers: int = 0
    """Servers that remember fences and stamps, and so Set the fast way, too; the writer asks any of them. That is where
    all is on one primary. With none a write takes the fence away, as on a cluster."""


class Stamped(NamedTuple):
    """An entry or a lease: what it is, and the stamps it was given."""

    what: int
    """Version of an entry, grant of a lease."""
    node: int
    epochs: tuple[tuple[int, int], ...]
    """Per tag: identity of its node, epoch."""
    token: int = 0
    """Of a lease."""


NOTHING = (None, None, 0)
GONE = -1
"""Instead of an id that only memories hold: it equals nothing any more."""


class KeyNode(NamedTuple):
    identity: int
    entry: Stamped | None = None
    lease: Stamped | None = None
    fence: Any = 0
    """An id, or incarnation and number; 0: none."""
    saved: tuple[Stamped | None, Stamped | None, Any] = NOTHING


class TagNode(NamedTuple):
    identity: int
    epoch: int = 0
    """0: none."""
    saved: int = 0


class State(NamedTuple):
    key: KeyNode
    tags: tuple[TagNode, ...]
    readers: tuple[tuple[Any, ...], ...]
    writer: tuple[Any, ...]
    left: tuple[int, int, int, int, int]
    """Writes, evictions, expiries, rollbacks, late copies."""
    late: tuple[tuple[Any, ...], ...] = ()
    source: int = 0
    floor: int = 0
    """No read that starts now may return less: Invalidate, Delete or Set of it was acknowledged."""
    memories: tuple[tuple[Any, ...], ...] = ()
    """Per server: identity of the key's node and fence; then per tag identity of its node and epoch; each as it was at
    some time, or None. Empty when no Set is to come."""


def with_tag(s: State, tag: int, **fields: int) -> State:
    return s._replace(tags=(*s.tags[:tag], s.tags[tag]._replace(**fields), *s.tags[tag + 1 :]))


def with_reader(s: State, i: int, reader: tuple[Any, ...]) -> State:
    return s._replace(readers=(*s.readers[:i], reader, *s.readers[i + 1 :]))


def minus(s: State, at: int) -> tuple[int, int, int, int, int]:
    left = list(s.left)
    left[at] -= 1
    return (left[0], left[1], left[2], left[3], left[4])


def fresh(s: State) -> int:
    """The smallest id that occurs nowhere; small enough numbers of other meaning in the way do no harm."""
    used = _ids(s.key) | _ids(s.tags) | _ids(s.readers) | _ids(s.writer) | _ids(s.late) | _ids(s.memories) | 1
    return (~used & (used + 1)).bit_length() - 1


def with_memory(s: State, server: int, part: int, learned: tuple[int, ...] | None) -> State:
    memory = (*s.memories[server][:part], learned, *s.memories[server][part + 1 :])
    return s._replace(memories=(*s.memories[:server], memory, *s.memories[server + 1 :]))


def without_gone(s: State) -> State:
    """Ids that only memories hold become one, so that there are fewer states."""
    used = _ids(s.key) | _ids(s.tags) | _ids(s.readers) | _ids(s.writer) | _ids(s.late)
    if not _ids(s.memories) & ~used:
        return s
    memories = tuple(
        tuple(part and tuple(one if one >= 0 and used >> one & 1 else GONE for one in part) for part in memory)
        for memory in s.memories
    )
    return s._replace(memories=memories)


@functools.cache
def _ids(part: tuple[Any, ...]) -> int:
    """The numbers in a part of a state, as bits: parts occur in very many states, so each is walked through once."""
    used = 0
    for one in part:
        if type(one) is int:
            if one >= 0:  # `GONE` is none
                used |= 1 << one
        elif one is not None and type(one) is not str:
            used |= _ids(one)
    return used
