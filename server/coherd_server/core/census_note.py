"""What the census keeps in the store between its steps: how far a pass got, and what the last whole one counted.

A note comes back from a store others can write to; one that is not as it was written is told as damaged. One of a later
format counts as none: the next walk writes it anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import orjson

from coherd.catalog.catalog import ResolvedKey

MAX_COUNT: Final = 2**63 - 1
MAX_TIME_MS: Final = 253_402_300_799_999
"""End of the year 9999: the last time an answer can carry."""

T = TypeVar("T")


FORMAT: Final = 1
"""Of the notes. A note that names none is of format 1."""


class DamagedNote(ValueError):
    """A note holds something else than what was written."""


class LaterNote(DamagedNote):
    """A note is of a later format."""


@dataclass(slots=True)
class Tally:
    """Counts of one pass: ``domain`` or ``domain:resource`` to keys, and to their size in bytes."""

    keys: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    sizes: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    unlinked: int = 0
    """Dead entries whose bytes were given back."""

    def add(self, key: ResolvedKey, size_bytes: int) -> None:
        """Count one entry."""
        for name in (key.domain.name, f"{key.domain.name}:{key.parts.resource}"):
            self.keys[name] += 1
            self.sizes[name] += size_bytes

    def fields(self) -> dict[str, Any]:
        """The fields of a note that hold these counts."""
        return {"keys": dict(self.keys), "sizes": dict(self.sizes), "unlinked": self.unlinked}


@dataclass(slots=True)
class Progress:
    """How far a pass got."""

    tally: Tally = field(default_factory=Tally)
    done: list[str] = field(default_factory=list)
    """Primaries that were walked."""
    at: dict[str, int] = field(default_factory=dict)
    """Cursor on the one under way."""

    def encode(self) -> bytes:
        """The note that holds this progress."""
        return orjson.dumps({**self.tally.fields(), "done": self.done, "at": self.at})


@dataclass(frozen=True, slots=True)
class CensusResult:
    """What the last whole pass counted."""

    counted_at_ms: int
    """Unix milliseconds of its end, by the clock of the server that walked."""
    keys: dict[str, int]
    sizes: dict[str, int]
    """Bytes of keys and entries."""
    unlinked: int

    @classmethod
    def of(cls, tally: Tally, counted_at_ms: int) -> CensusResult:
        """The result of a whole pass."""
        return cls(counted_at_ms, dict(tally.keys), dict(tally.sizes), tally.unlinked)

    def encode(self) -> bytes:
        """The note that holds this result."""
        return orjson.dumps(self)


FINISHED: Final = b"{}"
"""The progress of a pass that has ended."""


def decode_result(note: bytes) -> CensusResult:
    """The result in a note.

    Raises:
        DamagedNote: it holds none.
    """
    return _decoded(note, _result)


def decode_progress(note: bytes) -> Progress:
    """The progress in a note; that of a new pass where the last one has ended.

    Raises:
        DamagedNote: it holds none.
    """
    return Progress() if note == FINISHED else _decoded(note, _progress)


def _decoded(note: bytes, read: Callable[[dict[str, Any]], T]) -> T:
    try:
        fields = _of(dict, orjson.loads(note))
        if _of(int, fields.get("format", FORMAT)) > FORMAT:
            raise LaterNote("of a later format")
        return read(fields)
    except (orjson.JSONDecodeError, KeyError):
        raise DamagedNote("not what was written") from None


def _result(fields: dict[str, Any]) -> CensusResult:
    at_ms = _number(fields["counted_at_ms"], MAX_TIME_MS)
    return CensusResult(at_ms, _numbers(fields["keys"]), _numbers(fields["sizes"]), _number(fields["unlinked"]))


def _progress(fields: dict[str, Any]) -> Progress:
    keys, sizes = (defaultdict(int, _numbers(fields[name])) for name in ("keys", "sizes"))
    done = [_of(str, primary) for primary in _of(list, fields["done"])]
    return Progress(Tally(keys, sizes, _number(fields["unlinked"])), done, _numbers(fields["at"], 2**64 - 1))


def _numbers(value: object, most: int = MAX_COUNT) -> dict[str, int]:
    return {name: _number(count, most) for name, count in _of(dict, value).items()}


def _number(value: object, most: int = MAX_COUNT) -> int:
    if not 0 <= _of(int, value) <= most:
        raise DamagedNote("a number is out of range")
    return _of(int, value)


def _of(kind: type[T], value: object) -> T:
    if type(value) is not kind:
        raise DamagedNote(f"a {kind.__name__} is missing")
    return value
