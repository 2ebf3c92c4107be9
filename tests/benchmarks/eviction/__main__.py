"""``python -m tests.benchmarks.eviction TRACE …``: hit ratios over whole traces, and what a hit and an insert cost."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from tests.benchmarks.eviction.candidates import CANDIDATES, Candidate

from coherd.cli.replay.trace import read_trace

SHARES: Final = (0.01, 0.05, 0.10, 0.25)
"""Entries, as a share of the distinct objects of a trace."""
ENTRIES: Final = 10_000
"""Of the caches whose cost is measured."""
ROUNDS: Final = 5


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.eviction", description=__doc__)
    parser.add_argument("traces", nargs="+", type=Path, metavar="TRACE", help="as `coherd replay` reads them")
    parser.add_argument("--entries", type=int, default=ENTRIES, help="of the caches whose cost is measured")
    args = parser.parse_args()
    console = Console(width=120)
    for path in args.traces:
        with path.open("rb") as source:
            keys = [key_of(number) for number in read_trace(source)]
        console.print(ratios(path.name, keys))
    console.print(costs(args.entries))


def key_of(number: object) -> str:
    """A key as they are in use."""
    return f"analytics:daily:user:user{number}:date:20250806"


def ratios(name: str, keys: Sequence[str]) -> Table:
    """Hit ratio of every candidate at every size."""
    distinct = len(set(keys))
    sizes = [max(1, int(distinct * share)) for share in SHARES]
    table = Table(title=f"{name}: hits in % of {len(keys):,} requests, {distinct:,} objects", title_justify="left")
    table.add_column("entries")
    for share, entries in zip(SHARES, sizes, strict=True):
        table.add_column(f"{entries:,} ({share:.0%})", justify="right")
    for candidate, make in CANDIDATES.items():
        table.add_row(candidate, *(f"{100 * hits(make(entries), keys) / len(keys):.2f}" for entries in sizes))
    return table


def hits(cache: Candidate, keys: Sequence[str]) -> int:
    """How many of the keys are there when they are asked for."""
    found = 0
    for key in keys:
        if cache.get(key) is not None:
            found += 1
        else:
            cache.put(key)
    return found


def costs(entries: int) -> Table:
    """Time of one hit, and of one insert into a full cache; the best of some rounds."""
    table = Table(title=f"cost in a cache of {entries:,} entries, one thread", title_justify="left")
    for header in ("", "hit ns", "insert ns"):
        table.add_column(header, justify="right" if header else "left")
    there = [key_of(number) for number in range(entries)]
    asked = random.Random(1).choices(there[entries // 10 :], k=2 * entries)
    for candidate, make in CANDIDATES.items():
        cache = make(entries)
        for key in there:
            cache.put(key)
        present = [key for key in asked if cache.get(key) is not None]  # admission may have refused some
        hit_ns = min(_each_ns(cache.get, present) for _ in range(ROUNDS))
        new = ([key_of(f"{turn}_{number}") for number in range(entries)] for turn in range(ROUNDS))
        insert_ns = min(_each_ns(cache.put, keys) for keys in new)
        table.add_row(candidate, f"{hit_ns:,.0f}", f"{insert_ns:,.0f}")
    return table


def _each_ns(call: Callable[[str], object], keys: Sequence[str]) -> float:
    started_ns = time.perf_counter_ns()
    for key in keys:
        call(key)
    return (time.perf_counter_ns() - started_ns) / max(1, len(keys))


if __name__ == "__main__":
    main()
