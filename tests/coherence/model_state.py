"""What the exhaustive search (`model.py`) searches: rules that can be left out, bounds, and the state of all parts.

Ids (epochs, fences, tokens, identities) are small integers: a fresh one is the smallest that occurs nowhere in the
state, since ids that occur nowhere cannot be told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Rules:
    """The rules; each can be left out."""

    epochs_compared: bool = True
    missing_is_a_miss: bool = True
    epochs_unique: bool = True
    """Else counters, which begin anew when they are lost."""
    copies_have_ids_of_their_own: bool = True
    tag_node_identity: bool = True
    key_node_identity: bool = True
    stamps_of_the_grant: bool = True
    fill_needs_lease: bool = True
    fill_needs_grant: bool = True
    """Else the token suffices."""
    delete_voids_lease: bool = True
    set_voids_lease: bool = True
    fenced: bool = True
    writes_change_the_fence: bool = True
    judged_by_later_epochs: bool = True
    grant_compares: bool = True


@dataclass(frozen=True)
class Bounds:
    """How much of what may happen."""

    readers: int = 1
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


class KeyNode(NamedTuple):
    identity: int
    entry: Stamped | None = None
    lease: Stamped | None = None
    fence: int = 0
    saved: tuple[Stamped | None, Stamped | None, int] = NOTHING


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
    used: set[int] = set()
    todo: list[Any] = [s.key, s.tags, s.readers, s.writer, s.late]
    while todo:
        for one in todo.pop():
            if type(one) is int:
                used.add(one)
            elif one is not None and type(one) is not str:
                todo.append(one)
    return next(number for number in range(1, 1000) if number not in used)
