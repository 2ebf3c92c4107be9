"""Frames of a session as bytes: requests out, answers in.

This is a seam: pure functions of bytes, numbers and lists, without gRPC, asyncio or futures. Each is defined here
(`…_in_python`), and done by its compiled twin where `coherd._native` has loaded it and it can. What is flat (gets,
sets) crosses it as columns; what is not (operations and their results) as messages, or as their bytes. The server's
side of the same bytes is `coherd_server.rpc.frame_bytes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

from coherd import _native
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1 import session_pb2


class GetColumns(NamedTuple):
    """Gets of one record, `coherd.v1.Gets`."""

    first_id: int
    timeout_ms: int
    accept_stale: bool
    keys: Sequence[str]


class SetOptions(NamedTuple):
    """What the sets of one record have in common, as in `coherd.v1.SetRequest`."""

    ttl_ms: int | None = None
    extra_tags: Mapping[str, str] | None = None
    only_if_absent: bool = False
    negative: bool = False


class SetColumns(NamedTuple):
    """Sets of one record, `coherd.v1.Sets`."""

    first_id: int
    timeout_ms: int
    options: SetOptions
    keys: Sequence[str]
    values: Sequence[bytes]
    versions: Sequence[int]
    """None, or one for each key."""


class GetAnswers(NamedTuple):
    """Answers to gets with successive ids, `coherd.v1.GetAnswers`: columns of one length."""

    first_id: int
    outcomes: Sequence[int]
    values: Sequence[bytes]
    remaining_ttl_ms: Sequence[int]
    ages_ms: Sequence[int]


class SetAnswers(NamedTuple):
    """Answers to sets with successive ids, `coherd.v1.SetAnswers`: columns of one length."""

    first_id: int
    outcomes: Sequence[int]
    ttls_ms: Sequence[int]


class AnswerFrame(NamedTuple):
    """A frame of answers, `coherd.v1.ResponseFrame`."""

    gets: Sequence[GetAnswers]
    sets: Sequence[SetAnswers]
    results: Sequence[session_pb2.OperationResult]


HIT: Final = session_pb2.GET_OUTCOME_HIT
HIT_NEAR: Final = session_pb2.GET_OUTCOME_HIT_NEAR_CACHEABLE
MISS_REASONS: Final[Mapping[int, pb.MissReason]] = {
    session_pb2.GET_OUTCOME_ABSENT: pb.MISS_REASON_ABSENT,
    session_pb2.GET_OUTCOME_INVALIDATED: pb.MISS_REASON_INVALIDATED,
    session_pb2.GET_OUTCOME_FOREIGN: pb.MISS_REASON_FOREIGN,
    session_pb2.GET_OUTCOME_EXPIRED: pb.MISS_REASON_EXPIRED,
}
"""By `coherd.v1.GetOutcome`."""
_new: Final = tuple.__new__
_FRAME: Final = session_pb2.SessionRequest.DESCRIPTOR.fields_by_name["frame"].number << 3 | 2
_ASKED_AT: Final = session_pb2.SessionRequest.DESCRIPTOR.fields_by_name["asked_at_ms"].number << 3


def encode_frame(
    gets: Sequence[GetColumns], sets: Sequence[SetColumns], operations: bytes = b"", asked_at_ms: int = 0
) -> bytes:
    """See `encode_frame_in_python`."""
    compiled = _native.loaded
    if compiled is not None:
        message = compiled.encode_frame(gets, sets, operations, asked_at_ms)
        if message is not compiled.LEFT:
            encoded: bytes = message
            return encoded
    return encode_frame_in_python(gets, sets, operations, asked_at_ms)


def decode_message(data: bytes) -> AnswerFrame | session_pb2.SessionResponse:
    """See `decode_message_in_python`."""
    compiled = _native.loaded
    if compiled is not None:
        columns = compiled.decode_answers(data)
        if columns is not compiled.LEFT:
            gets, sets = columns
            return AnswerFrame([_new(GetAnswers, one) for one in gets], [_new(SetAnswers, one) for one in sets], ())
    return decode_message_in_python(data)


def encode_frame_in_python(
    gets: Sequence[GetColumns], sets: Sequence[SetColumns], operations: bytes = b"", asked_at_ms: int = 0
) -> bytes:
    """A `coherd.v1.SessionRequest` with a frame.

    Args:
        gets: records of gets.
        sets: records of sets.
        operations: all else, as a serialized `coherd.v1.RequestFrame`.
        asked_at_ms: as in `SessionRequest`; 0: asks for no lease.

    Raises:
        ValueError: a number is out of its range, or a text is no Unicode.
        TypeError: something is not of its type.
    """
    frame = session_pb2.RequestFrame()
    for first_id, timeout_ms, accept_stale, keys in gets:
        asked = frame.gets.add(first_id=first_id, timeout_ms=timeout_ms)
        if accept_stale:
            asked.accept_stale = True
        asked.keys.extend(keys)
    for first_id, timeout_ms, options, keys, values, versions in sets:
        told = frame.sets.add(first_id=first_id, timeout_ms=timeout_ms)
        told.keys.extend(keys)
        told.values.extend(values)
        ttl_ms, extra_tags, only_if_absent, negative = options
        if ttl_ms is not None:
            told.ttl_ms = ttl_ms
        if extra_tags:
            told.extra_tags.update(extra_tags)
        if only_if_absent:
            told.only_if_absent = True
        if negative:
            told.negative = True
        if versions:
            told.versions.extend(versions)
    columns = frame.SerializeToString()
    asked_at = b"%c%b" % (_ASKED_AT, _varint(asked_at_ms)) if asked_at_ms else b""
    return b"%c%b%b%b%b" % (_FRAME, _varint(len(columns) + len(operations)), columns, operations, asked_at)


def decode_message_in_python(data: bytes) -> AnswerFrame | session_pb2.SessionResponse:
    """A message of the server: taken apart if it is a frame of answers, else as it is.

    Raises:
        DecodeError: it is no `coherd.v1.SessionResponse`, or columns of it are not of one length.
    """
    message = session_pb2.SessionResponse.FromString(data)
    if not message.HasField("frame"):
        return message
    frame = message.frame
    gets: list[GetAnswers] = []
    for got in frame.gets:
        outcomes = list(got.outcomes)
        values = list(got.values)
        remaining_ttl_ms = list(got.remaining_ttl_ms)
        ages_ms = list(got.age_ms)
        if not len(outcomes) == len(values) == len(remaining_ttl_ms) == len(ages_ms):
            raise DecodeError("columns of answers differ in length")
        gets.append(GetAnswers(got.first_id, outcomes, values, remaining_ttl_ms, ages_ms))
    sets: list[SetAnswers] = []
    for done in frame.sets:
        done_outcomes, ttls_ms = list(done.outcomes), list(done.ttl_ms)
        if len(done_outcomes) != len(ttls_ms):
            raise DecodeError("columns of answers differ in length")
        sets.append(SetAnswers(done.first_id, done_outcomes, ttls_ms))
    return AnswerFrame(gets, sets, frame.results)


def _varint(number: int) -> bytes:
    more = bytearray()
    while number >= 0x80:
        more.append(number & 0x7F | 0x80)
        number >>= 7
    more.append(number)
    return bytes(more)
