"""What both twins are given, and what they answered in a form that compares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from hypothesis import strategies as st

from coherd._rpc.frames import GetColumns, SetColumns, SetOptions
from coherd.v1 import session_pb2
from coherd_server.rpc.frame_bytes import GetAnswers, SetAnswers

MOST: Final = 2_000
"""Gets, sets and operations of a frame."""


def outcome(function: Callable[..., Any], *args: Any) -> tuple[Any, ...]:
    """What it returns, with the types of everything in it, or the type of its error and, of ours, its text."""
    try:
        return ("returned", plain(function(*args)))
    except Exception as error:  # noqa: BLE001 - it is what is compared
        text = str(error) if type(error).__module__.startswith("coherd") else ""
        return ("raised", type(error), text)


def plain(value: Any) -> Any:
    """Named tuples and columns with the types of their parts; whatever a column is, as a list."""
    if isinstance(value, tuple) and type(value) is not tuple:
        return (type(value), [plain(one) for one in value])
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(one) for one in value]
    return (type(value), value)


# Columns as callers give them.

KEYS: Final = st.lists(st.text(max_size=12) | st.just("content.rendered:page=7"), max_size=6)
NUMBERS: Final = st.integers(0, 2**63 - 1) | st.sampled_from([0, 1, 127, 128, 2**31, 2**62])
BAD_NUMBERS: Final = st.sampled_from([-1, 2**63, 2**64, True, 1.5, None, "7"])
PAYLOADS: Final = st.binary(max_size=40)


@st.composite
def _gets(draw: st.DrawFn, keys: Any, numbers: Any) -> GetColumns:
    return GetColumns(draw(numbers), draw(numbers), draw(st.booleans()), draw(keys))


@st.composite
def _sets(draw: st.DrawFn, keys: Any, numbers: Any, payloads: Any, tags: Any) -> SetColumns:
    texts = draw(keys)
    options = SetOptions(draw(st.none() | numbers), draw(tags), draw(st.booleans()), draw(st.booleans()))
    values = [draw(payloads) for _ in texts]
    versions = [draw(numbers) for _ in texts] if draw(st.booleans()) else []
    return SetColumns(draw(numbers), draw(numbers), options, texts, values, versions)


def columns(records: Any) -> Any:
    """A few records, as a list or a tuple."""
    return st.lists(records, max_size=3) | st.lists(records, max_size=2).map(tuple)


GETS: Final = columns(_gets(KEYS, NUMBERS))
SETS: Final = columns(_sets(KEYS, NUMBERS, PAYLOADS, st.none()))
BAD_KEYS: Final = st.lists(st.sampled_from(["a", "\ud800", b"bytes", b"\xff", 7, None]), max_size=3)
WILD_GETS: Final = columns(_gets(KEYS | BAD_KEYS, NUMBERS | BAD_NUMBERS))
WILD_SETS: Final = columns(
    _sets(
        KEYS | BAD_KEYS,
        NUMBERS | BAD_NUMBERS,
        PAYLOADS | st.sampled_from(["text", None, bytearray(b"array")]),
        st.sampled_from([None, {}, {"user": "7"}, {"a": 7}]),
    )
)


@st.composite
def _got(draw: st.DrawFn, numbers: Any) -> GetAnswers:
    size = draw(st.integers(0, 5))
    outcomes: list[Any] = [draw(st.integers(0, 7)) for _ in range(size)]
    first, second = [draw(numbers) for _ in range(size)], [draw(numbers) for _ in range(size)]
    return GetAnswers(draw(numbers), outcomes, [draw(PAYLOADS) for _ in range(size)], first, second)


@st.composite
def _done(draw: st.DrawFn, numbers: Any) -> SetAnswers:
    size = draw(st.integers(0, 5))
    return SetAnswers(
        draw(numbers), [draw(st.integers(0, 4)) for _ in range(size)], [draw(numbers) for _ in range(size)]
    )


GOT: Final = columns(_got(NUMBERS))
DONE: Final = columns(_done(NUMBERS))
WILD_GOT: Final = columns(_got(NUMBERS | BAD_NUMBERS))
WILD_DONE: Final = columns(_done(NUMBERS | BAD_NUMBERS))


# Bytes.


def with_damage(messages: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Messages that are cut, doubled, altered in a few bytes, or put into each other."""

    @st.composite
    def damaged(draw: st.DrawFn) -> bytes:
        data = bytearray(draw(messages))
        for _ in range(draw(st.integers(0, 3))):
            at = draw(st.integers(0, len(data)))
            kind = draw(st.sampled_from(["cut", "alter", "insert", "double", "drop"]))
            if kind == "cut":
                del data[at:]
            elif kind == "alter" and at < len(data):
                data[at] = draw(st.integers(0, 255))
            elif kind == "insert":
                data[at:at] = draw(st.binary(max_size=4))
            elif kind == "double":
                data += draw(messages)
            elif kind == "drop":
                del data[at : at + draw(st.integers(1, 4))]
        return bytes(data)

    return damaged()


TAGS: Final = st.sampled_from(
    [0x08, 0x0A, 0x10, 0x12, 0x18, 0x1A, 0x22, 0x28, 0x2A, 0x30, 0x32, 0x38, 0x42, 0x48, 0x80]
)


@st.composite
def _fields(draw: st.DrawFn, depth: int = 3) -> bytes:
    """Fields that a frame could have, in any order and number, with lengths that are sometimes wrong."""
    out = bytearray()
    for _ in range(draw(st.integers(0, 4))):
        tag = draw(TAGS)
        out.append(tag)
        if tag & 7 == 2:
            inner = draw(_fields(depth - 1)) if depth and draw(st.booleans()) else draw(st.binary(max_size=5))
            out += varint(max(0, len(inner) + draw(st.sampled_from([0, 0, 0, 0, 1, -1, 200])))) + inner
        else:
            out += draw(NUMBERS.map(varint) | st.binary(max_size=11))
    return bytes(out)


FIELDS: Final = _fields()
ANY_BYTES: Final = st.binary(max_size=60) | FIELDS | FIELDS.map(lambda data: b"\x12" + varint(len(data)) + data)


def varint(number: int) -> bytes:
    """A number on the wire."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def frame(*records: tuple[int, bytes], after: bytes = b"") -> bytes:
    """A message with a frame of records by their tags."""
    body = b"".join(bytes([tag]) + varint(len(record)) + record for tag, record in records)
    return b"\x12" + varint(len(body)) + body + after


def empty_answers() -> session_pb2.SessionResponse:
    """A message of answers before any is in it."""
    response = session_pb2.SessionResponse()
    response.frame.SetInParent()
    return response
