"""Short recorded histories of near caches, each with losses of its own. `make soak` is the long form."""

from __future__ import annotations

from typing import Final

import pytest

from coherence.faults import near_faults
from coherence.faults.near_faults import NearFault
from coherence.soak.runs import Outcome, run_near, until_it_counts
from coherence.soak.scene import Topology, store_of
from coherence.validate.near_checkers import BOUNDS, delays_of
from coherence.validate.rates import NEAR_RATES

SHORT: Final[dict[Topology, list[NearFault]]] = {
    "standalone": [near_faults.deaf_clients, near_faults.trim_log],
    "cluster": [near_faults.fail_log_over],
}

SLOW: Final = ("slow_log", "slow_reads", "moving_sessions")


@pytest.mark.parametrize("topology", SHORT)
def test_no_promise_is_broken(topology: Topology) -> None:
    def attempt(seed: int, longer: int) -> Outcome:
        with store_of(topology) as rig:
            rates = NEAR_RATES.over(longer)
            return run_near(rig, SHORT[topology], seconds=9 * longer, seed=seed, broken=SLOW, rates=rates)

    outcome = until_it_counts(attempt)
    assert not outcome.violations, f"seed {outcome.seed}\n" + "\n".join(map(str, outcome.violations[:5]))
    assert len(outcome.history.faults) == len(SHORT[topology])
    assert outcome.figures.awaited > 20, "too few strict changes to prove anything"
    assert delays_of(outcome.history).oldest_read <= BOUNDS.bound_s * 1000
