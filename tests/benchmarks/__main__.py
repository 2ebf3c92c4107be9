"""``python -m tests.benchmarks``: measure, show a table, keep the figures."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Final

from rich.console import Console
from tests.benchmarks.plan import Plan
from tests.benchmarks.result import NotMeasured, Row, keep
from tests.benchmarks.subjects import SUBJECTS
from tests.benchmarks.table import table_of

WIDTH_IN_FILES: Final = 160
"""Columns where no terminal says how wide it is."""


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(SUBJECTS), help="one subject; repeatable")
    parser.add_argument("--rounds", type=int, help="rounds per subject")
    parser.add_argument("--quick", action="store_true", help="tiny counts: shows that it runs, says nothing of speed")
    parser.add_argument("--results", type=Path, default=Path("bench-results"), help="where the JSON goes")
    args = parser.parse_args()
    plan = Plan.quick() if args.quick else Plan()
    if args.rounds is not None:
        plan = plan.with_rounds(args.rounds)
    rows, not_measured = asyncio.run(_measure(args.only or list(SUBJECTS), plan))
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH_IN_FILES)
    console.print(table_of(rows))
    for name, why in not_measured.items():
        console.print(f"{name} was not measured: {why}", style="bold red")
    console.print(f"figures kept in {keep(rows, not_measured, plan, args.results)}", soft_wrap=True)


async def _measure(names: list[str], plan: Plan) -> tuple[list[Row], dict[str, str]]:
    rows: list[Row] = []
    not_measured: dict[str, str] = {}
    log = Console(stderr=True)
    for name in names:
        log.print(f"measuring {name}: {plan.rounds} rounds ...", style="dim")
        try:
            rows += await SUBJECTS[name](plan)
        except NotMeasured as why:
            not_measured[name] = str(why)
    return rows, not_measured


if __name__ == "__main__":
    main()
