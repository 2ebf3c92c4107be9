"""Short recorded histories on each kind of store, each with its own kind of loss, and a storm of cancelled calls.

`make soak` is the long form: every fault, for as long as one likes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from coherence.faults import service_faults
from coherence.faults.service_faults import Fault
from coherence.soak.cancel_storm import run_storm
from coherence.soak.runs import Outcome, run, until_it_counts
from coherence.soak.scene import Topology, store_of
from coherence.validate.rates import Rates
from rig.valkey import standalone

SHORT: dict[Topology, list[Fault]] = {
    "standalone": [service_faults.restart_from_old_snapshot, service_faults.stop_client],
    "sentinel": [service_faults.fail_over_with_loss],
    "cluster": [service_faults.move_slots],
}


@pytest.mark.parametrize("topology", SHORT)
def test_no_promise_is_broken(topology: Topology, tmp_path: Path) -> None:
    def attempt(seed: int, longer: int) -> Outcome:
        with store_of(topology) as rig:
            return run(rig, SHORT[topology], seconds=9 * longer, seed=seed, rates=Rates().over(longer))

    outcome = until_it_counts(attempt)
    assert not outcome.violations, f"seed {outcome.seed}\n" + "\n".join(map(str, outcome.violations[:5]))
    assert len(outcome.history.faults) == len(SHORT[topology])


def test_cancelled_calls_disturb_nobody(tmp_path: Path) -> None:
    with standalone() as node:
        storm = run_storm(node, 3_000, tmp_path)
    assert not storm.violations, "\n".join(map(str, storm.violations[:5]))
    assert storm.hits > 20, "too few reads to prove anything"


def test_cancelled_operations_of_a_session_disturb_nobody(tmp_path: Path) -> None:
    """All on one stream, which is lost now and then."""
    with standalone() as node:
        storm = run_storm(node, 12_000, tmp_path, sessions=True)
    assert not storm.violations, "\n".join(map(str, storm.violations[:5]))
    assert storm.hits > 200, "too few reads to prove anything"
