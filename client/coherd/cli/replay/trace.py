"""Access traces: which object each request of a recorded workload asked for, and what follows (docs/use/replay.md).

Two contents, each plain or compressed with xz or gzip: big-endian signed 32-bit integers, one per request; or text, one
id a line. Compression and content are recognised from the bytes, never from the file's name.
"""

from __future__ import annotations

import enum
import gzip
import io
import lzma
import sys
import zlib
from array import array
from collections.abc import Hashable, Iterable, Sequence
from typing import IO, Final, NamedTuple, Protocol

from typing_extensions import Buffer

MAX_TRACE_BYTES: Final = 1 << 29
"""Longest trace after decompression, 512 MiB (134 million binary requests)."""
MAX_ID_BYTES: Final = 256
"""Longest id of a text trace, UTF-8: it becomes part of a key."""

_XZ: Final = b"\xfd7zXZ\x00"
_GZIP: Final = b"\x1f\x8b"
_ITEM_BYTES: Final = 4
_CHUNK_BYTES: Final = 1 << 20


class TraceError(ValueError):
    """A trace that cannot be replayed. One line: what is wrong, and where."""


class TraceFormat(enum.Enum):
    """What a trace holds once decompressed."""

    AUTO = "auto"
    """Binary if it holds a NUL byte (every object number in 0..16,777,215 does), else text."""
    INT32 = "int32"
    TEXT = "text"


def read_trace(
    source: IO[bytes], *, form: TraceFormat = TraceFormat.AUTO, limit: int | None = None
) -> Sequence[int | str]:
    """The ids of a trace in request order: integers of a binary trace, text of a text trace.

    Args:
        source: open for reading bytes, at the start of the trace.
        form: what it holds.
        limit: only the first so many requests, >= 1; None: all.

    Raises:
        TraceError: it is empty, truncated, corrupt, too long, or neither form.
    """
    data = _decompressed(source)
    if not data:
        raise TraceError("the trace is empty")
    if form is TraceFormat.AUTO:
        form = TraceFormat.INT32 if b"\0" in data else TraceFormat.TEXT
    return _binary(data, limit) if form is TraceFormat.INT32 else _lines(data, limit)


def _decompressed(source: IO[bytes]) -> bytes:
    head = source.read(len(_XZ))
    joined = io.BufferedReader(_Rejoined(head, source))
    try:
        if head.startswith(_XZ):
            with lzma.open(joined) as stream:
                return _bounded(stream)
        if head.startswith(_GZIP):
            with gzip.open(joined) as stream:
                return _bounded(stream)
    except EOFError:
        raise TraceError("the compressed trace is truncated: it ends in the middle") from None
    except (lzma.LZMAError, gzip.BadGzipFile, zlib.error):
        raise TraceError("the compressed trace is damaged: it does not decompress") from None
    return _bounded(joined)


class SupportsRead(Protocol):
    """Gives bytes until there are no more."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes."""
        ...


class _Rejoined(io.RawIOBase):
    """A stream whose first bytes were read already; works for pipes, which cannot seek."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._head[: len(view)] or self._rest.read(len(view))
        self._head = self._head[len(view) :]
        view[: len(data)] = data
        return len(data)


def _bounded(stream: SupportsRead) -> bytes:
    unpacked = bytearray()
    while chunk := stream.read(_CHUNK_BYTES):
        unpacked += chunk
        if len(unpacked) > MAX_TRACE_BYTES:
            raise TraceError(f"the trace is longer than {MAX_TRACE_BYTES} bytes")
    return bytes(unpacked)


def _binary(data: bytes, limit: int | None) -> Sequence[int]:
    if limit is None and len(data) % _ITEM_BYTES:
        raise TraceError(f"the trace is truncated: {len(data)} bytes is no multiple of {_ITEM_BYTES}")
    whole = len(data) // _ITEM_BYTES
    count = whole if limit is None else min(limit, whole)
    if not count:
        raise TraceError(f"the trace is truncated: {len(data)} bytes hold no request of {_ITEM_BYTES} bytes")
    numbers = array("i", data[: count * _ITEM_BYTES])
    if numbers.itemsize != _ITEM_BYTES:
        raise TraceError("this platform's int is not 32 bits wide")
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


def _lines(data: bytes, limit: int | None) -> Sequence[str]:
    ids: list[str] = []
    for number, line in enumerate(io.BytesIO(data), start=1):
        raw = line.strip()
        if not raw:
            continue
        if len(raw) > MAX_ID_BYTES:
            raise TraceError(f"line {number}: an id is at most {MAX_ID_BYTES} bytes, this one has {len(raw)}")
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            raise TraceError(f"line {number}: not UTF-8 text, and no binary trace either (see --format)") from None
        ids.append(text)
        if len(ids) == limit:
            break
    if not ids:
        raise TraceError("the trace holds no id, only empty lines")
    return ids


class Expected(NamedTuple):
    """Counts that follow from a trace alone; no cache, server or engine is involved.

    The rule (docs/use/replay.md): in a cache that starts cold, is big enough and keeps values longer than the run, the
    first request of each object is a miss and every later one is a hit.
    """

    requests: int
    distinct: int
    """Different objects: the misses, and the loads."""

    @property
    def hits(self) -> int:
        """Requests that find their object."""
        return self.requests - self.distinct

    @property
    def hit_ratio(self) -> float:
        """Hits of all requests, 0..1; 0 for no requests."""
        return self.hits / self.requests if self.requests else 0.0


def expected(ids: Iterable[Hashable]) -> Expected:
    """The counts of a trace."""
    requests = 0
    seen: set[Hashable] = set()
    for item in ids:
        requests += 1
        seen.add(item)
    return Expected(requests, len(seen))
