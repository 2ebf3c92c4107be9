"""Many reads judged in one loop: what it says is what the rule itself says, and plain entries do not miss it."""

from __future__ import annotations

from collections import ChainMap
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherd import _native
from coherd.catalog.declared import OnFailover
from coherd.catalog.load import builtin_catalog
from coherd.catalog.overrides import TtlOverride, with_overrides
from coherd_server.core.entry import Flags, Times, encode_header
from coherd_server.core.read_columns import judge, judge_plain
from coherd_server.core.store import EpochRead, ValueColumns, ValueRead
from coherd_server.core.validity import ANY_IDENTITY, State, Validity, expected_block, open_entry, validate
from rig.native import COMPILED

CATALOG = with_overrides(builtin_catalog(), {"content": TtlOverride()})
KEYS = [
    CATALOG.resolve(text)
    for text in (
        "analytics:daily:user:u1:date:20250806",
        "analytics:daily:user:u2:date:20250806",
        "content:topics:user:u1",
        "celery:own:id:1",
        "psychology:profile:user:u1",
    )
]
NODES = (b"node one", b"node two")
NOW_MS = 1_000_000
TWINS = [None, COMPILED] if COMPILED else [None]
STATES = (State.FRESH, State.ABSENT, State.EXPIRED, State.INVALIDATED)
epochs = st.sampled_from([b"epoch  1", b"epoch  2", None])
times = st.integers(NOW_MS - 3, NOW_MS + 3)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[int], list[ValueRead], dict[str, EpochRead]]:
    """Keys, what is stored under them, and current epochs."""
    nodes = st.sampled_from(NODES if draw(st.booleans()) else NODES[:1])
    tags = {tag for key in KEYS for _, tag in key.stamp_starts}
    current = {
        tag: EpochRead(draw(epochs) if draw(st.booleans()) else b"epoch  1", draw(nodes)) for tag in sorted(tags)
    }
    places = draw(st.lists(st.integers(0, len(KEYS) - 1), min_size=1, max_size=6))
    reads = []
    for place in places:
        key, identity = KEYS[place], draw(nodes)
        block = expected_block(key, (), identity, current) or expected_block(
            key, (), identity, {tag: EpochRead(b"epoch  1", identity) for tag in tags}
        )
        assert block is not None
        header = encode_header(
            flags=draw(st.sampled_from([Flags.NONE, Flags.NONE, Flags.NONE, Flags.VERSIONED, Flags.NEGATIVE])),
            version=draw(st.sampled_from([0, 0, 0, 7])),
            times=Times(draw(times), draw(st.one_of(times, st.just(2**63))), draw(st.integers(0, 3))),
            block=draw(st.sampled_from([block, block, block, block[:-1] + b"?", b"\1" + ANY_IDENTITY])),
        )
        raw = draw(
            st.sampled_from([None, header + b"value", header, header[: draw(st.integers(0, len(header)))], b"foreign"])
        )
        reads.append(ValueRead(raw, identity, draw(times)))
    return places, reads, current


def columns_of(reads: list[ValueRead]) -> ValueColumns:
    """The same, in columns."""
    return ValueColumns(*map(list, zip(*reads, strict=True)))


def by_the_rule(place: int, read: ValueRead, current: dict[str, EpochRead]) -> Validity:
    """What `validate` says of one entry without extra tags."""
    entry = open_entry(read)
    return entry if isinstance(entry, Validity) else validate(KEYS[place], read, entry, (), current)


World = tuple[list[int], list[ValueRead], dict[str, EpochRead]]


@pytest.mark.parametrize("compiled", TWINS)
@given(worlds())
def test_one_loop_says_what_the_rule_says(compiled: object, world: World) -> None:
    places, reads, current = world
    with mock.patch.object(_native, "loaded", compiled):
        columns, others = judge([KEYS[place] for place in places], columns_of(reads), current)
    for at, (place, read) in enumerate(zip(places, reads, strict=True)):
        state = columns.states[at]
        assert (state is None) == (at in others)
        if state is None:
            continue
        rule = by_the_rule(place, read, current)
        assert state is rule.state
        if state is State.FRESH:
            said = (columns.values[at], columns.remaining_ms[at], columns.ages_ms[at])
            assert said == (rule.payload, rule.remaining_ms, rule.age_ms)
        else:
            assert (columns.values[at], columns.remaining_ms[at], columns.ages_ms[at]) == (b"", 0, 0)


