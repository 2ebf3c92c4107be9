"""The rules hold in every interleaving within the bounds; each rule left out breaks a promise, by a shortest trace."""

from __future__ import annotations

import functools

import pytest

from coherence.model.searching import Result
from coherence.model.store_model import search
from coherence.model.store_state import Bounds, Rules

CORRECT = {
    "two readers": Bounds(readers=2, writes=1),
    "two readers, two changes": Bounds(readers=2, writes=2, verbs="ID"),
    "eviction and expiry": Bounds(evictions=1, expiries=1),
    "late commands": Bounds(late=1, evictions=1),
    "late commands, expiry": Bounds(late=1, expiries=1, verbs="ID"),
    "a late command, two readers": Bounds(readers=2, writes=1, late=1, verbs="D"),
    "a node goes back": Bounds(rollbacks=1, verbs="ID"),
    "a node goes back, with sets": Bounds(rollbacks=1, writes=1, late=1),
    "two tags": Bounds(tags=2, writes=1, evictions=1),
    "two tags, a node goes back": Bounds(tags=2, writes=1, rollbacks=1, verbs="I"),
    "fast sets, two readers": Bounds(remembers=1, readers=2, writes=1, verbs="S", late=1),
    "fast sets and deletes, eviction": Bounds(remembers=1, loads=False, writes=3, verbs="DS", late=1, evictions=1),
    "fast sets and invalidations, eviction": Bounds(
        remembers=1, loads=False, writes=3, verbs="IS", late=1, evictions=1
    ),
    "fast sets": Bounds(remembers=1, late=1),
    "fast sets, eviction and expiry": Bounds(remembers=1, evictions=1, expiries=1),
    "fast sets of two servers": Bounds(remembers=2, loads=False, writes=2, late=2, evictions=1),
    "fast sets, a node goes back": Bounds(remembers=1, loads=False, late=1, rollbacks=1),
    "fast sets and a load, a node goes back": Bounds(remembers=1, writes=1, verbs="S", late=1, rollbacks=1),
    "fast sets with two tags": Bounds(remembers=1, loads=False, tags=2, verbs="IS", late=1, evictions=1),
    "fast sets with two tags, and a load": Bounds(remembers=1, tags=2, writes=1, verbs="S", evictions=1),
}
MUTANTS = {
    "epochs not compared": (Rules(epochs_compared=False), Bounds(writes=1), "P1"),
    "missing epoch accepted": (Rules(missing_is_a_miss=False), Bounds(writes=1, evictions=1, verbs="I"), "P1"),
    "counters as epochs": (Rules(epochs_unique=False), Bounds(writes=1, evictions=1, verbs="I"), "P1"),
    "a repetition with the same id": (
        Rules(copies_have_ids_of_their_own=False),
        Bounds(writes=2, late=1, verbs="I"),
        "P1",
    ),
    "no identity of the tag's node": (Rules(tag_node_identity=False), Bounds(writes=1, rollbacks=1, verbs="I"), "P1"),
    "no identity of the key's node": (Rules(key_node_identity=False), Bounds(writes=1, rollbacks=1, verbs="D"), "P1"),
    "epochs read after the load": (Rules(stamps_of_the_grant=False), Bounds(writes=1, verbs="I"), "P1"),
    "fill of any grant": (Rules(fill_needs_grant=False), Bounds(writes=1, late=1, verbs="D"), "P1"),
    "fill of any grant, after an expiry": (
        Rules(fill_needs_grant=False),
        Bounds(writes=1, late=1, expiries=1, verbs="I"),
        "P1",
    ),
    "fill without lease": (Rules(fill_needs_lease=False), Bounds(writes=1, verbs="D"), "P1"),
    "Delete keeps the lease": (Rules(delete_voids_lease=False), Bounds(writes=1, verbs="D"), "P1"),
    "Set keeps the lease": (Rules(set_voids_lease=False), Bounds(writes=1, verbs="S"), "P1"),
    "no fence": (Rules(fenced=False), Bounds(writes=2, late=1, verbs="DS"), "P1"),
    "writes keep the fence": (Rules(writes_change_the_fence=False), Bounds(writes=2, late=1, verbs="DS"), "P1"),
    "judged by earlier epochs": (Rules(judged_by_later_epochs=False), Bounds(readers=2, writes=2, verbs="I"), "P5"),
    "grant does not compare": (Rules(grant_compares=False), Bounds(readers=2, writes=1, verbs="I"), "P5"),
    "absence remembered as a fence": (
        Rules(absence_is_no_fence=False),
        Bounds(remembers=1, writes=2, late=1, verbs="DS"),
        "P1",
    ),
    "writes keep the fence that is remembered": (
        Rules(writes_change_the_fence=False),
        Bounds(remembers=1, loads=False, writes=2, late=1, verbs="DS"),
        "P1",
    ),
    "the remembered fence is not compared": (
        Rules(fast_put_compares=False),
        Bounds(remembers=1, loads=False, writes=2, late=1, verbs="DS"),
        "P1",
    ),
    "a lost fence accepted": (
        Rules(lost_fence_fences=False),
        Bounds(remembers=1, loads=False, writes=2, late=1, evictions=1, verbs="DS"),
        "P1",
    ),
    "stamps as of the write": (
        Rules(stamps_of_before=False),
        Bounds(remembers=1, loads=False, writes=2, late=1, verbs="IS"),
        "P1",
    ),
    "identity as of the write": (
        Rules(put_needs_identity=False),
        Bounds(remembers=1, loads=False, writes=2, late=1, rollbacks=1, verbs="DS"),
        "P1",
    ),
}
"""Rule left out, the bounds that suffice, the promise it breaks."""


@functools.cache
def as_it_should_be(bounds: Bounds) -> Result:
    """With all rules; some bounds serve several tests."""
    return search(Rules(), bounds)


@pytest.mark.parametrize("bounds", CORRECT.values(), ids=CORRECT)
def test_the_rules_hold(bounds: Bounds) -> None:
    result = as_it_should_be(bounds)
    assert not result.broken, "\n".join([result.broken, *result.trace])
    assert result.states > 1_000, "the bounds allow next to nothing"


@pytest.mark.parametrize("name", MUTANTS)
def test_each_rule_is_needed(name: str) -> None:
    rules, bounds, promise = MUTANTS[name]
    result = search(rules, bounds)
    print(f"{name}: {result.broken} after {len(result.trace)} steps, {result.states} states", *result.trace, sep="\n  ")
    assert result.broken.startswith(promise)
    assert not as_it_should_be(bounds).broken
