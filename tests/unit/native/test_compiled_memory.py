"""The compiled twin keeps nothing: neither memory over many rounds, nor references to what it was given."""

from __future__ import annotations

import gc
import importlib.util
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from twins import MOST, frame

from coherd import _native
from coherd._rpc.frames import GetColumns, SetColumns, SetOptions
from coherd.catalog.catalog import ResolvedKey
from coherd.catalog.load import builtin_catalog
from coherd_server.core.entry import plain_header
from coherd_server.core.store import EpochRead, ValueColumns, ValueRead
from coherd_server.core.validity import expected_block
from coherd_server.rpc.frame_bytes import GetAnswers, SetAnswers
from rig.native import COMPILED

ROUNDS: Final = 2_000
KEYS: Final = [f"content.rendered:page={page}:title=\N{SNOWMAN}" for page in range(20)]
VALUES: Final = [bytes([one]) * 300 for one in range(20)]
NUMBERS: Final = [10_000 + one for one in range(20)]
GETS: Final = [GetColumns(500, 5_000, False, KEYS)]
SETS: Final = [SetColumns(900, 5_000, SetOptions(60_000), KEYS, VALUES, NUMBERS)]
GOT: Final = [GetAnswers(500, [1] * 20, VALUES, NUMBERS, NUMBERS)]
DONE: Final = [SetAnswers(900, [1] * 20, NUMBERS)]
REQUEST: Final = b"" if COMPILED is None else COMPILED.encode_frame(GETS, SETS)
ANSWER: Final = b"" if COMPILED is None else COMPILED.encode_answers(GOT, DONE)
RESOLVED: Final = [builtin_catalog().resolve(f"analytics:daily:user:u{one}:date:20250806") for one in range(20)]
NODE: Final = b"node one"
EPOCHS: Final = {tag: EpochRead(b"epoch  1", NODE) for key in RESOLVED for _, tag in key.stamp_starts}


def _read(key: ResolvedKey) -> ValueRead:
    block = expected_block(key, (), NODE, EPOCHS)
    assert block is not None
    return ValueRead(plain_header(1_000, 9_000, 0, 0, block) + b"value", NODE, 2_000)


READS: Final = ValueColumns(*map(list, zip(*(_read(key) for key in RESOLVED), strict=True)))
CUT: Final = READS._replace(identities=[*READS.identities[:-1], b""])
DOCUMENT: Final = {"rows": [{"minutes": one, "words": [2.5, None, True]} for one in NUMBERS], "note": "n" * 200}
DEEP: Final = {"rows": [DOCUMENT, {1, 2}]}
BAD: Final = [*GETS, GetColumns(1, 2, False, [*KEYS, "\ud800"])]

CALLS: Final[dict[str, Callable[[], Any]]] = {
    "encode": lambda: COMPILED.encode_frame(GETS, SETS, b"", 700),
    "encode what is left": lambda: COMPILED.encode_frame(BAD, SETS),
    "answer": lambda: COMPILED.encode_answers(GOT, DONE),
    "read": lambda: COMPILED.decode_request(REQUEST, MOST),
    "read what is left at its end": lambda: COMPILED.decode_request(REQUEST[:-2], MOST),
    "read too much": lambda: COMPILED.decode_request(REQUEST, 30),
    "read what is not UTF-8": lambda: COMPILED.decode_request(frame((0x12, b"\x22\x01a\x22\x01\xff")), MOST),
    "take": lambda: COMPILED.decode_answers(ANSWER),
    "take what is left at its end": lambda: COMPILED.decode_answers(ANSWER[:-1]),
    "judge": lambda: COMPILED.judge_plain(RESOLVED, READS, EPOCHS, (1, 2, 3, 4), None),
    "judge what is left at its end": lambda: COMPILED.judge_plain(RESOLVED, CUT, EPOCHS, (1, 2, 3, 4), None),
    "copy": lambda: COMPILED.copy_document(DOCUMENT),
    "copy what is left": lambda: COMPILED.copy_document(DEEP),
    "look": lambda: COMPILED.is_flat(DOCUMENT) or COMPILED.is_flat(DOCUMENT["rows"]),
    "reckon": lambda: COMPILED.memory_bytes(DOCUMENT, 1 << 30, 0, 0),
}


@pytest.mark.parametrize("name", CALLS)
def test_no_memory_is_kept(name: str) -> None:
    call = CALLS[name]
    for _ in range(50):
        call()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(ROUNDS):
            call()
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert kept < ROUNDS * 4, "less than the smallest object of each round"


@pytest.mark.parametrize("name", CALLS)
def test_no_reference_is_kept_or_dropped(name: str) -> None:
    given = [*KEYS, *VALUES, *NUMBERS, KEYS, VALUES, REQUEST, ANSWER, DOCUMENT, *DOCUMENT["rows"], GETS[0], SETS[0]]
    given += [NODE, EPOCHS, RESOLVED, READS, *READS, *RESOLVED, *EPOCHS.values(), *READS.raws]
    call = CALLS[name]
    call()
    before = [sys.getrefcount(one) for one in given]
    for _ in range(100):
        call()
    assert [sys.getrefcount(one) for one in given] == before


def test_it_was_compiled_from_this_source() -> None:
    """If not: `make native`."""
    spec = importlib.util.spec_from_file_location("hatch_build", Path(__file__).parents[3] / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    assert build.source_digest(Path(_native.__file__).parent) == COMPILED.SOURCE
