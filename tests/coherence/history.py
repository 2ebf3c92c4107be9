"""The history of a run: one line per operation, on the monotonic clock of one host, and how it is read back.

What may change something is written twice, when it begins (``end_ns`` null) and when it ends: of a process that is
killed only the first line is left. Of two lines with one id the later one counts.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

import orjson

from coherd.codec import JSON

READS: Final = frozenset(
    {
        *("get", "batch_get", "lease", "batch_lease", "get_or_load"),
        *("client_get", "client_get_many", "client_get_or_load"),
    }
)
"""Paths whose operations may return a value; those of the typed client by its verbs."""
STORES: Final = frozenset({"set", "batch_set", "fill", "batch_fill"})
CHANGES: Final = frozenset({"invalidate", "delete"})
GIVEN_UP: Final = "given_up"
"""Outcome of a set whose caller gave up on it, and of which its server knows that."""
ACKNOWLEDGED: Final = frozenset(
    {"done", "stored", "hit", "stale", "miss", "granted", "held", "rejected", "older", "present"}
)


@dataclass(frozen=True, slots=True)
class Traced:
    """What a loader or writer embeds in a value, so that every value that is returned can be traced."""

    key: str
    version: int
    """Of the source of truth, when it was read or written."""
    nonce: str
    """Id of the load, or of the set."""
    origin: str
    """``load`` or ``set``."""
    read_ns: int
    """Just after the source was read."""
    tags: tuple[str, ...] = ()
    """Canonical text of its extra tags."""

    def encode(self) -> bytes:
        """As a `coherd.v1.Json`, the value type of the built-in resources."""
        return JSON.encode(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {"tags": list(self.tags)}

    @classmethod
    def of(cls, raw: Any) -> Self:
        """From JSON or encoded bytes.

        Raises:
            Exception: it is no traced value.
        """
        found = JSON.decode(raw) if isinstance(raw, bytes) else raw
        return cls(**{**found, "tags": tuple(found["tags"])})


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as its caller saw it."""

    process: str
    id: str
    path: str
    """`READS`, `STORES`, `CHANGES`, ``lease_copy``, ``touch``, ``load``, ``commit``, ``fault``; ``push``: a client was
    told to drop."""
    key: str = ""
    """Of a fault: its kind."""
    tags: tuple[str, ...] = ()
    """Of an invalidation: canonical text of the tags it names. Of a fault: what it hit. Of a push: what it names, keys
    with ``=`` before them."""
    start_ns: int = 0
    end_ns: int | None = None
    """None: it never ended, its process was killed."""
    outcome: str = ""
    """``hit``, ``stale``, ``miss``, ``granted``, ``held``, ``stored``, ``rejected``, ``older``, ``present``, ``done``;
    ``error:REASON`` as the service answered; ``lost:CODE`` where it answered nothing; `GIVEN_UP`."""
    value: Traced | None = None
    """What a read returned, or a store stored."""
    garbled: bool = False
    """A read returned bytes that are no traced value."""
    server: int = -1
    lease_ms: int = 0
    """Of a lease."""
    token: str = ""
    """Of a lease or fill."""
    grant: str = ""
    """Of a lease that was granted."""
    near: bool = False
    """A read was answered by the near cache of its process, not by the service."""
    waits: bool = False
    """A change is acknowledged only after near caches dropped what it names, also where the domain is not strict."""

    @property
    def is_acknowledged(self) -> bool:
        """The service answered that it did what it was asked."""
        return self.outcome in ACKNOWLEDGED

    @property
    def settled_ns(self) -> float:
        """From when on a change that begins keeps it from taking effect: its answer, whatever it was; never, where none
        came, unless its server knows that it is not wanted any more."""
        lost = self.end_ns is None or self.outcome.startswith("lost:")
        return float("inf") if lost or self.end_ns is None else self.end_ns

    @property
    def effective_ns(self) -> float:
        """Until when it may take effect, if nothing keeps it from that."""
        return float("inf") if self.outcome == GIVEN_UP else self.settled_ns

    def line(self) -> bytes:
        """Its line."""
        filled = {name: value for name, value in asdict(self).items() if value not in ("", None, (), False, -1, 0)}
        return orjson.dumps(filled) + b"\n"


def operation_of(line: bytes) -> Operation:
    """The operation of a line."""
    found = orjson.loads(line)
    value = found.get("value")
    found["value"] = None if value is None else Traced(**{**value, "tags": tuple(value["tags"])})
    found["tags"] = tuple(found.get("tags", ()))
    return Operation(**found)


class Recorder:
    """Appends to one process's file; each line is written whole and at once, so that a kill loses none."""

    def __init__(self, path: Path, process: str) -> None:
        self.process = process
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._numbers = itertools.count(1)  # any thread takes the next one

    def new_id(self) -> str:
        """Unique within the run."""
        return f"{self.process}-{next(self._numbers)}"

    def begin(self, path: str, **fields: Any) -> Operation:
        """Write that an operation begins now, and may change something."""
        begun = self.start(path, **fields)
        os.write(self._file, begun.line())
        return begun

    def start(self, path: str, **fields: Any) -> Operation:
        """An operation that begins now and changes nothing: not written before it ends."""
        fields.setdefault("id", self.new_id())
        return Operation(self.process, path=path, start_ns=time.monotonic_ns(), **fields)

    def end(self, begun: Operation, outcome: str, **fields: Any) -> Operation:
        """Write that it ended now."""
        ended = replace(begun, end_ns=time.monotonic_ns(), outcome=outcome, **fields)
        os.write(self._file, ended.line())
        return ended


@dataclass(slots=True)
class History:
    """All operations of a run, by start."""

    operations: list[Operation] = field(default_factory=list)

    @classmethod
    def of(cls, operations: Iterable[Operation]) -> Self:
        """Of operations in the order they were written."""
        latest = {one.id: one for one in operations}
        return cls(sorted(latest.values(), key=lambda one: one.start_ns))

    @classmethod
    def load(cls, directory: Path) -> Self:
        """From all files of a run; a last line that is cut off is a process that is writing or was killed."""
        return cls.of(_lines(sorted(directory.glob("*.jsonl"))))

    @classmethod
    def load_running(cls, directory: Path) -> Self:
        """While processes still write: without what began after now, so that all that a read can have met is in it."""
        now_ns = time.monotonic_ns()
        whole = cls.load(directory).operations
        ended = (one for one in whole if one.path not in READS or (one.end_ns or now_ns) < now_ns)
        return cls([one for one in ended if one.start_ns < now_ns])

    def on(self, *paths: str) -> Iterator[Operation]:
        """Operations of these paths."""
        return (one for one in self.operations if one.path in paths)

    @property
    def seconds(self) -> float:
        """From its first operation to its last."""
        ends = [one.end_ns or one.start_ns for one in self.operations]
        return (max(ends) - self.operations[0].start_ns) / 1e9 if ends else 0.0

    @property
    def reads(self) -> Iterator[Operation]:
        """Reads that returned a value."""
        return (one for one in self.operations if one.path in READS and one.value is not None)

    @property
    def faults(self) -> list[Operation]:
        """What was done to the system."""
        return list(self.on("fault"))


def _lines(paths: Iterable[Path]) -> Iterator[Operation]:
    for path in paths:
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                yield operation_of(line)
