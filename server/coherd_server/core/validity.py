"""What stored bytes mean: the decision of a read [current-stamps]. Pure; time and epochs are arguments."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, NamedTuple

from coherd.catalog.catalog import ResolvedKey
from coherd.catalog.declared import OnFailover
from coherd.contract import tags
from coherd_server.core.entry import (
    IDENTITY_BYTES,
    ONE_IDENTITY,
    EntryFormatError,
    Flags,
    Header,
    LaterFormat,
    Stamp,
    decode_header,
    is_ours,
    parse_block,
    stamp_block,
)
from coherd_server.core.store import EpochRead, ValueRead

ANY_IDENTITY: Final = bytes(IDENTITY_BYTES)
"""Stands for every node in entries of domains with ``on_failover: KEEP``, which waive the identity check."""

MAX_TIME_MS: Final = 2**63 - 1
"""No entry of ours is fresh longer: a later time is damage, and would not fit an answer."""


class State(enum.Enum):
    """What a read finds."""

    FRESH = "fresh"
    STALE = "stale"
    """Past its TTL, within its stale time, epochs current [stale-needs-current-epochs]."""
    ABSENT = "absent"
    """Nothing, or the tombstone of a deleted versioned entry."""
    INVALIDATED = "invalidated"
    """Invalidated, or held or stamped by a node that was replaced [node-identity]."""
    EXPIRED = "expired"
    FOREIGN = "foreign"
    """Bytes that are not ours, or damaged."""
    LATER = "later"
    """An entry that a later version wrote: a miss here, which may be valid there [later-format]."""


LATER_HEAD_BYTES: Final = 1_024
"""How much of an entry of a later format stands for all of it: wherever its header ends, times and stamps are in it."""


class Validity(NamedTuple):
    """The outcome of a read; ``header`` is None where there is no entry that this version reads."""

    state: State
    raw: bytes = b""
    """Empty where there is none of ours."""
    header: Header | None = None
    age_ms: int = 0
    remaining_ms: int = 0
    """Until no longer fresh; not positive when stale."""

    @property
    def payload(self) -> bytes:
        """The value's bytes; empty unless there is an entry."""
        return b"" if self.header is None else self.raw[self.header.size :]

    @property
    def head(self) -> bytes:
        """The bytes by which scripts compare [unlink-by-bytes]: the entry's header, or what a later one begins with."""
        if self.header is None:
            return self.raw[:LATER_HEAD_BYTES]
        return self.raw[: self.header.size]


ABSENT: Final = Validity(State.ABSENT)
FOREIGN: Final = Validity(State.FOREIGN)


def extra_refs_of(key: ResolvedKey, block: bytes) -> tuple[tags.TagRef, ...]:
    """The tags in a stamp block beyond those the key gives, in stored order.

    Raises:
        EntryFormatError: the stamps are damaged, or name a tag the key cannot have.
    """
    derived = {ref for ref, _ in key.tags}
    extra: list[tags.TagRef] = []
    for stamp in parse_block(block):
        if stamp.ref not in derived:
            tag = tags.tag_of_ref(stamp.ref, key.parts)
            if tag is None:
                raise EntryFormatError("the entry names a tag its key cannot have")
            extra.append(tags.TagRef(stamp.ref, tag))
    return tuple(extra)


def expected_block(
    key: ResolvedKey, extra: tuple[tags.TagRef, ...], identity: bytes, epochs: Mapping[str, EpochRead]
) -> bytes | None:
    """The stamp block an entry under this key must carry to be valid now; None where a tag has no epoch
    [missing-is-a-miss], or the extra tags are those of a catalog that did not ask for the ``*`` tag of one of them
    [tags-by-name]."""
    keep = key.domain.on_failover is OnFailover.KEEP
    if extra:
        complete = key.domain.has_any_tags(key.tags, extra)
        return _mixed_block(key, extra, identity, epochs, keep=keep) if complete else None
    parts = [ONE_IDENTITY, ANY_IDENTITY if keep else identity]
    add = parts.append
    for start, tag in key.stamp_starts:
        epoch, holder = epochs[tag]
        if epoch is None:
            return None
        if holder != identity and not keep:
            return _mixed_block(key, extra, identity, epochs, keep=keep)
        add(start)
        add(epoch)
    return b"".join(parts)


def _mixed_block(
    key: ResolvedKey, extra: tuple[tags.TagRef, ...], identity: bytes, epochs: Mapping[str, EpochRead], *, keep: bool
) -> bytes | None:
    """The stamp block `expected_block` answers, for any tags, whichever nodes hold their epochs."""
    stamps: list[Stamp] = []
    for ref, tag in (*key.tags, *extra):
        epoch, holder = epochs[tag]
        if epoch is None:
            return None
        stamps.append(Stamp(ref, epoch, ANY_IDENTITY if keep else holder))
    return stamp_block(ANY_IDENTITY if keep else identity, stamps)


def open_entry(read: ValueRead) -> Header | Validity:
    """The header of the bytes under a key, or the validity where they are no entry of ours."""
    raw = read.raw
    if raw is None:
        return ABSENT
    if not is_ours(raw):
        return FOREIGN
    try:
        header = decode_header(raw)
    except LaterFormat:
        return Validity(State.LATER, raw)
    except EntryFormatError:
        return FOREIGN
    if header.times.fresh_until_ms > MAX_TIME_MS:
        return FOREIGN
    flags = header.flags
    return Validity(State.ABSENT, raw, header) if flags and flags & Flags.TOMBSTONE else header


def validate(
    key: ResolvedKey,
    read: ValueRead,
    header: Header,
    extra: tuple[tags.TagRef, ...],
    epochs: Mapping[str, EpochRead],
) -> Validity:
    """Decide what an entry is worth.

    Args:
        key: what follows from its key in the running catalog.
        read: its bytes, the node that said so and that node's time [no-wall-clock].
        header: of those bytes.
        extra: the extra tags it carries.
        epochs: current epoch of each of its tags.
    """
    raw, identity, now_ms = read
    _, _, times, block, _ = header
    if raw is None or block != expected_block(key, extra, identity, epochs):
        return Validity(State.INVALIDATED, raw or b"", header)
    if now_ms < times.written_at_ms:  # by a process that knew the node's clock better
        now_ms = times.written_at_ms
    remaining_ms = times.fresh_until_ms - now_ms
    state = State.FRESH
    if remaining_ms <= 0:
        if now_ms >= times.stale_until_ms:
            return Validity(State.EXPIRED, raw, header)
        state = State.STALE
    return tuple.__new__(Validity, (state, raw, header, now_ms - times.written_at_ms, remaining_ms))
