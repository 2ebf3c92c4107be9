"""Near caches keep P2 in every interleaving within the bounds; each rule left out breaks it, by a shortest trace."""

from __future__ import annotations

import functools

import pytest

from coherence.model.near_model import search
from coherence.model.near_state import Bounds, Rules
from coherence.model.searching import Result

CORRECT = {
    "push": Bounds(writes=2, verbs="TX"),
    "push, sets": Bounds(writes=2, verbs="K"),
    "push, own changes": Bounds(owns=1, reads=1, verbs="TK"),
    "push, own changes elsewhere": Bounds(owns=1, own_elsewhere=True, verbs="T"),
    "push, the log fails over": Bounds(failovers=1),
    "push, the log is lost": Bounds(writes=2, evictions=1),
    "push, the log is trimmed": Bounds(writes=2, verbs="TO", trims=1),
    "push, cut off, lost, lapsed": Bounds(writes=1, fills=1, evictions=1, cuts=1, lapses=1, verbs="X"),
    "push, own changes, cut off, lapsed": Bounds(writes=0, owns=1, fills=1, cuts=1, lapses=1),
    "strict": Bounds(strict=True, writes=2, verbs="TXK"),
    "strict, the log fails over": Bounds(strict=True, reads=1, writes=2, failovers=1),
    "strict, the log is lost": Bounds(strict=True, evictions=1, lapses=1),
    "strict, the member is cut off": Bounds(strict=True, writes=2, cuts=1),
    "strict, the registry is lost": Bounds(strict=True, writes=2, losses=1),
    "strict, the stream breaks": Bounds(strict=True, writes=2, hangups=1),
    "strict, the member starts": Bounds(strict=True, writes=2, started=False),
    "strict, the member starts, failover": Bounds(strict=True, reads=1, fills=1, started=False, failovers=1),
    "strict, log and registry lost, cut off": Bounds(strict=True, reads=1, fills=1, evictions=1, losses=1, cuts=1),
    "strict, registry lost, lapsed, stream broken": Bounds(strict=True, fills=1, losses=1, lapses=1, hangups=1),
}
MUTANTS = {
    "no check at the reply": (Rules(checked_at_reply=False, marked_before_asking=False), Bounds(), "STUCK"),
    "an extra tag in flight": (Rules(checked_at_reply=False), Bounds(verbs="X"), "STUCK"),
    "no mark": (Rules(marked_before_asking=False), Bounds(owns=1, own_elsewhere=True, writes=0), "OWN"),
    "extra tags not registered": (Rules(extra_tags_registered=False), Bounds(verbs="X"), "STUCK"),
    "append before the change": (Rules(change_before_append=False), Bounds(), "STUCK"),
    "own changes not dropped": (Rules(own_changes_dropped=False), Bounds(owns=1, writes=0), "OWN"),
    "joins what was sent": (Rules(joins_only_unsent=False), Bounds(owns=1, writes=0), "OWN"),
    "joins what was sent, strict": (Rules(joins_only_unsent=False), Bounds(strict=True), "STRICT"),
    "identity not watched": (Rules(identity_watched=False), Bounds(failovers=1), "STUCK"),
    "generation not watched": (Rules(generation_watched=False), Bounds(writes=2, evictions=1), "STUCK"),
    "gap ignored": (Rules(gaps_noticed=False), Bounds(writes=2, verbs="TO", trims=1), "STUCK"),
    "extended out of step": (Rules(extended_only_in_step=False), Bounds(cuts=1), "STUCK"),
    "serves before it has joined": (Rules(joined_before_serving=False), Bounds(strict=True, started=False), "STRICT"),
    "no flush after a lapse": (Rules(flushed_after_lapse=False), Bounds(lapses=1), "STUCK"),
    "acknowledged before dropped": (Rules(dropped_before_acknowledging=False), Bounds(strict=True), "STRICT"),
    "published before acknowledged": (Rules(acknowledged_before_published=False), Bounds(strict=True), "STRICT"),
    "watermarks of another log": (
        Rules(watermarks_name_their_log=False),
        Bounds(strict=True, writes=2, reads=1, failovers=1),
        "STRICT",
    ),
    "registry read first": (Rules(registry_read_by_append=False), Bounds(strict=True, started=False), "STRICT"),
    "a young registry is trusted": (Rules(young_registry_not_trusted=False), Bounds(strict=True, losses=1), "STRICT"),
    "a registry that went back is trusted": (
        Rules(completeness_names_its_node=False),
        Bounds(strict=True, reads=1, fills=1, started=False, failovers=1),
        "STRICT",
    ),
    "a silent member is dropped at once": (Rules(silent_for_a_lease=False), Bounds(strict=True, cuts=1), "STRICT"),
    "a closed session counts no more": (Rules(closed_sessions_count=False), Bounds(strict=True, hangups=1), "STRICT"),
}
"""Rules left out, the bounds that suffice, the promise that breaks."""


@functools.cache
def as_it_should_be(bounds: Bounds) -> Result:
    """With all rules; some bounds serve several tests."""
    return search(Rules(), bounds)


@pytest.mark.parametrize("bounds", CORRECT.values(), ids=CORRECT)
def test_the_rules_hold(bounds: Bounds) -> None:
    result = as_it_should_be(bounds)
    assert not result.broken, "\n".join([result.broken, *result.trace])
    assert result.states > 300, "the bounds allow next to nothing"


@pytest.mark.parametrize("name", MUTANTS)
def test_each_rule_is_needed(name: str) -> None:
    rules, bounds, promise = MUTANTS[name]
    result = search(rules, bounds)
    print(f"{name}: {result.broken} after {len(result.trace)} steps, {result.states} states", *result.trace, sep="\n  ")
    assert result.broken.startswith(promise)
    assert not as_it_should_be(bounds).broken
