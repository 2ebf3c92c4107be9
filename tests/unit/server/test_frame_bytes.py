"""Frames as bytes: what one side writes the other reads, and whatever a stranger sends is read or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherd._rpc import frames
from coherd.contract.reasons import Refusal
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1 import session_pb2 as session_pb
from coherd_server.rpc import frame_bytes

MOST = 100
ids = st.integers(1, frame_bytes.MOST_FIRST_ID)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
int64 = st.integers(0, 2**63 - 1)
uint64 = st.integers(0, 2**64 - 1)
gets = st.builds(frames.GetColumns, ids, int64, st.booleans(), st.lists(texts, min_size=1, max_size=4))


@st.composite
def sets(draw: st.DrawFn) -> frames.SetColumns:
    """A record of sets."""
    keys = draw(st.lists(texts, min_size=1, max_size=4))
    tags = draw(st.dictionaries(texts, texts, max_size=2))
    options = frames.SetOptions(draw(st.none() | int64), tags, draw(st.booleans()), draw(st.booleans()))
    values = [draw(st.binary(max_size=300)) for _ in keys]
    versions = [draw(uint64) for _ in keys] if draw(st.booleans()) else []
    return frames.SetColumns(draw(ids), draw(int64), options, keys, values, versions)


@given(st.lists(gets, max_size=3), st.lists(sets(), max_size=3), st.booleans(), int64)
def test_the_server_reads_what_a_client_writes(
    asked: list[frames.GetColumns], told: list[frames.SetColumns], others: bool, asked_at_ms: int
) -> None:
    operation = session_pb.Operation(id=7, delete=pb.DeleteRequest(key={"text": "k"}))
    operations = session_pb.RequestFrame(operations=[operation]).SerializeToString() if others else b""
    data = frames.encode_frame(asked, told, operations, asked_at_ms)
    if not (asked or told or others):
        with pytest.raises(Refusal):
            frame_bytes.decode_message(data, MOST)
        return
    frame = frame_bytes.decode_message(data, MOST)
    assert isinstance(frame, frame_bytes.AskedFrame)
    assert frame.items == sum(len(one.keys) for one in (*asked, *told)) + others
    assert (frame.asked_at_ms, list(frame.operations)) == (asked_at_ms, [operation] if others else [])
    assert list(frame.gets) == [(one.first_id, one.accept_stale, one.keys) for one in asked]
    assert list(frame.sets) == [
        (
            *(one.first_id, one.timeout_ms, one.keys, one.values, one.options.ttl_ms, one.options.extra_tags),
            *(one.options.only_if_absent, one.versions, one.options.negative),
        )
        for one in told
    ]


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[frame_bytes.GetAnswers], list[frame_bytes.SetAnswers]]:
    """Answers in columns."""
    got, done = [], []
    for size in draw(st.lists(st.integers(1, 4), max_size=3)):
        outcomes = [draw(st.sampled_from(session_pb.GetOutcome.values())) for _ in range(size)]
        values = [draw(st.binary(max_size=300)) for _ in range(size)]
        numbers = [[draw(st.integers(-(2**63), 2**63 - 1)) for _ in range(size)] for _ in range(2)]
        got.append(frame_bytes.GetAnswers(draw(ids), outcomes, values, *numbers))
        done.append(frame_bytes.SetAnswers(draw(ids), [draw(st.integers(0, 3)) for _ in range(size)], numbers[0]))
    return got, done


@given(answers(), st.booleans())
def test_a_client_reads_what_the_server_writes(
    said: tuple[list[frame_bytes.GetAnswers], list[frame_bytes.SetAnswers]], others: bool
) -> None:
    message = session_pb.SessionResponse()
    message.frame.SetInParent()
    if others:
        message.frame.results.add(id=7).delete.existed = True
    results = list(message.frame.results)
    frame = frames.decode_message(frame_bytes.encode_answers(*said, message))
    assert isinstance(frame, frames.AnswerFrame)
    assert list(map(tuple, frame.gets)) == list(map(tuple, said[0]))
    assert list(map(tuple, frame.sets)) == list(map(tuple, said[1]))
    assert list(frame.results) == results


def frame(**fields: object) -> bytes:
    """The bytes of a frame."""
    return session_pb.SessionRequest(frame=session_pb.RequestFrame(**fields)).SerializeToString()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (frame(), "frame"),
        (frame(gets=[session_pb.Gets(first_id=1)]), "frame.gets"),
        (frame(gets=[session_pb.Gets(first_id=2**62 + 1, keys=["k"])]), "frame.gets"),
        (frame(gets=[session_pb.Gets(first_id=1, keys=["k"] * 101)]), "frame"),
        (frame(sets=[session_pb.Sets(first_id=1)]), "frame.sets"),
        (frame(sets=[session_pb.Sets(first_id=1, keys=["k"])]), "frame.sets"),
        (frame(sets=[session_pb.Sets(first_id=1, keys=["k"], values=[b"", b""])]), "frame.sets"),
        (frame(sets=[session_pb.Sets(first_id=1, keys=["k", "l"], values=[b"", b""], versions=[1])]), "frame.sets"),
        (frame(sets=[session_pb.Sets(first_id=2**64 - 1, keys=["k"], values=[b""])]), "frame.sets"),
    ],
)
def test_a_frame_that_is_none_is_refused(data: bytes, field: str) -> None:
    with pytest.raises(Refusal) as refused:
        frame_bytes.decode_message(data, MOST)
    assert refused.value.field == field


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda data: b"\x12" + bytes([len(data)]) + data))
def test_whatever_the_bytes_are(data: bytes) -> None:
    """On both sides."""
    try:
        message = frame_bytes.decode_message(data, MOST)
        assert isinstance(message, frame_bytes.AskedFrame | session_pb.SessionRequest)
    except Refusal:
        pass
    try:
        answer = frames.decode_message(data)
        assert isinstance(answer, frames.AnswerFrame | session_pb.SessionResponse)
    except frames.DecodeError:
        pass


def test_columns_of_answers_that_differ_in_length_are_no_frame() -> None:
    for broken in (
        session_pb.ResponseFrame(gets=[session_pb.GetAnswers(first_id=1, outcomes=[1])]),
        session_pb.ResponseFrame(sets=[session_pb.SetAnswers(first_id=1, outcomes=[1])]),
    ):
        with pytest.raises(frames.DecodeError):
            frames.decode_message(session_pb.SessionResponse(frame=broken).SerializeToString())
