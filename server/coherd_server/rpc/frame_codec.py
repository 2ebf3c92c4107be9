"""`coherd_server.rpc.frame_bytes` as it is used: by its compiled twin where that is loaded and can, else by itself."""

from __future__ import annotations

from collections.abc import Sequence

from coherd import _native
from coherd.v1 import session_pb2 as session_pb
from coherd_server.rpc import frame_bytes
from coherd_server.rpc.frame_bytes import AskedFrame, AskedGets, AskedSets, GetAnswers, SetAnswers


def decode_message(data: bytes, most: int) -> AskedFrame | session_pb.SessionRequest:
    """See `coherd_server.rpc.frame_bytes.decode_message`."""
    compiled = _native.loaded
    if compiled is not None:
        columns = compiled.decode_request(data, most)
        if columns is not compiled.LEFT:
            gets, sets, items, asked_at_ms = columns
            asked_gets = [AskedGets._make(one) for one in gets]
            return AskedFrame(asked_gets, [AskedSets._make(one) for one in sets], (), items, asked_at_ms)
    return frame_bytes.decode_message(data, most)


def encode_answers(gets: Sequence[GetAnswers], sets: Sequence[SetAnswers], frame: session_pb.SessionResponse) -> bytes:
    """See `coherd_server.rpc.frame_bytes.encode_answers`."""
    compiled = _native.loaded
    if compiled is not None and not frame.frame.results:
        message = compiled.encode_answers(gets, sets)
        if message is not compiled.LEFT:
            encoded: bytes = message
            return encoded
    return frame_bytes.encode_answers(gets, sets, frame)
