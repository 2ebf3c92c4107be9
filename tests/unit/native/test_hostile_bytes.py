"""Bytes that are made to harm: the compiled twin leaves them, holds nothing, and ends at once."""

from __future__ import annotations

from typing import Any, Final

import pytest
from twins import MOST, frame, varint

from coherd_server.rpc import frame_bytes
from rig.native import COMPILED

GETS: Final = 0x12
SETS: Final = 0x1A
KEY: Final = b"\x22\x01a"
GET: Final = b"\x08\x01" + KEY
SET: Final = b"\x08\x01\x1a\x01a\x22\x01v"
HUGE: Final = [2**31 - 1, 2**31, 2**32, 2**62, 2**63, 2**64 - 1]

LEFT: Final[dict[str, bytes]] = {
    "nothing": b"",
    "an empty frame": frame(),
    "a record of nothing": frame((GETS, b"")),
    "a tag alone": b"\x12",
    "a varint that goes on": b"\x12" + b"\x80" * 20,
    "a varint of 65 bits": frame((GETS, b"\x08" + b"\xff" * 9 + b"\x02" + KEY)),
    "a varint of eleven bytes": frame((GETS, b"\x08" + b"\x80" * 10 + b"\x00" + KEY)),
    "a length of six bytes": b"\x12\x85\x80\x80\x80\x80\x00" + b"\x12\x03" + KEY,
    "an id that ends": frame((GETS, KEY + b"\x08\xff")),
    "an id above 2^62": frame((GETS, b"\x08" + varint(2**62 + 1) + KEY)),
    "a key that is not UTF-8": frame((GETS, b"\x08\x01\x22\x02\xc3\x28")),
    "a key with a surrogate": frame((GETS, b"\x08\x01\x22\x03\xed\xa0\x80")),
    "a key of a long form": frame((GETS, b"\x08\x01\x22\x02\xc0\x80")),
    "two frames": frame((GETS, GET)) * 2,
    "a frame and a ping": frame((GETS, GET)) + b"\x42\x00",
    "operations": frame((GETS, GET), (0x0A, b"\x08\x07")),
    "an unknown field": frame((GETS, GET), after=b"\xa2\x06\x01x"),
    "an unknown field of a record": frame((GETS, GET + b"\x32\x00")),
    "a group": frame((GETS, GET + b"\x0b\x0c")),
    "a group that is not ended": frame((GETS, GET + b"\x0b")),
    "many groups": frame((GETS, GET + b"\x0b" * 50_000)),
    "an end without a group": frame((GETS, GET + b"\x0c")),
    "an id of another type": frame((GETS, b"\x09" + bytes(8) + KEY)),
    "field 0": frame((GETS, GET + b"\x00\x00")),
    "a tag of two bytes": frame((GETS, b"\x88\x00\x01" + KEY)),
    "too many keys": frame((GETS, b"\x08\x01" + KEY * (MOST + 1))),
    "too many keys in many records": frame(*[(GETS, GET)] * (MOST + 1)),
    "too many values": frame((SETS, b"\x08\x01\x1a\x01a" + b"\x22\x00" * (MOST + 1))),
    "too many versions": frame((SETS, SET + b"\x42" + varint(MOST + 1) + b"\x01" * (MOST + 1))),
    "a value without a key": frame((SETS, b"\x08\x01\x22\x01v")),
    "a key without a value": frame((SETS, b"\x08\x01\x1a\x01a")),
    "two versions of one key": frame((SETS, SET + b"\x42\x02\x01\x02")),
    "versions twice": frame((SETS, SET + b"\x42\x01\x01\x42\x01\x02")),
    "versions one by one": frame((SETS, SET + b"\x40\x01")),
    "versions that end": frame((SETS, SET + b"\x42\x01\x80")),
    "extra tags": frame((SETS, SET + b"\x32\x06\x0a\x01a\x12\x01b")),
    **{f"a frame of {size} bytes": b"\x12" + varint(size) + GET for size in HUGE},
    **{f"a record of {size} bytes": frame((GETS, b""))[:-1] + varint(size) + GET for size in HUGE},
    **{f"a key of {size} bytes": frame((GETS, b"\x08\x01\x22" + varint(size) + b"a")) for size in HUGE},
    **{f"a value of {size} bytes": frame((SETS, b"\x08\x01\x1a\x01a\x22" + varint(size))) for size in HUGE},
    **{f"versions of {size} bytes": frame((SETS, SET + b"\x42" + varint(size) + b"\x01")) for size in HUGE},
}


@pytest.mark.parametrize("name", LEFT)
def test_a_request_that_is_not_plain_is_left(name: str) -> None:
    assert COMPILED.decode_request(LEFT[name], MOST) is COMPILED.LEFT


@pytest.mark.parametrize(
    "whole", [frame((GETS, GET), (SETS, SET), after=b"\x30\x07"), frame((SETS, SET + b"\x42\x01\x05"))]
)
def test_each_beginning_of_a_request_ends_well(whole: bytes) -> None:
    for size in range(len(whole)):
        part = bytes(bytearray(whole[:size]))
        taken = COMPILED.decode_request(part, MOST)
        if taken is not COMPILED.LEFT:  # what asks for the time stands behind the frame
            assert taken[2] == frame_bytes.decode_message_in_python(part, MOST).items
    assert COMPILED.decode_request(whole, MOST) is not COMPILED.LEFT


GOT: Final = b"\x08\x01\x12\x01\x01\x1a\x01v\x22\x01\x07\x2a\x01\x09"
ANSWERS_LEFT: Final[dict[str, bytes]] = {
    "nothing": b"",
    "a pong": b"\x32\x00",
    "a pong behind a frame": frame((GETS, GOT)) + b"\x32\x00",
    "results": frame((0x0A, b"\x08\x07"), (GETS, GOT)),
    "columns of other lengths": frame((GETS, GOT + b"\x1a\x01w")),
    "a column twice": frame((GETS, GOT + b"\x12\x01\x01")),
    "an outcome beyond an int32": frame((SETS, b"\x12\x05\xff\xff\xff\xff\x0f\x1a\x01\x00")),
    "an outcome by itself": frame((SETS, b"\x10\x01\x1a\x01\x00")),
    "a number that ends": frame((SETS, b"\x12\x01\x01\x1a\x01\x80")),
    "a varint of 65 bits": frame((SETS, b"\x12\x01\x01\x1a\x0a" + b"\xff" * 9 + b"\x02")),
    **{f"a column of {size} bytes": frame((SETS, b"\x12" + varint(size) + b"\x01")) for size in HUGE},
    **{f"a value of {size} bytes": frame((GETS, b"\x1a" + varint(size) + b"v")) for size in HUGE},
}


@pytest.mark.parametrize("name", ANSWERS_LEFT)
def test_an_answer_that_is_not_plain_is_left(name: str) -> None:
    assert COMPILED.decode_answers(ANSWERS_LEFT[name]) is COMPILED.LEFT


@pytest.mark.parametrize("data", [None, "text", bytearray(frame((GETS, GET))), memoryview(frame((GETS, GET))), 7])
def test_only_bytes_are_read(data: Any) -> None:
    assert COMPILED.decode_request(data, MOST) is COMPILED.LEFT
    assert COMPILED.decode_answers(data) is COMPILED.LEFT
