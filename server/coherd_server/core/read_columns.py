"""What many keys are worth, as columns: the way of reads that cost nothing more than what they answer. Pure.

Only plain entries are judged here, which nearly all are: without flags, of keys whose epochs one node holds. The rest
is named, to be judged one by one as `coherd_server.core.validity` says; where both judge they say the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from coherd import _native
from coherd.catalog.catalog import ResolvedKey
from coherd.catalog.declared import OnFailover
from coherd_server.core.entry import (
    FIXED_BYTES,
    IDENTITY_BYTES,
    MAX_FRESH_MS,
    ONE_IDENTITY,
    PLAIN_FIELDS,
    PLAIN_START,
)
from coherd_server.core.store import EpochRead, ValueColumns
from coherd_server.core.validity import ANY_IDENTITY, State


class ReadColumns(NamedTuple):
    """What was found under keys, in their order: columns of one length."""

    states: Sequence[State | None]
    """None: it stands in another place."""
    values: Sequence[bytes]
    """The payload of each that is fresh; empty for all else."""
    remaining_ms: Sequence[int]
    """Until no longer fresh; 0 for all else."""
    ages_ms: Sequence[int]
    """Since it was written; 0 for all else."""

    def part(self, some: slice) -> ReadColumns:
        """Some of them."""
        return ReadColumns(self.states[some], self.values[some], self.remaining_ms[some], self.ages_ms[some])


def nothing(size: int) -> ReadColumns:
    """Columns that say nothing: all stands in other places."""
    return ReadColumns([None] * size, [b""] * size, [0] * size, [0] * size)


_STATES: Final = (State.FRESH, State.ABSENT, State.EXPIRED, State.INVALIDATED)
"""As the compiled twin names them."""


def judge(
    keys: Sequence[ResolvedKey], reads: ValueColumns, epochs: Mapping[str, EpochRead]
) -> tuple[ReadColumns, list[int]]:
    """`judge_plain`, by its compiled twin where that is loaded."""
    compiled = _native.loaded
    if compiled is not None:
        judged = compiled.judge_plain(keys, reads, epochs, _STATES, OnFailover.KEEP)
        if judged is not compiled.LEFT:
            states, values, remaining, ages, others = judged
            return ReadColumns(states, values, remaining, ages), others
    return judge_plain(keys, reads, epochs)


def judge_plain(
    keys: Sequence[ResolvedKey], reads: ValueColumns, epochs: Mapping[str, EpochRead]
) -> tuple[ReadColumns, list[int]]:
    """What plain entries are worth, and the places of those that must be judged one by one.

    Args:
        keys: what was asked for.
        reads: what is stored under each.
        epochs: current epoch of each tag of theirs.
    """
    states: list[State | None] = []
    values: list[bytes] = []
    remaining: list[int] = []
    ages: list[int] = []
    others: list[int] = []
    fresh, absent, expired, dead = State.FRESH, State.ABSENT, State.EXPIRED, State.INVALIDATED
    plain, unpack = PLAIN_START, PLAIN_FIELDS.unpack_from
    keep_of, keep, identity_of, current = None, False, b"", dict[str, bytes]()
    stamped_by = b""
    for at, (key, raw, identity, now_ms) in enumerate(zip(keys, *reads, strict=True)):
        state: State | None = None
        value, remaining_ms, age_ms = b"", 0, 0
        if raw is None:
            state = absent
        elif raw.startswith(plain) and len(raw) >= FIXED_BYTES:
            written_ms, until_ms, stale_ms, _, block_bytes = unpack(raw, 16)
            size = FIXED_BYTES + block_bytes
            if key.domain is not keep_of:
                keep_of, keep = key.domain, key.domain.on_failover is OnFailover.KEEP
                identity_of = b""
            if identity != identity_of:
                identity_of = identity
                stamped_by = ONE_IDENTITY + (ANY_IDENTITY if keep else identity)
                current = {
                    tag: epoch
                    for tag, (epoch, holder) in epochs.items()
                    if epoch is not None and (keep or holder == identity)
                }
            try:
                block = stamped_by
                for start, tag in key.stamp_starts:
                    block += start + current[tag]
            except KeyError:  # it has no epoch, or one that another node holds
                others.append(at)
            else:
                if now_ms < written_ms:  # by a process that knew the node's clock better
                    now_ms = written_ms
                if until_ms > MAX_FRESH_MS or len(raw) < size or block_bytes <= IDENTITY_BYTES:
                    others.append(at)  # damaged
                elif block_bytes != len(block) or not raw.startswith(block, FIXED_BYTES):
                    state = dead
                elif until_ms > now_ms:
                    state, value, remaining_ms, age_ms = fresh, raw[size:], until_ms - now_ms, now_ms - written_ms
                elif now_ms >= until_ms + stale_ms:
                    state = expired
                else:
                    others.append(at)
        else:
            others.append(at)
        states.append(state)
        values.append(value)
        remaining.append(remaining_ms)
        ages.append(age_ms)
    return ReadColumns(states, values, remaining, ages), others
