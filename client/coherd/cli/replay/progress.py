"""A progress bar on stderr while a replay runs; silent where stderr is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from coherd.cli.console import err
from coherd.cli.replay.engine import Outcome

_EVERY: Final = 64
"""Requests between two updates: drawing must not cost what is measured."""


@contextmanager
def progress_bar(total: int) -> Iterator[Callable[[Outcome], None]]:
    """Shows how far a run of so many requests is; call the function it gives after each request."""
    console = err()
    columns = (
        TextColumn("replaying"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[ratio]} hits"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total, ratio="-")

        def update(outcome: Outcome) -> None:
            if outcome.requests % _EVERY == 0:
                progress.update(task, completed=outcome.requests, ratio=f"{outcome.hit_ratio:.1%}")

        yield update
