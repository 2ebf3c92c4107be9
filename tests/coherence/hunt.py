"""How long random work needs to catch a mutant: ``python -m tests.coherence.soak --hunt``."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from coherence import faults
from coherence.checkers import check_all
from coherence.faults import Fault
from coherence.history import History
from coherence.runs import CENSUS
from coherence.scene import scene, store_of

AIMED: Final[dict[str, Fault]] = {
    "missing_epoch_accepted": faults.forget_epochs,
    "counters_as_epochs": faults.forget_epochs,
    "no_node_identity": faults.restart_all_from_old_snapshot,
    "no_fence": faults.late_commands,
}
"""The fault a mutant needs; it is done again and again."""


STAGED: Final = frozenset({"no_repetition"})
"""Mutants that random work on one node cannot show: two primaries must answer at one time, to different servers."""


class Caught(NamedTuple):
    """Outcome of one hunt."""

    mutant: str
    seconds: float | None
    """From the first call to the look that found it; None: it got away."""
    promise: str = ""
    operations: int = 0


def hunt(mutant: str | None, *, most_s: float = 60.0, seed: int = 0) -> Caught:
    """Let clients work against mutant servers until a check fails, or the time is over. None: servers as they are."""
    with store_of("standalone") as rig, scene(rig, mutant=mutant, seed=seed, server_args=CENSUS) as stage:
        stage.start_servers(2)
        stage.start_clients(4, most_s)
        began_s = time.monotonic()
        while time.monotonic() - began_s < most_s:
            if mutant in AIMED:
                AIMED[mutant](stage)
            time.sleep(0.7)
            history = History.load_running(stage.directory)
            if found := check_all(history):
                return Caught(mutant or "none", time.monotonic() - began_s, found[0].promise, len(history.operations))
        return Caught(mutant or "none", None, operations=len(stage.history().operations))
