"""Reading traces: every format, and precise errors for what is none."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherd.cli.replay import trace as trace_module
from coherd.cli.replay.trace import TraceError, TraceFormat, read_trace

IDS = [5, 0, 5, 16_777_215, 7]
BINARY = struct.pack(">5i", *IDS)
TEXT = b"alpha\nbeta\r\n\n  alpha \nd\xc3\xa9j\xc3\xa0\n"


def read(data: bytes, **options: object) -> list[int | str]:
    return list(read_trace(io.BytesIO(data), **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("pack", [bytes, lzma.compress, gzip.compress], ids=["plain", "xz", "gz"])
def test_binary_and_text_in_every_packing(pack) -> None:
    assert read(pack(BINARY)) == IDS
    assert read(pack(TEXT)) == ["alpha", "beta", "alpha", "déjà"]


def test_several_xz_streams_in_one_file() -> None:
    assert read(lzma.compress(BINARY) + lzma.compress(BINARY)) == IDS * 2


def test_a_pipe_cannot_seek() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as sink:
        sink.write(lzma.compress(BINARY))
    with os.fdopen(reading, "rb") as source:
        assert list(read_trace(source)) == IDS


@given(st.lists(st.integers(min_value=-(2**31), max_value=2**31 - 1), min_size=1))
def test_binary_round_trip(ids: list[int]) -> None:
    assert read(struct.pack(f">{len(ids)}i", *ids), form=TraceFormat.INT32) == ids


def test_object_numbers_may_be_negative() -> None:
    """Those of real traces are."""
    assert read(struct.pack(">3i", 1, -7, 2)) == [1, -7, 2]


def test_limit() -> None:
    assert read(BINARY, limit=2) == IDS[:2]
    assert read(BINARY[:-1], limit=2) == IDS[:2]
    assert read(TEXT, limit=2) == ["alpha", "beta"]
    assert read(BINARY, limit=99) == IDS


def test_a_binary_trace_without_small_numbers_needs_its_format_named() -> None:
    data = struct.pack(">2i", 0x61626364, 0x65666768)
    assert read(data) == ["abcdefgh"]
    assert read(data, form=TraceFormat.INT32) == [0x61626364, 0x65666768]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (lzma.compress(b""), "empty"),
        (b"\n\n", "only empty lines"),
        (BINARY[:-1], "truncated: 19 bytes"),
        (b"\x00\x01", "truncated: 2 bytes"),
        (lzma.compress(BINARY)[:-8], "truncated"),
        (gzip.compress(BINARY, mtime=0)[:-8], "truncated"),
        (lzma.compress(BINARY)[:20] + b"\x00" * 40, "damaged"),
        (gzip.compress(BINARY, mtime=0)[:10] + b"\xff" * 40, "damaged"),
        (lzma.compress(BINARY)[:7], "truncated"),
        (b"ok\n\xff\xfe\n", "line 2: not UTF-8"),
        (b"a\n" + b"x" * 257 + b"\n", "line 2: an id is at most 256 bytes"),
    ],
)
def test_errors_are_one_precise_line(data: bytes, says: str) -> None:
    with pytest.raises(TraceError, match=says) as caught:
        read(data)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=200))
def test_garbage_never_crashes(data: bytes) -> None:
    for head in (b"", b"\xfd7zXZ\x00", b"\x1f\x8b"):
        try:
            ids = read(head + data)
        except TraceError:
            continue
        assert ids


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_module, "MAX_TRACE_BYTES", 1 << 20)
    with pytest.raises(TraceError, match="longer than"):
        read(lzma.compress(b"\0" * (4 << 20)))


def test_the_excerpt_of_a_real_trace() -> None:
    path = Path(__file__).parents[2] / "data" / "web12-first-5000.trace.xz"
    with path.open("rb") as source:
        ids = read_trace(source)
    assert len(ids) == 5_000
    assert len(set(ids)) == 2_268
