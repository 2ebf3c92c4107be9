"""``python -m tests.coherence.soak --minutes N``: the long form; its figures go to docs/internals/reliability.md."""

from __future__ import annotations

import argparse
import datetime
import itertools
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from coherence.faults.near_faults import NEAR_BY_TOPOLOGY
from coherence.faults.service_faults import BY_TOPOLOGY
from coherence.faults.slowness import SLOWNESS
from coherence.mutants.near_mutants import NEAR_MUTANTS
from coherence.mutants.service_mutants import MUTANTS
from coherence.soak.cancel_storm import run_storm
from coherence.soak.hunt import STAGED, Caught, hunt, hunt_near
from coherence.soak.report import Soak, write_report
from coherence.soak.runs import run, run_near
from coherence.soak.scene import Topology, store_of
from coherence.validate.near_checkers import delays_of
from coherence.validate.rates import NEAR_RATES, Rates, Void
from rig.valkey import BACKENDS, standalone

FAULTS_PER_RUN = 3
KINDS = ("service", "near")
"""Runs of clients that ask the service each time, and of clients with near caches."""
SERVICE_SLOWNESS = ("slow_questions", "slow_reads")
"""What may be slow in runs of the first kind."""
RUN_S = 25.0


def main() -> None:
    """Run what was asked for; exit code 1 if a promise was broken or a mutant got away."""
    parser = argparse.ArgumentParser(prog="python -m tests.coherence.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long runs are started (default 10)")
    parser.add_argument(
        "--seed", type=int, default=time.time_ns() % 1_000_000, help="first seed; each run takes the next"
    )
    parser.add_argument("--topology", action="append", choices=BACKENDS, help="only this kind of store; repeatable")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only runs of this kind; repeatable")
    parser.add_argument(
        "--cancelled", type=int, default=100_000, help="calls of the storm; 0: no storm (default 100000)"
    )
    parser.add_argument("--hunt", action="store_true", help="also measure how long each mutant lives")
    parser.add_argument("--keep", type=Path, default=Path("soak-violations"), help="where histories with violations go")
    parser.add_argument(
        "--report", type=Path, default=Path("docs/internals/reliability.md"), help="the page to write into"
    )
    args = parser.parse_args()
    soak = Soak(datetime.date.today().isoformat(), args.minutes, args.seed)
    _runs(soak, args.topology or list(BACKENDS), args.kind or list(KINDS), args.keep)
    if args.cancelled:
        with standalone() as node, tempfile.TemporaryDirectory() as directory:
            soak.storm = run_storm(node, args.cancelled, Path(directory), args.seed)
            print(soak.storm._replace(violations=soak.storm.violations[:3]), flush=True)
    if args.hunt:
        soak.caught = [_hunted(mutant, args.seed) for mutant in (*MUTANTS, *NEAR_MUTANTS) if mutant not in STAGED]
    write_report(args.report, soak)
    lost = [one.mutant for one in soak.caught if one.seconds is None]
    broken = sum(soak.violations.values()) + (len(soak.storm.violations) if soak.storm else 0)
    print(f"{broken} violations; figures in {args.report}" + (f"; not caught: {', '.join(lost)}" if lost else ""))
    sys.exit(1 if broken or lost else 0)


def _runs(soak: Soak, topologies: list[Topology], kinds: list[str], keep: Path) -> None:
    """Every fault in turn, in a shuffled order, on each kind of store; with near caches and without."""
    end_s = time.monotonic() + soak.minutes * 60
    turns = itertools.cycle(itertools.product(topologies, kinds))
    queues: dict[tuple[Topology, str], list[Any]] = defaultdict(list)
    seed = soak.seed
    while time.monotonic() < end_s:
        topology, kind = next(turns)
        turn = seed - soak.seed
        near, queue = kind == "near", queues[topology, kind]
        if len(queue) < FAULTS_PER_RUN:
            more: list[Any] = list((NEAR_BY_TOPOLOGY if near else BY_TOPOLOGY)[topology])
            random.Random(seed).shuffle(more)
            queue += more
        chosen = [queue.pop(0) for _ in range(FAULTS_PER_RUN)]
        slowed = [name for name in SLOWNESS if turn // 2 % 2 and random.Random(f"{seed} {name}").random() < 0.7]
        names = " ".join(fault.__name__ for fault in chosen)
        try:
            with store_of(topology) as rig:
                kept = keep / f"{topology}-{kind}-{seed}"
                if near:
                    outcome = run_near(
                        rig, chosen, seconds=RUN_S, seed=seed, broken=slowed, rates=NEAR_RATES, keep=kept
                    )
                    soak.add_near(topology, outcome.figures, delays_of(outcome.history), slowed=bool(slowed))
                else:
                    slowed = [name for name in slowed if name in SERVICE_SLOWNESS]
                    outcome = run(rig, chosen, seconds=RUN_S, seed=seed, broken=slowed, rates=Rates(), keep=kept)
        except Void as void:
            soak.void += 1
            print(f"void: {topology} {kind} seed {seed}, {names}: {void}", flush=True)
        else:
            soak.add(topology, outcome.figures, Counter(fault.__name__ for fault in chosen), outcome.violations)
            print(
                f"{topology} {kind} seed {seed}, {names}: {len(outcome.violations)} violations, {outcome.figures}",
                flush=True,
            )
            for violation in outcome.violations[:5]:
                print(violation, flush=True)
        seed += 1


def _hunted(mutant: str, seed: int) -> Caught:
    caught = hunt(mutant, seed=seed) if mutant in MUTANTS else hunt_near(mutant, seed=seed)
    print(caught, flush=True)
    return caught


if __name__ == "__main__":
    main()
