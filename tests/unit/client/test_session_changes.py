"""What a client's own operations drop from its near caches, and how long what it keeps is fresh."""

from __future__ import annotations

from typing import Any

import pytest

from coherd._near import NearCache, NearCacheMode, NearDomain
from coherd._rpc.frames import HIT_NEAR, GetAnswers
from coherd._rpc.methods import INVALIDATE, METHODS
from coherd._rpc.session_near import drop_changed, drop_keys, keep_columns
from coherd.v1 import cache_service_pb2 as wire
from coherd.v1 import session_pb2 as pb

KEY = "analytics:daily:user:u1:date:20250806"
OTHER = "analytics:daily:user:u2:date:20250806"
METHOD = {method.field: method for method in METHODS.values() if method.field}
"""Of operations; gets and sets are columns."""
READS = {kind for kind, method in METHOD.items() if method.changes is None}
CHANGES = sorted(METHOD.keys() - READS - {"invalidate"})


def holding(*keys: str, ttl_ms: int = 10_000) -> NearCache:
    """A near cache with these keys, asked for at 1 s, under a lease until 100 s."""
    near = NearCache(max_entries=10, max_bytes=100_000)
    near.configure({"analytics": NearDomain(NearCacheMode.PUSH, frozenset({"user", "date"}))})
    near.extend(100.0, 0.0)
    for key in keys:
        answers = GetAnswers(1, [HIT_NEAR], [b"7"], [ttl_ms], [0])
        keep_columns(near, [near.begin_read(key, 1.0)], 0, answers, serving=True)
        assert near.lookup(key, 1.0) is not None
    return near


def request_of(kind: str) -> Any:
    """A request of a kind about `KEY`."""
    operation = pb.Operation()
    request = getattr(operation, kind)
    item = request.items.add() if "items" in request.DESCRIPTOR.fields_by_name else request
    (item.set if "set" in item.DESCRIPTOR.fields_by_name else item).key.text = KEY
    return request


def test_reads_and_changes_are_all_there_are() -> None:
    assert METHOD.keys() == {field.name for field in pb.Operation.DESCRIPTOR.oneofs_by_name["request"].fields}
    assert {"lease", "batch_lease"} == READS
    assert set(CHANGES) == {"fill", "delete", "touch", "batch_fill"}


def test_sets_drop_their_keys_and_void_their_marks() -> None:
    near, other, loops = holding(KEY), holding(OTHER), holding(KEY)
    near.elsewhere = lambda: (loops,)
    read = near.begin_read(KEY, 1.0)
    assert read is not None
    drop_keys(near, [KEY, OTHER])
    assert near.lookup(KEY, 1.0) is None
    assert read.void
    assert other.lookup(OTHER, 1.0) is not None
    assert loops.lookup(KEY, 1.0) is None


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_drops_its_key_and_voids_its_marks_whatever_became_of_it(kind: str, known: bool) -> None:
    near = holding(KEY, OTHER)
    read = near.begin_read(KEY, 1.0)
    assert read is not None
    method = METHOD[kind]
    drop_changed(near, method, request_of(kind), method.response() if known else None)
    assert near.lookup(KEY, 1.0) is None
    assert read.void
    assert near.lookup(OTHER, 1.0) is not None


def invalidate() -> wire.InvalidateRequest:
    request = wire.InvalidateRequest()
    request.selectors.add().key.text = KEY
    return request


def test_an_invalidation_drops_the_tags_that_the_answer_names_and_its_keys() -> None:
    near = holding(KEY, OTHER)
    drop_changed(near, INVALIDATE, invalidate(), wire.InvalidateResponse())
    assert near.lookup(KEY, 1.0) is None
    assert near.lookup(OTHER, 1.0) is not None
    drop_changed(near, INVALIDATE, wire.InvalidateRequest(), wire.InvalidateResponse(tags=["analytics/user:u2"]))
    assert near.lookup(OTHER, 1.0) is None


def test_an_invalidation_without_an_answer_drops_everything() -> None:
    near = holding(KEY, OTHER)
    drop_changed(near, INVALIDATE, invalidate(), None)
    assert near.lookup(OTHER, 1.0) is None


@pytest.mark.parametrize("kind", [*CHANGES, "invalidate"])
def test_a_change_makes_the_near_caches_of_other_loops_serve_nothing(kind: str) -> None:
    near, other = holding(KEY), holding(OTHER)
    near.elsewhere = lambda: (other,)
    drop_changed(near, METHOD[kind], invalidate() if kind == "invalidate" else request_of(kind), None)
    assert other.lookup(OTHER, 1.0) is None


@pytest.mark.parametrize("kind", sorted(READS))
def test_a_read_drops_nothing_here_or_in_other_loops(kind: str) -> None:
    near, other = holding(KEY), holding(KEY)
    near.elsewhere = lambda: (other,)
    drop_changed(near, METHOD[kind], getattr(pb.Operation(), kind), None)
    assert near.lookup(KEY, 1.0) is not None
    assert other.lookup(KEY, 1.0) is not None


def test_what_is_kept_is_fresh_from_when_it_was_asked_for() -> None:
    near = holding(KEY, ttl_ms=2_000)
    assert near.lookup(KEY, 2.99) is not None
    assert near.lookup(KEY, 3.01) is None
