"""Frames of a session as bytes: requests in, answers out.

This is a seam: pure functions of bytes, numbers and lists, without gRPC, asyncio or the core. Each is defined here
(`…_in_python`), and done by its compiled twin where `coherd._native` has loaded it and it can. What comes in was
written by strangers: whatever the bytes are, a message, columns, or a refusal comes out. The client's side of the same
bytes is `coherd._rpc.frames`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

from coherd import _native
from coherd.contract.reasons import Refusal
from coherd.v1 import session_pb2 as session_pb
from coherd.v1.errors_pb2 import ErrorReason

MOST_FIRST_ID: Final = 1 << 62
"""Ids that follow one of at most so much fit an id."""
_new: Final = tuple.__new__
_INVALID: Final = ErrorReason.ERROR_REASON_REQUEST_INVALID
_MALFORMED: Final = ErrorReason.ERROR_REASON_REQUEST_MALFORMED


class AskedGets(NamedTuple):
    """A record of gets, `coherd.v1.Gets`."""

    first_id: int
    accept_stale: bool
    keys: Sequence[str]


class AskedSets(NamedTuple):
    """A record of sets, `coherd.v1.Sets`."""

    first_id: int
    timeout_ms: int
    keys: Sequence[str]
    values: Sequence[bytes]
    """One for each key."""
    ttl_ms: int | None
    extra_tags: Mapping[str, str]
    only_if_absent: bool
    versions: Sequence[int]
    """None, or one for each key."""
    negative: bool


class AskedFrame(NamedTuple):
    """A frame of requests, `coherd.v1.RequestFrame`."""

    gets: Sequence[AskedGets]
    sets: Sequence[AskedSets]
    operations: Sequence[session_pb.Operation]
    items: int
    """Gets, sets and operations, at least one."""
    asked_at_ms: int
    """As in `coherd.v1.SessionRequest`."""


class GetAnswers(NamedTuple):
    """Answers to gets with successive ids, `coherd.v1.GetAnswers`: columns of one length."""

    first_id: int
    outcomes: Sequence[session_pb.GetOutcome]
    values: Sequence[bytes]
    remaining_ttl_ms: Sequence[int]
    ages_ms: Sequence[int]


class SetAnswers(NamedTuple):
    """Answers to sets with successive ids, `coherd.v1.SetAnswers`: columns of one length."""

    first_id: int
    outcomes: Sequence[int]
    ttls_ms: Sequence[int]


def decode_message(data: bytes, most: int) -> AskedFrame | session_pb.SessionRequest:
    """See `decode_message_in_python`."""
    compiled = _native.loaded
    if compiled is not None:
        columns = compiled.decode_request(data, most)
        if columns is not compiled.LEFT:
            gets, sets, items, asked_at_ms = columns
            asked_gets = [_new(AskedGets, one) for one in gets]
            return AskedFrame(asked_gets, [_new(AskedSets, one) for one in sets], (), items, asked_at_ms)
    return decode_message_in_python(data, most)


def encode_answers(gets: Sequence[GetAnswers], sets: Sequence[SetAnswers], frame: session_pb.SessionResponse) -> bytes:
    """See `encode_answers_in_python`."""
    compiled = _native.loaded
    if compiled is not None and not frame.frame.results:
        message = compiled.encode_answers(gets, sets)
        if message is not compiled.LEFT:
            encoded: bytes = message
            return encoded
    return encode_answers_in_python(gets, sets, frame)


def decode_message_in_python(data: bytes, most: int) -> AskedFrame | session_pb.SessionRequest:
    """A message of a client: taken apart if it is a frame, else as it is.

    Args:
        data: the bytes that came.
        most: most gets, sets and operations of a frame.

    Raises:
        Refusal: REQUEST_MALFORMED where it is no `coherd.v1.SessionRequest`; REQUEST_INVALID for a frame of nothing or
            of too much, a record without keys or with columns that do not match, and an id that is too large.
    """
    try:
        message = session_pb.SessionRequest.FromString(data)
    except DecodeError:
        name = session_pb.SessionRequest.DESCRIPTOR.full_name
        raise Refusal(_MALFORMED, f"the request is not a valid {name}") from None
    if not message.HasField("frame"):
        return message
    frame = message.frame
    count = len(frame.operations)
    gets: list[AskedGets] = []
    for got in frame.gets:
        keys = list(got.keys)
        count += len(keys)
        _check_record(got.first_id, keys, "frame.gets")
        gets.append(AskedGets(got.first_id, got.accept_stale, keys))
    sets: list[AskedSets] = []
    for told in frame.sets:
        keys, values, versions = list(told.keys), list(told.values), list(told.versions)
        count += len(keys)
        _check_record(told.first_id, keys, "frame.sets")
        if len(values) != len(keys) or (versions and len(versions) != len(keys)):
            raise Refusal(
                _INVALID, "there is one value for each key, and no version or one for each", field="frame.sets"
            )
        ttl_ms = told.ttl_ms if told.HasField("ttl_ms") else None
        extra_tags = dict(told.extra_tags)
        sets.append(
            AskedSets(
                told.first_id,
                told.timeout_ms,
                keys,
                values,
                ttl_ms,
                extra_tags,
                told.only_if_absent,
                versions,
                told.negative,
            )
        )
    if not 1 <= count <= most:
        raise Refusal(_INVALID, f"a frame has 1..{most} gets, sets and operations", field="frame")
    return AskedFrame(gets, sets, frame.operations, count, message.asked_at_ms)


def _check_record(first_id: int, keys: Sequence[str], field: str) -> None:
    if not keys:
        raise Refusal(_INVALID, "a record has at least one key", field=field)
    if first_id > MOST_FIRST_ID:
        raise Refusal(_INVALID, "an id is at most 2^62", field=field)


def encode_answers_in_python(
    gets: Sequence[GetAnswers], sets: Sequence[SetAnswers], frame: session_pb.SessionResponse
) -> bytes:
    """A `coherd.v1.SessionResponse` with a frame of answers.

    Args:
        gets: records of answers.
        sets: records of answers.
        frame: with all other answers; it is filled.
    """
    answers = frame.frame
    for first_id, outcomes, values, remaining_ttl_ms, ages_ms in gets:
        got = answers.gets.add(first_id=first_id)
        got.outcomes.extend(outcomes)
        got.values.extend(values)
        got.remaining_ttl_ms.extend(remaining_ttl_ms)
        got.age_ms.extend(ages_ms)
    for first_id, done, ttls_ms in sets:
        told = answers.sets.add(first_id=first_id)
        told.outcomes.extend(done)  # type: ignore[arg-type]
        told.ttl_ms.extend(ttls_ms)
    return frame.SerializeToString()
