"""`coherd._rpc.frames` as it is used: by its compiled twin where that is loaded and can, else by itself."""

from __future__ import annotations

from collections.abc import Sequence

from coherd import _native
from coherd._rpc import frames
from coherd._rpc.frames import AnswerFrame, GetAnswers, GetColumns, SetAnswers, SetColumns
from coherd.v1 import session_pb2


def encode_frame(
    gets: Sequence[GetColumns], sets: Sequence[SetColumns], operations: bytes = b"", asked_at_ms: int = 0
) -> bytes:
    """See `coherd._rpc.frames.encode_frame`."""
    compiled = _native.loaded
    if compiled is not None:
        message = compiled.encode_frame(gets, sets, operations, asked_at_ms)
        if message is not compiled.LEFT:
            encoded: bytes = message
            return encoded
    return frames.encode_frame(gets, sets, operations, asked_at_ms)


def decode_message(data: bytes) -> AnswerFrame | session_pb2.SessionResponse:
    """See `coherd._rpc.frames.decode_message`."""
    compiled = _native.loaded
    if compiled is not None:
        columns = compiled.decode_answers(data)
        if columns is not compiled.LEFT:
            gets, sets = columns
            return AnswerFrame([GetAnswers._make(one) for one in gets], [SetAnswers._make(one) for one in sets], ())
    return frames.decode_message(data)
