"""The figures of a soak as the page docs/reliability.md shows them."""

from __future__ import annotations

import os
import platform
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from coherence.cancel_storm import Storm
from coherence.checkers import Violation
from coherence.hunt import Caught
from coherence.rates import Figures

BEGIN: Final = "<!-- figures of the last soak: written by tests/coherence/soak.py -->"
END: Final = "<!-- end of the figures -->"
PROMISES: Final = {
    "P1 no resurrection": ("hits", "values read"),
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
