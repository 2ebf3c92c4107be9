"""The figures of a soak as the page docs/internals/reliability.md shows them."""

from __future__ import annotations

import os
import platform
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from coherence.soak.cancel_storm import Storm
from coherence.soak.hunt import Caught
from coherence.validate.near_checkers import BOUNDS, Delays
from coherence.validate.rates import Figures
from coherence.validate.violation import Violation

BEGIN: Final = "<!-- figures of the last soak: written by tests/coherence/soak/ -->"
END: Final = "<!-- end of the figures -->"
PROMISES: Final = {
    "P1 no resurrection": ("hits", "values read"),
    "P2 near cache bound": ("near_hits", "values read near"),
    "P2 own changes seen": ("own_reads", "values read by who had changed them"),
    "P2 strict": ("strict_reads", "values read after a change that waited"),
    "P3 no crossing": ("hits", "values read"),
    "P4 safe under loss": ("operations", "operations"),
    "P5 one load": ("loads", "loads"),
    "P6 nothing silent": ("operations", "operations"),
}
"""What each promise is counted against: a field of `Figures`, and its name."""


@dataclass(slots=True)
class Soak:
    """What was counted."""

    date: str
    minutes: float
    seed: int
    void: int = 0
    runs: Counter[str] = field(default_factory=Counter)
    figures: defaultdict[str, Figures] = field(default_factory=lambda: defaultdict(Figures))
    """By kind of store."""
    faults: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    """By promise."""
    storm: Storm | None = None
    caught: list[Caught] = field(default_factory=list)
    near: defaultdict[str, Figures] = field(default_factory=lambda: defaultdict(Figures))
    """The part of `figures` that comes from runs of near caches."""
    near_runs: Counter[str] = field(default_factory=Counter)
    push_delays_ms: list[float] = field(default_factory=list)
    """Of runs in which nothing was made slow, while there was no fault."""
    oldest_read_ms: float = 0.0
    """See `Delays.oldest_read`."""

    def add_near(self, topology: str, figures: Figures, delays: Delays, *, slowed: bool) -> None:
        """Count what a run of near caches showed besides what `add` takes."""
        self.near_runs[topology] += 1
        self.near[topology] += figures
        self.oldest_read_ms = max(self.oldest_read_ms, delays.oldest_read)
        if not slowed:
            self.push_delays_ms += delays.pushes

    def add(self, topology: str, figures: Figures, faults: Counter[str], violations: Sequence[Violation]) -> None:
        """Count a run that was not void."""
        self.runs[topology] += 1
        self.figures[topology] += figures
        self.faults += faults
        self.violations += Counter(one.promise for one in violations)

    @property
    def total(self) -> Figures:
        """Over all kinds of store."""
        total = Figures()
        for figures in self.figures.values():
            total += figures
        return total


def upper_bound(violations: int, trials: int) -> str:
    """How often it happens at most, at 95 %: the rule of three; nothing is claimed where something was found."""
    if violations or not trials:
        return "none"
    return f"< {3 / trials:.1e}"


def render(soak: Soak) -> str:
    """The figures in Markdown."""
    total = soak.total
    parts = [
        f"{soak.date}, {os.cpu_count()} cores, Python {platform.python_version()}, {soak.minutes:g} minutes from seed"
        f" {soak.seed}; {sum(soak.runs.values())} runs counted, {soak.void} void.",
        _table(
            (
                "store",
                "runs",
                "operations",
                "values read",
                "loads",
                "fills",
                "rejected fills",
                "sets",
                "sets given up, then ended",
                "acknowledged invalidations",
                "without acknowledgement",
            ),
            [
                (
                    name,
                    soak.runs[name] or sum(soak.runs.values()),
                    one.operations,
                    one.hits,
                    one.loads,
                    one.fills,
                    one.rejected_fills,
                    one.sets,
                    one.undone_sets,
                    one.invalidations,
                    one.unanswered,
                )
                for name, one in [*soak.figures.items(), ("all", total)]
            ],
        ),
        _table(
            ("promise", "violations", "out of", "rate at most (95 %)"),
            [
                (
                    promise,
                    soak.violations[promise],
                    f"{getattr(total, name):,} {text}",
                    upper_bound(soak.violations[promise], getattr(total, name)),
                )
                for promise, (name, text) in PROMISES.items()
            ],
        ),
        _table(("fault", "times"), sorted(soak.faults.items())),
    ]
    if soak.near:
        parts[2:2] = _near(soak)
    if soak.storm is not None:
        storm = soak.storm
        parts.append(
            f"Storm: {storm.cancelled:,} calls cancelled behind a proxy that delays, {storm.reads:,} reads beside them,"
            f" {storm.hits:,} with a value, {len(storm.violations)} violations"
            f" (rate per read {upper_bound(len(storm.violations), storm.reads)})."
        )
    if soak.caught:
        rows = [
            (
                one.mutant.replace("_", " "),
                "not caught" if one.seconds is None else f"{one.seconds:.1f}",
                one.promise,
                one.operations,
            )
            for one in soak.caught
        ]
        parts.append(_table(("mutant", "seconds until caught", "by", "operations until then"), rows))
    return "\n\n".join(parts)


def _near(soak: Soak) -> list[str]:
    """What near caches did, and how late pushes were."""
    total = Figures()
    for figures in soak.near.values():
        total += figures
    head = (
        *("near caches", "runs", "operations", "values read near", "pushes", "acknowledged invalidations"),
        *("changes that waited", "read by who had changed it", "read after a change that waited"),
    )
    rows = [
        (
            *(name, soak.near_runs[name] or sum(soak.near_runs.values()), one.operations, one.near_hits, one.pushes),
            *(one.invalidations, one.awaited, one.own_reads, one.strict_reads),
        )
        for name, one in [*soak.near.items(), ("all", total)]
    ]
    delays = sorted(soak.push_delays_ms)
    text = (
        f"The oldest value that was read near was read {soak.oldest_read_ms:.0f} ms after its change was acknowledged;"
        f" the bound is {BOUNDS.bound_s * 1000:.0f} ms."
    )
    if delays:
        p50, p99 = (delays[min(len(delays) - 1, int(len(delays) * share))] for share in (0.5, 0.99))
        text = (
            f"From an acknowledgement until another client had dropped what was invalidated, without a fault: p50"
            f" {p50:.1f} ms, p99 {p99:.1f} ms, at most {delays[-1]:.1f} ms, {len(delays):,} measured (0: it had dropped"
            f" it before). {text}"
        )
    return [_table(head, rows), text]


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in rows:
        lines.append(f"| {' | '.join(f'{cell:,}' if isinstance(cell, int) else str(cell) for cell in row)} |")
    return "\n".join(lines)


def write_report(page: Path, soak: Soak) -> None:
    """Put the figures into the page, in place of those of the soak before.

    Raises:
        ValueError: the page has no place for them.
    """
    text = page.read_text("utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no place for figures: {BEGIN} ... {END}")
    page.write_text(f"{before}{BEGIN}\n\n{render(soak)}\n\n{END}{after}", "utf-8")
