"""The twins say the same: the same bytes, the same columns, errors of the same type, whatever they are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twins import (
    ANY_BYTES,
    DONE,
    GETS,
    GOT,
    MOST,
    SETS,
    WILD_DONE,
    WILD_GETS,
    WILD_GOT,
    WILD_SETS,
    empty_answers,
    outcome,
    with_damage,
)

from coherd import _native
from coherd._near.documents import MAX_DEPTH, copy_document, memory_bytes
from coherd._rpc import frames
from coherd.v1 import session_pb2
from coherd_server.rpc import frame_bytes
from rig.native import COMPILED


def native(function: Callable[..., Any], *args: Any) -> tuple[Any, ...]:
    """The outcome of a function that uses the compiled twin."""
    with mock.patch.object(_native, "loaded", COMPILED):
        return outcome(function, *args)


def answers(gets: Any, sets: Any) -> bytes:
    """A frame of answers, by the pure twin."""
    return frame_bytes.encode_answers_in_python(gets, sets, empty_answers())


REQUESTS: Final = st.builds(frames.encode_frame_in_python, GETS, SETS)
ANSWERS: Final = st.builds(answers, GOT, DONE)
OPERATIONS: Final = st.sampled_from(
    [b"", session_pb2.RequestFrame(operations=[session_pb2.Operation(id=7, timeout_ms=5)]).SerializeToString()]
)
ASKED: Final = st.sampled_from([0, 1, 300, 2**62, -1, 2**64])


@given(GETS, SETS, OPERATIONS, st.integers(0, 2**63 - 1))
def test_plain_frames_are_written_by_the_compiled_twin(gets: Any, sets: Any, operations: bytes, asked: int) -> None:
    assert COMPILED.encode_frame(gets, sets, operations, asked) == frames.encode_frame_in_python(
        gets, sets, operations, asked
    )


@given(WILD_GETS, WILD_SETS, OPERATIONS, st.sampled_from([0, 1, 300, 2**62]))
def test_whatever_is_to_be_written_has_the_same_end(gets: Any, sets: Any, operations: bytes, asked: int) -> None:
    args = (gets, sets, operations, asked)
    assert native(frames.encode_frame, *args) == outcome(frames.encode_frame_in_python, *args)


@pytest.mark.parametrize(
    "make",
    [
        lambda: [()],
        lambda: [(1, 2)],
        lambda: [None],
        lambda: None,
        lambda: 7,
        lambda: "text",
        lambda: [(1, 2, True, None)],
        lambda: [(1, 2, True, iter("ab"))],
        lambda: [(1, 2, True, "ab")],
        lambda: [(1, 2, 1, ["a"])],
        lambda: [(1, 2, True, (["a"],))],
        lambda: iter([(1, 2, True, ["a"])]),
    ],
)
def test_columns_of_another_shape_have_the_same_end(make: Callable[[], Any]) -> None:
    assert native(frames.encode_frame, make(), ()) == outcome(frames.encode_frame_in_python, make(), ())
    assert native(frames.encode_frame, (), make()) == outcome(frames.encode_frame_in_python, (), make())


@given(GOT, DONE)
def test_plain_answers_are_written_by_the_compiled_twin(gets: Any, sets: Any) -> None:
    assert COMPILED.encode_answers(gets, sets) == answers(gets, sets)


@given(WILD_GOT, WILD_DONE)
def test_whatever_is_to_be_answered_has_the_same_end(gets: Any, sets: Any) -> None:
    pure = outcome(frame_bytes.encode_answers_in_python, gets, sets, empty_answers())
    assert native(frame_bytes.encode_answers, gets, sets, empty_answers()) == pure


@given(REQUESTS)
def test_plain_frames_are_read_by_the_compiled_twin(data: bytes) -> None:
    pure = outcome(frame_bytes.decode_message_in_python, data, MOST)
    assert native(frame_bytes.decode_message, data, MOST) == pure
    if pure[0] == "returned":
        assert COMPILED.decode_request(data, MOST) is not COMPILED.LEFT


@given(ANSWERS)
def test_plain_answers_are_read_by_the_compiled_twin(data: bytes) -> None:
    assert native(frames.decode_message, data) == outcome(frames.decode_message_in_python, data)
    assert COMPILED.decode_answers(data) is not COMPILED.LEFT


@pytest.mark.parametrize("most", [1, 3, MOST])
@given(with_damage(REQUESTS | ANY_BYTES))
@example(b"")
@example(b"\x12\x00")
def test_bytes_of_a_stranger_have_the_same_end_in_the_server(most: int, data: bytes) -> None:
    assert native(frame_bytes.decode_message, data, most) == outcome(frame_bytes.decode_message_in_python, data, most)


@given(with_damage(ANSWERS | ANY_BYTES))
@example(b"")
@example(b"\x12\x00")
def test_bytes_of_a_stranger_have_the_same_end_in_the_client(data: bytes) -> None:
    assert native(frames.decode_message, data) == outcome(frames.decode_message_in_python, data)


LEAVES: Final = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
DOCUMENTS: Final = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5), max_leaves=30
)
WILD: Final = st.recursive(
    LEAVES | st.sampled_from([{1}, (1, [2]), bytearray(b"a"), object]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=10,
)


@given(DOCUMENTS)
def test_documents_are_copied_by_the_compiled_twin(document: Any) -> None:
    assert outcome(COMPILED.copy_document, document) == outcome(copy_document, document)
    assert repr(COMPILED.copy_document(document)) == repr(document), "types, and the order of keys"


@given(WILD)
def test_what_is_no_document_of_json_is_left(value: Any) -> None:
    copied = COMPILED.copy_document(value)
    if copied is not COMPILED.LEFT:
        assert outcome(copy_document, value)[0] == "returned"
        assert repr(copied) == repr(value)


def test_depth_ends_where_it_does_in_the_pure_twin() -> None:
    value: Any = []
    for _ in range(MAX_DEPTH - 1):
        value = [value]
    assert COMPILED.copy_document(value) == value
    assert COMPILED.copy_document([value]) is COMPILED.LEFT
    assert COMPILED.copy_document({"a": value}) is COMPILED.LEFT
    endless: dict[str, Any] = {}
    endless["self"] = endless
    assert COMPILED.copy_document(endless) is COMPILED.LEFT


@given(DOCUMENTS | WILD, st.sampled_from([0, 100, 1 << 30]), st.sampled_from([(0, 0), (72, 460)]))
def test_documents_are_reckoned_alike(value: Any, most: int, copies: tuple[int, int]) -> None:
    assert COMPILED.memory_bytes(value, most, *copies) == memory_bytes(value, most, *copies)
