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
            f"{statistics.median(row.ours):,.0f}",
            f"{statistics.median(row.theirs):,.0f}",
            row.unit,
            f"{row.ratio:.2f}x",
            f"{min(row.ratios):.2f}..{max(row.ratios):.2f}",
            "" if row.over is None else f"> {row.over:g}x",
            _MET[row.met],
        )
    return table
