"""Copies of decoded values: one definition, and what does the same faster; and what they are reckoned to take."""

from __future__ import annotations

import copy
import decimal
import tracemalloc
import uuid
from collections import OrderedDict
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherd._near.documents import MAX_DEPTH, NotADocument, copy_document, document_bytes, kept_copy, prepared_copy
from rig.native import COMPILED

LEAVES: Final = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
DOCUMENTS: Final = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5), max_leaves=30
)


def compiled(value: Any) -> Any:
    """A copy by the compiled twin, or, of what it leaves, by the definition."""
    copied = COMPILED.copy_document(value)
    return copy_document(value) if copied is COMPILED.LEFT else copied


def prepared(value: Any) -> Any:
    """A copy by the prepared way."""
    make = prepared_copy(value)
    return value if make is None else make()


COPIES: Final = [copy_document, prepared, *([compiled] if COMPILED else [])]


def containers(value: Any) -> list[Any]:
    """All dicts and lists in it."""
    if isinstance(value, dict):
        return [value, *(each for item in value.values() for each in containers(item))]
    if isinstance(value, list):
        return [value, *(each for item in value for each in containers(item))]
    return []


@pytest.mark.parametrize("copied", COPIES)
@given(DOCUMENTS)
def test_a_copy_is_equal_of_the_same_types_and_shares_no_container(copied: Any, value: Any) -> None:
    new = copied(value)
    assert new == value
    assert repr(new) == repr(value), "types, and the order of keys"
    assert {id(each) for each in containers(new)}.isdisjoint(id(each) for each in containers(value))


@given(DOCUMENTS)
def test_each_copy_of_a_prepared_document_is_another(value: Any) -> None:
    make = prepared_copy(value)
    if make is None:
        return
    before = copy.deepcopy(value)
    one = make()
    for each in containers(one):
        each.clear()
    assert make() == before == value


@pytest.mark.parametrize(
    "leaf",
    [None, True, 7, 2.5, "text", b"bytes", decimal.Decimal("1.10"), uuid.UUID(int=7)],
)
@pytest.mark.parametrize("copied", COPIES)
def test_what_nobody_can_alter_is_not_copied(copied: Any, leaf: Any) -> None:
    assert copied(leaf) is leaf
    assert copied([leaf])[0] is leaf


class Text(str):
    __slots__ = ("mark",)


@pytest.mark.parametrize(
    "value",
    [
        *({1, 2}, (1, [2]), OrderedDict(a=1), bytearray(b"a"), Text("a"), object(), [object()], {"a": {"b": {1}}}),
        *({Text("a"): 1}, {(1, 2): 3}),
    ],
)
@pytest.mark.parametrize("copied", COPIES)
def test_of_other_values_a_copy_is_not_defined(copied: Any, value: Any) -> None:
    with pytest.raises(NotADocument):
        copied(value)


@pytest.mark.parametrize("copied", COPIES)
def test_what_is_nested_too_deeply_or_in_itself_is_refused(copied: Any) -> None:
    value: Any = []
    for _ in range(MAX_DEPTH - 1):
        value = [value]
    assert copied(value) == value
    with pytest.raises(NotADocument):
        copied([value])
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(NotADocument):
        copied(endless)


@pytest.mark.parametrize("copied", COPIES)
def test_a_container_in_two_places_becomes_two(copied: Any) -> None:
    one = [1]
    new = copied([one, one])
    assert new[0] is not new[1]


ROWS: Final = [{"start": f"2025-08-06T{hour:02}:15:00Z", "minutes": 25_000, "words": 2.5} for hour in range(24)]


@pytest.mark.parametrize(
    "value",
    [
        {"words": 812, "sessions": ROWS, "mood": {"valence": 0.61, "arousal": 0.34}, "note": "n" * 200},
        ROWS,
        {f"key {number}": f"text {number}" for number in range(100)},
        [[number, [number + 1_000]] for number in range(1_000, 1_200)],
        [{} for _ in range(200)],
        ["ä" * 50, "\N{CRAB}" * 50],
    ],
    ids=["day", "rows", "flat", "lists", "empty", "wide"],
)
def test_the_estimate_is_near_what_the_interpreter_takes(twin: str, value: Any) -> None:
    texts = [orjson.dumps(value).replace(b"key", b"%03d" % number) for number in range(53)]  # dicts by id share no keys
    held = [(one, kept_copy(one, 1 << 30)) for one in map(orjson.loads, texts[:3])]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for text in texts[3:]:
            one = orjson.loads(text)
            held.append((one, kept_copy(one, 1 << 30)))
        taken = (tracemalloc.get_traced_memory()[0] - before) / 50
    finally:
        tracemalloc.stop()
    assert 0.9 * taken <= kept_copy(held[0][0], 1 << 30)[1] <= 1.4 * taken


def test_counting_ends_where_there_is_no_room(twin: str) -> None:
    rows = [["x" * 100] for _ in range(10_000)]
    assert 1_000 < document_bytes(rows, 1_000) < 200_000
    assert 1_000 < kept_copy(rows, 1_000)[1] < 200_000
