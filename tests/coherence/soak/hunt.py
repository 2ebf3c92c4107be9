"""How long random work needs to catch a mutant: ``python -m tests.coherence.soak --hunt``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from coherence.faults import service_faults
from coherence.faults.near_faults import (
    NearFault,
    cut_streams,
    delay_streams,
    half_open_streams,
    stepping_streams,
    trim_log,
)
from coherence.faults.service_faults import Fault
from coherence.history import History
from coherence.soak.near_scene import near_scene
from coherence.soak.runs import CENSUS
from coherence.soak.scene import Scene, scene, store_of
from coherence.validate.checkers import check_all

AIMED: Final[dict[str, Fault]] = {
    "missing_epoch_accepted": service_faults.forget_epochs,
    "counters_as_epochs": service_faults.forget_epochs,
    "no_node_identity": service_faults.restart_all_from_old_snapshot,
    "no_fence": service_faults.late_commands,
}
"""The fault a mutant needs; it is done again and again."""
SLOW: Final[dict[str, tuple[str, ...]]] = {"fence_from_after_giving_up": ("slow_questions",)}
"""Where servers must be slow for a mutant."""
NEAR_AIMED: Final[dict[str, NearFault]] = {
    "gap_ignored": trim_log,
    "lapsed_lease_still_served": half_open_streams,
    "lease_counted_from_the_reply": stepping_streams,
    "not_flushed_on_reconnect": cut_streams,
    "published_before_acknowledged": delay_streams,
}
"""The same of near caches."""
NEAR_SLOW: Final[dict[str, tuple[str, ...]]] = {
    "gap_ignored": ("crawling_log",),
    "in_flight_window_not_checked": ("slow_reads",),
    "lease_counted_from_the_reply": (),
}
"""Where the network must be slow for a mutant of near caches, if not everywhere."""


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
    broken = () if mutant is None else (mutant, *SLOW.get(mutant, ()))
    with store_of("standalone") as rig, scene(rig, broken=broken, seed=seed, server_args=CENSUS) as stage:
        stage.start_servers(2)
        stage.start_clients(4, most_s)
        fault = AIMED.get(mutant or "")
        return _watch(stage, mutant, most_s, lambda: fault and fault(stage))


def hunt_near(mutant: str, *, most_s: float = 60.0, seed: int = 0) -> Caught:
    """As `hunt`, for near caches: broken clients or servers, where the network is slow now and then."""
    broken = (mutant, *NEAR_SLOW.get(mutant, ("crawling_log", "slow_reads")))
    with store_of("standalone") as rig, near_scene(rig, broken=broken, seed=seed, server_args=CENSUS) as stage:
        stage.start_servers(2)
        stage.start_clients(4, most_s, tasks=5)
        fault = NEAR_AIMED.get(mutant)
        return _watch(stage, mutant, most_s, lambda: fault and fault(stage))


def _watch(stage: Scene, mutant: str | None, most_s: float, hit: Callable[[], object]) -> Caught:
    """Look again and again until a check fails."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < most_s:
        hit()
        time.sleep(0.7)
        history = History.load_running(stage.directory)
        if found := check_all(history):
            return Caught(mutant or "none", time.monotonic() - began_s, found[0].promise, len(history.operations))
    return Caught(mutant or "none", None, operations=len(stage.history().operations))
