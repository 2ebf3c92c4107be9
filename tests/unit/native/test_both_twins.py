"""What holds of each twin: vectors of the wire, refusals, copies; and which twin is loaded when."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any, Final

import pytest
from twins import MOST, empty_answers, frame, plain

from coherd import _native
from coherd._near.documents import COMPILED_COPY_BYTES, COPY_BYTES, NotADocument, document_bytes, kept_copy
from coherd._rpc import frames
from coherd._rpc.frames import GetColumns, SetColumns, SetOptions
from coherd.contract.reasons import Refusal
from coherd.v1 import session_pb2
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.rpc import frame_bytes
from coherd_server.rpc.frame_bytes import AskedFrame, GetAnswers, SetAnswers
from rig.native import COMPILED

REQUESTS: Final[dict[str, tuple[list[GetColumns], list[SetColumns], int]]] = {
    "1220121e08051088272217616e616c79746963733a6461696c793a757365723a7531": (
        [GetColumns(5, 5_000, False, ["analytics:daily:user:u1"])],
        [],
        0,
    ),
    "120d120b080118012201612202c3a930ac02": ([GetColumns(1, 0, True, ["a", "é"])], [], 300),
    "12181a16080a10e8071a016122017628e0d40338014201074801": (
        [],
        [SetColumns(10, 1_000, SetOptions(60_000, None, True, True), ["a"], [b"v"], [7])],
        0,
    ),
    "12191a17088080808080808080401a01611a016222002201ff280030808080808020": (
        [],
        [SetColumns(2**62, 0, SetOptions(0), ["a", "b"], [b"", b"\xff"], [])],
        2**40,
    ),
}
ANSWERS: Final[dict[str, tuple[list[GetAnswers], list[SetAnswers]]]] = {
    "121712150801120201031a01761a002204e0d403002a020700": (
        [GetAnswers(1, [1, 3], [b"v", b""], [60_000, 0], [7, 0])],
        [],
    ),
    "120c1a0a0809120201021a020500": ([], [SetAnswers(9, [1, 2], [5, 0])]),
    "122a121e088080808080808080401201021a01762209ffffffffffffffff7f2a01001a0808031201031a0100": (
        [GetAnswers(2**62, [2], [b"v"], [2**63 - 1], [0])],
        [SetAnswers(3, [3], [0])],
    ),
}


@pytest.mark.parametrize("wire", REQUESTS)
def test_vectors_of_requests(twin: str, wire: str) -> None:
    gets, sets, asked_at_ms = REQUESTS[wire]
    assert frames.encode_frame(gets, sets, b"", asked_at_ms).hex() == wire
    read = frame_bytes.decode_message(bytes.fromhex(wire), MOST)
    assert isinstance(read, AskedFrame)
    assert [(one.first_id, one.accept_stale, one.keys) for one in read.gets] == [
        (one.first_id, one.accept_stale, one.keys) for one in gets
    ]
    assert [(one.first_id, one.timeout_ms, one.keys, one.values, one.versions) for one in read.sets] == [
        (one.first_id, one.timeout_ms, one.keys, one.values, one.versions) for one in sets
    ]
    assert [(one.ttl_ms, one.only_if_absent, one.negative) for one in read.sets] == [
        (one.options.ttl_ms, one.options.only_if_absent, one.options.negative) for one in sets
    ]
    assert (read.items, read.asked_at_ms) == (sum(len(one.keys) for one in [*gets, *sets]), asked_at_ms)


@pytest.mark.parametrize("wire", ANSWERS)
def test_vectors_of_answers(twin: str, wire: str) -> None:
    gets, sets = ANSWERS[wire]
    assert frame_bytes.encode_answers(gets, sets, empty_answers()).hex() == wire
    read = frames.decode_message(bytes.fromhex(wire))
    assert isinstance(read, tuple)
    assert [tuple(one) for one in read.gets] == [tuple(one) for one in gets]
    assert [tuple(one) for one in read.sets] == [tuple(one) for one in sets]


def test_operations_extra_tags_and_other_answers_come_through(twin: str) -> None:
    operations = session_pb2.RequestFrame(operations=[session_pb2.Operation(id=7)]).SerializeToString()
    sets = [SetColumns(2, 0, SetOptions(None, {"user": "7"}), ["b"], [b"v"], [])]
    read = frame_bytes.decode_message(frames.encode_frame([GetColumns(1, 0, False, ["a"])], sets, operations), MOST)
    assert isinstance(read, AskedFrame)
    assert [one.id for one in read.operations] == [7]
    assert read.sets[0].extra_tags == {"user": "7"}
    assert read.items == 3
    answers = empty_answers()
    answers.frame.results.add(id=7)
    told = frames.decode_message(frame_bytes.encode_answers([], [SetAnswers(2, [1], [5])], answers))
    assert isinstance(told, tuple)
    assert ([one.id for one in told.results], len(told.sets)) == ([7], 1)


@pytest.mark.parametrize(
    ("data", "most", "reason"),
    [
        (b"\x12\x05", MOST, ErrorReason.ERROR_REASON_REQUEST_MALFORMED),
        (frame((0x12, b"\x22\x01\xff")), MOST, ErrorReason.ERROR_REASON_REQUEST_MALFORMED),
        (frame(), MOST, ErrorReason.ERROR_REASON_REQUEST_INVALID),
        (frame((0x12, b"\x22\x01a\x22\x01b")), 1, ErrorReason.ERROR_REASON_REQUEST_INVALID),
        (frame((0x1A, b"\x1a\x01a")), MOST, ErrorReason.ERROR_REASON_REQUEST_INVALID),
    ],
)
def test_what_is_refused(twin: str, data: bytes, most: int, reason: int) -> None:
    with pytest.raises(Refusal) as refused:
        frame_bytes.decode_message(data, most)
    assert refused.value.reason == reason


def test_other_messages_come_through(twin: str) -> None:
    ping = session_pb2.SessionRequest(ping=session_pb2.Ping(), asked_at_ms=7)
    assert frame_bytes.decode_message(ping.SerializeToString(), MOST) == ping
    pong = session_pb2.SessionResponse(pong=session_pb2.Pong())
    assert frames.decode_message(pong.SerializeToString()) == pong


@pytest.mark.parametrize(
    "document",
    [{}, [], {"a": [1, {"b": None}], "c": {"d": "e"}}, {7: [{}]}, {"a": [2.5, b"x", [True]]}],
)
def test_a_kept_copy_is_made_anew_each_time(twin: str, document: Any) -> None:
    copy, size_bytes = kept_copy(document, 1 << 20)
    assert copy is not None
    assert document_bytes(document, 1 << 20) < size_bytes
    if twin == "native" and 7 not in document:
        copies = COMPILED_COPY_BYTES if document else COPY_BYTES
        assert size_bytes == document_bytes(document, 1 << 20) + copies
    one, other = copy(), copy()
    assert plain(one) == plain(other) == plain(document)
    assert one is not other is not document


def test_leaves_are_not_copied_and_other_values_refused(twin: str) -> None:
    for leaf in (None, True, 7, 2.5, "text", b"bytes"):
        assert kept_copy(leaf, 1 << 20)[0] is None
    for value in ({1}, [{1}], {"a": object()}, {(1, 2): 3}):
        with pytest.raises(NotADocument):
            kept_copy(value, 1 << 20)


# Which is loaded.


def test_what_is_required_is_loaded() -> None:
    """CI says require: importing fails there without it."""
    if os.environ.get(_native.NATIVE_VARIABLE) == "require":
        assert _native.loaded is COMPILED is not None
    assert _native.implementation() == ("pure" if _native.loaded is None else "native")


def loaded(program: str = "", **environ: str) -> tuple[int, str]:
    """Exit code and last line of a process that says what it loaded."""
    inherited = {name: value for name, value in os.environ.items() if name not in _native.SWITCHES}
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}\nimport coherd\nprint(coherd.implementation())"],
        env={**inherited, **environ},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).strip().splitlines()[-1]


WITHOUT: Final = "sys.modules['coherd._native.compiled'] = None"


def test_the_environment_chooses() -> None:
    there = "native" if COMPILED else "pure"
    assert loaded() == loaded(COHERD_PURE="0", COHERD_NATIVE="") == (0, there)
    assert loaded(COHERD_PURE="1") == (0, "pure")
    if COMPILED:
        assert loaded("import coherd._native.compiled", COHERD_PURE="1") == (0, "pure"), "importing is not using it"
    assert loaded(WITHOUT) == (0, "pure")
    code, said = loaded(WITHOUT, COHERD_NATIVE="require")
    assert code == 1
    assert said.startswith("ImportError: COHERD_NATIVE=require, but coherd._native.compiled cannot be loaded")
    for environ in ({"COHERD_PURE": "1", "COHERD_NATIVE": "require"}, {"COHERD_PURE": "yes"}, {"COHERD_NATIVE": "1"}):
        code, said = loaded(**environ)
        assert code == 1
        assert said.startswith("ImportError: COHERD_")
