"""Rows of the table, and the file that keeps them."""

from __future__ import annotations

import dataclasses
import datetime
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from tests.benchmarks.machine import machine, versions
from tests.benchmarks.plan import Plan
from tests.benchmarks.rounds import Rates

FORMAT: Final = 2
"""Of the JSON file."""


class Demand(NamedTuple):
    """What the median ratio, ours to theirs, must be."""

    sign: Literal[">", ">=", "<=", "="]
    bound: float

    def met_by(self, ratio: float) -> bool:
        """Whether a ratio is as demanded."""
        return {
            ">": ratio > self.bound,
            ">=": ratio >= self.bound,
            "<=": ratio <= self.bound,
            "=": ratio == self.bound,
        }[self.sign]

    def __str__(self) -> str:
        return f"{self.sign} {self.bound:.3g}x"


class NotMeasured(Exception):
    """A subject cannot be measured on what is installed; the text says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison."""

    subject: str
    what: str
    against: str
    unit: str
    """Of both sides. More is better where it is something per second, and worse where it is not."""
    ours: tuple[float, ...]
    """One figure per round."""
    theirs: tuple[float, ...]
    """Of the other side; where the demand is no comparison, the bound."""
    demand: Demand | None = None
    """None: only stated."""

    @property
    def ratios(self) -> list[float]:
        """Ours to theirs, round by round."""
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        """Their median."""
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        return None if self.demand is None else self.demand.met_by(self.ratio)

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        ratios = self.ratios
        return {
            **dataclasses.asdict(self),
            "demand": None if self.demand is None else str(self.demand),
            "ours_median": statistics.median(self.ours),
            "theirs_median": statistics.median(self.theirs),
            "ratio": {"median": self.ratio, "min": min(ratios), "max": max(ratios)},
            "met": self.met,
        }


def speed_row(
    subject: str, what: str, against: str, ours: Rates, theirs: Rates, demand: Demand | None, *, unit: str = "keys/s"
) -> Row:
    """The row of two contenders of one run."""
    return Row(subject, what, against, unit, tuple(ours.per_s), tuple(theirs.per_s), demand)


def bound_row(
    subject: str, what: str, against: str, bound: float, unit: str, ours: Sequence[float], demand: Demand | None
) -> Row:
    """The row of a figure that is compared with a bound instead of another contender."""
    return Row(subject, what, against, unit, tuple(ours), (bound,) * len(ours), demand)


def keep(rows: Sequence[Row], not_measured: Mapping[str, str], plan: Plan, folder: Path) -> Path:
    """Write the figures with what they were measured on; the path.

    Args:
        rows: the comparisons.
        not_measured: subjects that could not be measured, and why.
        plan: how much was measured.
        folder: made if it is not there.
    """
    now = datetime.datetime.now(datetime.UTC)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{now:%Y-%m-%d-%H%M%S}.json"
    content = {
        "format": FORMAT,
        "measured_at": now.isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "plan": dataclasses.asdict(plan),
        "rows": [row.as_json() for row in rows],
        "not_measured": dict(not_measured),
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path