@pytest.mark.parametrize("compiled", TWINS[1:])
@given(worlds())
def test_the_compiled_twin_leaves_nothing_and_says_the_same(compiled: Any, world: World) -> None:
    places, reads, current = world
    keys, read = [KEYS[place] for place in places], columns_of(reads)
    judged = compiled.judge_plain(keys, read, current, STATES, OnFailover.KEEP)
    assert judged is not compiled.LEFT
    columns, others = judge_plain(keys, read, current)
    assert (tuple(judged[:4]), judged[4]) == (columns, others)


@pytest.mark.parametrize("compiled", TWINS[1:])
@pytest.mark.parametrize("changed", ["raw", "identity", "time", "columns", "epoch", "epochs", "keys", "key", "starts"])
def test_columns_of_another_shape_are_left(compiled: Any, changed: str) -> None:
    tags = [tag for _, tag in KEYS[0].stamp_starts]
    current: Any = {tag: EpochRead(b"epoch  1", NODES[0]) for tag in tags}
    block = expected_block(KEYS[0], (), NODES[0], current)
    assert block is not None
    raw = encode_header(flags=Flags.NONE, version=0, times=Times(NOW_MS, NOW_MS + 5), block=block)
    read, keys = ValueRead(raw, NODES[0], NOW_MS), [KEYS[0]]
    args: Any = [keys, columns_of([read]), current, STATES, OnFailover.KEEP]
    assert compiled.judge_plain(*args)[0] == [State.FRESH]
    match changed:
        case "raw":
            args[1] = columns_of([read._replace(raw=bytearray(raw))])
        case "identity":
            args[1] = columns_of([read._replace(identity=b"node")])
        case "time":
            args[1] = columns_of([read._replace(redis_now_ms=-1)])
        case "columns":
            args[1] = [[raw], [NODES[0]], [NOW_MS]]
        case "epoch":
            args[2] = {tag: EpochRead("epoch  1", NODES[0]) for tag in tags}  # type: ignore[arg-type]
        case "epochs":
            args[2] = ChainMap(current)
        case "keys":
            args[0] = keys * 2
        case "key":
            args[0] = [("text",)]
        case "starts":
            args[0] = [KEYS[0]._replace(stamp_starts=list(KEYS[0].stamp_starts))]  # type: ignore[arg-type]
    assert compiled.judge_plain(*args) is compiled.LEFT


def test_no_plain_entry_takes_the_long_way(twin: str) -> None:
    """Of several keys and domains, one after the other."""
    current = {tag: EpochRead(b"epoch  1", NODES[0]) for key in KEYS for _, tag in key.stamp_starts}
    reads = []
    for key in KEYS:
        block = expected_block(key, (), NODES[0], current)
        assert block is not None
        entry = encode_header(flags=Flags.NONE, version=0, times=Times(NOW_MS - 5, NOW_MS + 5), block=block)
        reads.append(ValueRead(entry + key.text.encode(), NODES[0], NOW_MS))
    columns, others = judge(KEYS * 2, columns_of(reads * 2), current)
    assert others == []
    assert list(columns.states) == [State.FRESH] * 2 * len(KEYS)
    assert list(columns.values) == [key.text.encode() for key in KEYS] * 2
    assert (list(columns.remaining_ms), list(columns.ages_ms)) == ([5] * 2 * len(KEYS), [5] * 2 * len(KEYS))


@pytest.mark.parametrize("compiled", TWINS)
def test_a_stamp_that_is_not_current_invalidates_whichever_it_is(compiled: object) -> None:
    for key in KEYS:
        tags = [tag for _, tag in key.stamp_starts]
        current = {tag: EpochRead(b"epoch  1", NODES[0]) for tag in tags}
        block = expected_block(key, (), NODES[0], current)
        assert block is not None
        raw = encode_header(flags=Flags.NONE, version=0, times=Times(NOW_MS - 5, NOW_MS + 5), block=block) + b"value"
        reads = columns_of([ValueRead(raw, NODES[0], NOW_MS)])
        with mock.patch.object(_native, "loaded", compiled):
            assert list(judge([key], reads, current)[0].states) == [State.FRESH]
            for tag in tags:
                later = current | {tag: EpochRead(b"epoch  2", NODES[0])}
                columns, others = judge([key], reads, later)
                assert (list(columns.states), list(columns.values), others) == ([State.INVALIDATED], [b""], [])
