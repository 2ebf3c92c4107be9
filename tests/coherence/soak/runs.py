"""One run: start the scene, let clients work while faults happen, and judge what was recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from coherence.faults.near_faults import NearFault
from coherence.faults.service_faults import Fault
from coherence.history import History
from coherence.soak.near_scene import near_scene
from coherence.soak.scene import Scene, scene
from coherence.validate.checkers import check_all
from coherence.validate.rates import Figures, Rates, Void, figures_of, require_rates
from coherence.validate.violation import Violation
from rig.cluster import Cluster
from rig.process import Node
from rig.sentinel import SentinelTrio

LONGER = (1, 3, 9)
CENSUS: tuple[str, ...] = ("--census-interval", "500ms")


class Outcome(NamedTuple):
    """What a run showed."""

    figures: Figures
    violations: list[Violation]
    history: History
    seed: int = 0
    """Of a run of `until_it_counts`."""


def run(
    rig: Node | SentinelTrio | Cluster,
    faults: Sequence[Fault],
    *,
    seconds: float,
    seed: int,
    servers: int = 2,
    clients: int = 4,
    broken: Sequence[str] = (),
    rates: Rates | None = None,
    keep: Path | None = None,
) -> Outcome:
    """Clients work for ``seconds``, or longer where the faults, one after the other, take longer.

    Args:
        broken: names of mutants, and of slowness, of its servers.
        rates: least rates; without them no run is void.
        keep: where the history is copied to if it holds a violation.

    Raises:
        Void: the run was too thin.
    """
    with scene(rig, broken=broken, seed=seed, server_args=CENSUS) as stage:
        stage.start_servers(servers)
        stage.start_clients(clients, seconds)
        time.sleep(min(1.5, seconds / 4))
        for fault in faults:
            fault(stage)
            time.sleep(0.7)
        return judged(stage, rates, keep)


def run_near(
    rig: Node | SentinelTrio | Cluster,
    faults: Sequence[NearFault],
    *,
    seconds: float,
    seed: int,
    servers: int = 2,
    clients: int = 4,
    broken: Sequence[str] = (),
    rates: Rates | None = None,
    keep: Path | None = None,
) -> Outcome:
    """As `run`, with clients that have near caches.

    Args:
        broken: see `NearScene`.
        rates: least rates; without them no run is void.
        keep: where the history is copied to if it holds a violation.

    Raises:
        Void: the run was too thin.
    """
    with near_scene(rig, broken=broken, seed=seed, server_args=CENSUS) as stage:
        stage.start_servers(servers)
        stage.start_clients(clients, seconds, tasks=5)
        time.sleep(min(2.5, seconds / 3))
        for fault in faults:
            fault(stage)
            time.sleep(0.7)
        return judged(stage, rates, keep)


def until_it_counts(attempt: Callable[[int, int], Outcome]) -> Outcome:
    """A run on a machine that may be busy with other things: void ones are done again, with another seed and longer.

    Args:
        attempt: of a seed, and how many times as long it is to last for the same counts.

    Raises:
        Void: one that lasted the last of `LONGER` was.
    """
    for longer in LONGER:
        seed = time.time_ns() % 1_000_000
        try:
            return attempt(seed, longer)._replace(seed=seed)
        except Void:
            if longer == LONGER[-1]:
                raise
    raise AssertionError("not reached")


def judged(stage: Scene, rates: Rates | None, keep: Path | None) -> Outcome:
    """Wait for the end of a run, and check it.

    Raises:
        Void: the run was too thin.
    """
    stage.wait()
    history = stage.history()
    violations = [*check_all(history), *_defects(stage)]
    if violations and keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        for part in stage.directory.glob("*.jsonl"):
            (keep / part.name).write_bytes(part.read_bytes())
    figures = figures_of(history)
    if rates is not None and not violations:
        require_rates(figures, rates)
    return Outcome(figures, violations, history)


def _defects(stage: Scene) -> list[Violation]:
    """Errors in the servers' logs; of what is no line of a log, as a traceback, all that follows."""
    found: list[Violation] = []
    for server in stage.servers:
        lines = server.errors().splitlines()
        for at, line in enumerate(lines):
            traceback = line.startswith("Traceback")
            if traceback or '"level": "error"' in line:
                text = "\n".join(lines[at : at + 60]) if traceback else line
                first = tuple(stage.history().operations[:1])
                found.append(Violation("P4 safe under loss", f"a server logged: {text}", first))
                if traceback:
                    break
    return found
