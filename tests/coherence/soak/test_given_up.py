"""Short histories of callers that give up on sets and undo them elsewhere, over servers that ask late for fences."""

from __future__ import annotations

import pytest

from coherence.soak.hunt import hunt
from coherence.soak.runs import Outcome, run, until_it_counts
from coherence.soak.scene import Topology, store_of
from coherence.validate.rates import Rates


@pytest.mark.parametrize("topology", ["standalone", "cluster"])
def test_no_set_comes_back(topology: Topology) -> None:
    def attempt(seed: int, longer: int) -> Outcome:
        with store_of(topology) as rig:
            rates = Rates(undone_sets=2).over(longer)
            return run(rig, [], seconds=5 * longer, seed=seed, broken=["slow_questions"], rates=rates)

    outcome = until_it_counts(attempt)
    assert not outcome.violations, f"seed {outcome.seed}\n" + "\n".join(map(str, outcome.violations[:5]))


def test_a_set_with_a_fence_from_after_its_caller_gave_up_is_found() -> None:
    assert hunt("fence_from_after_giving_up", most_s=300).promise == "P1 no resurrection"
