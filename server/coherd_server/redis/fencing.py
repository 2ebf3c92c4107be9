"""Fences: what keeps a write that arrives late from undoing a later one [late-write-fence].

A set names a **fencing token** from before it began, and is void where its key was written since. Where all keys are on
one node, one string there serves them all: a token says how far it was written, and every script that writes tells the
new one. So the token is mostly known before a set begins, and the set needs no round trip to ask for it. Of `PLACES`
places in the string each key has two, by its hash, and a write changes both: only where both were changed a key may
have been written. So a key that shares a place with another that is written all the time is not held up by it.

On a cluster a script may only touch names of one slot. Each key has a fence of its own there, made when it is asked for
and taken away by the next write.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, Protocol, cast

from coherd_server.redis import scripts
from coherd_server.redis.jobs import Job

PLACES: Final = 32_768
"""Two servers of one store must agree on it: another number needs another format of the string (`fence_string.lua`)."""
PLACE_BYTES: Final = 6
INCARNATION_BYTES: Final = 8
FENCING_TOKEN_BYTES: Final = INCARNATION_BYTES + 8
FENCE_LIFETIMES: Final = 5
"""The fence of a key outlives its write's deadline this many times."""
_TWO: Final = struct.Struct(">HH")
_NUMBERS: Final = struct.Struct(">QHH")


class Fencing(Protocol):
    """One of the two ways to fence writes: its scripts, and what they are given."""

    @property
    def put(self) -> scripts.Script: ...

    @property
    def fill(self) -> scripts.Script: ...

    @property
    def remove(self) -> scripts.Script: ...

    def name_of(self, value: str) -> str:
        """Full name of the fence of a value's full name."""
        ...

    def numbers_of(self, value: str, lifetime_ms: int) -> bytes:
        """The numbers that the scripts take of an item (``items.lua``): a lifetime, and the places of the value's key
        in the string, 0 where it has a string of its own."""
        ...

    def token_jobs(self, values: Sequence[str]) -> list[Job]:
        """Jobs that answer with the fencing tokens of these: one for all, or one for each."""
        ...


class NodeFencing:
    """One string for all keys of a node. Its scripts tell the new token (`Script.tells_token`).

    Args:
        name: of the string.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def put(self) -> scripts.Script:
        return scripts.PUT

    @property
    def fill(self) -> scripts.Script:
        return scripts.FILL

    @property
    def remove(self) -> scripts.Script:
        return scripts.REMOVE

    def name_of(self, value: str) -> str:
        return self._name

    def numbers_of(self, value: str, lifetime_ms: int) -> bytes:
        digest = blake2b(value.encode(), digest_size=_TWO.size).digest()
        first, second = cast(tuple[int, int], _TWO.unpack(digest))
        half = PLACES // 2
        return _NUMBERS.pack(lifetime_ms, first % half, half + second % half)

    def token_jobs(self, values: Sequence[str]) -> list[Job]:
        return (
            [Job(scripts.FENCING_TOKEN, (self._name,), (FENCING_TOKEN_BYTES + PLACE_BYTES * PLACES,))] if values else []
        )


class KeyFencing:
    """A string per key, in its hash slot.

    Args:
        begin: of the names.
        lifetime_ms: of a fence.
    """

    def __init__(self, begin: str, lifetime_ms: int) -> None:
        self._begin = begin
        self._lifetime_ms = lifetime_ms

    @property
    def put(self) -> scripts.Script:
        return scripts.PUT_APART

    @property
    def fill(self) -> scripts.Script:
        return scripts.FILL_APART

    @property
    def remove(self) -> scripts.Script:
        return scripts.REMOVE_APART

    def name_of(self, value: str) -> str:
        return f"{self._begin}{{{value}}}"

    def numbers_of(self, value: str, lifetime_ms: int) -> bytes:
        return _NUMBERS.pack(lifetime_ms, 0, 0)

    def token_jobs(self, values: Sequence[str]) -> list[Job]:
        return [Job(scripts.ENSURE_EPOCH, (self.name_of(value),), (self._lifetime_ms,)) for value in values]


def fencing_of(prefix: str, *, one_primary: bool, deadline_ms: int) -> Fencing:
    """The way of a store.

    Args:
        prefix: of the deployment.
        one_primary: all names are on one node at a time.
        deadline_ms: a write ends by then.
    """
    if one_primary:
        return NodeFencing(f"{prefix}coherd:fences")
    return KeyFencing(f"{prefix}coherd:fence:", FENCE_LIFETIMES * deadline_ms)


def later_token(token: bytes, other: bytes | None) -> bytes:
    """Of two fencing tokens of one node, told in this order over its connections, the one that knows of more writes."""
    if other is None or token[:INCARNATION_BYTES] != other[:INCARNATION_BYTES]:
        return token
    return max(token, other)
