"""Notes of the census: what was written comes back; anything else is told as damaged, whatever it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherd.catalog.load import builtin_catalog
from coherd_server.core.census import rest_share
from coherd_server.core.census_note import (
    FINISHED,
    CensusResult,
    DamagedNote,
    Progress,
    Tally,
    decode_progress,
    decode_result,
)

RESULT: dict[str, Any] = {"counted_at_ms": 5, "keys": {"content": 1}, "sizes": {"content": 90}, "unlinked": 2}
PROGRESS: dict[str, Any] = {"keys": {}, "sizes": {}, "unlinked": 0, "done": ["a:1"], "at": {"b:1": 7}}
DAMAGES: list[tuple[str, Any]] = [
    ("keys", []),
    ("keys", {"content": "1"}),
    ("keys", {"content": -1}),
    ("keys", {"content": True}),
    ("sizes", {"content": 2**63}),
    ("sizes", None),
    ("unlinked", 1.5),
]
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*RESULT, "done", "at"]), inner),
    max_leaves=12,
)


def test_what_was_written_comes_back() -> None:
    tally = Tally(unlinked=3)
    tally.add(builtin_catalog().resolve("content:topics:user:u"), 40)
    progress = Progress(tally, ["one:6379"], {"two:6379": 2**64 - 1})
    assert decode_progress(progress.encode()) == progress
    result = CensusResult.of(tally, 1_700_000_000_000)
    assert decode_result(result.encode()) == result
    assert result.keys == {"content": 1, "content:topics": 1}
    assert decode_progress(FINISHED) == Progress()


@pytest.mark.parametrize(("name", "value"), [*DAMAGES, ("counted_at_ms", 10**15), ("counted_at_ms", "now")])
def test_a_damaged_result(name: str, value: Any) -> None:
    assert decode_result(json.dumps(RESULT).encode()).unlinked == 2
    with pytest.raises(DamagedNote):
        decode_result(json.dumps({**RESULT, name: value}).encode())


@pytest.mark.parametrize(
    ("name", "value"), [*DAMAGES, ("done", [1]), ("done", "a:1"), ("at", {"b:1": "7"}), ("at", [])]
)
def test_a_damaged_progress(name: str, value: Any) -> None:
    assert decode_progress(json.dumps(PROGRESS).encode()).at == {"b:1": 7}
    with pytest.raises(DamagedNote):
        decode_progress(json.dumps({**PROGRESS, name: value}).encode())


@pytest.mark.parametrize("name", RESULT)
def test_a_result_with_a_field_missing(name: str) -> None:
    with pytest.raises(DamagedNote):
        decode_result(json.dumps({field: value for field, value in RESULT.items() if field != name}).encode())


@given(st.binary() | any_json.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_or_damaged(note: bytes) -> None:
    for decode in (decode_result, decode_progress):
        try:
            decode(note)
        except DamagedNote:
            continue


def test_a_walk_that_lasts_rests_less() -> None:
    """Few keys are counted gently; many are not counted at the same pace, which took hours."""
    assert [rest_share(lasted) for lasted in (0.0, 0.5, 1.0, 100.0)] == [9.0, 5.0, 1.0, 1.0]
