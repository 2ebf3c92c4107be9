"""The table of a run."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich.table import Table
from tests.benchmarks.result import Row

_MET = {True: "[green]yes[/]", False: "[bold red]no[/]", None: ""}


def table_of(rows: Sequence[Row]) -> Table:
    """One line per comparison; figures are medians over the rounds."""
    table = Table(title="Coherd against what one would do instead", title_justify="left")
    for header in ("what", "against"):
        table.add_column(header)
    for header in ("ours", "theirs", "unit", "ratio", "min..max", "target", "met"):
        table.add_column(header, justify="right", no_wrap=True)
    subject = None
    for row in rows:
        if subject not in (None, row.subject):
            table.add_section()
        subject = row.subject
        table.add_row(
            row.what,
            row.against,
            figure(statistics.median(row.ours)),
            figure(statistics.median(row.theirs)),
            row.unit,
            f"{figure(row.ratio)}x",
            f"{figure(min(row.ratios))}..{figure(max(row.ratios))}",
            "" if row.demand is None else str(row.demand),
            _MET[row.met],
        )
    return table


def figure(number: float) -> str:
    """Three digits that count, and never an exponent."""
    if abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}" if abs(number) >= 0.01 else f"{number:.5f}"
