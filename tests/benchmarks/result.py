"""Rows of the table, and the file that keeps them."""

from __future__ import annotations

import dataclasses
import datetime
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.machine import machine, versions
from tests.benchmarks.plan import Plan
from tests.benchmarks.rounds import Rates

FORMAT: Final = 1
"""Of the JSON file."""


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison."""

    subject: str
    what: str
    against: str
    unit: str
    """Of both sides: ``keys/s`` or ``bytes``."""
    ours: tuple[float, ...]
    """One figure per round."""
    theirs: tuple[float, ...]
    over: float | None = None
    """The median ratio, ours to theirs, must be over this; None: only stated."""

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
        return None if self.over is None else self.ratio > self.over

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        ratios = self.ratios
        return {
            **dataclasses.asdict(self),
            "ours_median": statistics.median(self.ours),
            "theirs_median": statistics.median(self.theirs),
            "ratio": {"median": self.ratio, "min": min(ratios), "max": max(ratios)},
            "met": self.met,
        }


def speed_row(subject: str, what: str, against: str, ours: Rates, theirs: Rates, over: float | None) -> Row:
    """The row of two contenders of one run."""
    return Row(subject, what, against, "keys/s", tuple(ours.per_s), tuple(theirs.per_s), over)


def keep(rows: Sequence[Row], plan: Plan, folder: Path) -> Path:
    """Write the figures with what they were measured on; the path."""
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
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path
