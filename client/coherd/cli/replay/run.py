"""Runs a replay for a command: progress on stderr, report on stdout, exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from coherd.cli.connection import ServerOptions, run
from coherd.cli.output import CommandFailure, ExitCode, err, out, plain, pretty_json
from coherd.cli.replay.engine import Outcome, TooManyErrors
from coherd.cli.replay.report import disagreements, report_json, report_table, side_by_side
from coherd.cli.replay.session import Report, Settings, Way, replay_trace
from coherd.client import CacheClient

_EVERY: Final = 64
"""Requests between two updates of the progress bar: drawing must not cost what is measured."""


def replay_and_report(
    server: ServerOptions,
    ids: Sequence[int | str],
    settings: Settings,
    value_bytes: Callable[[int | str], int],
    *,
    title: str,
    as_json: bool,
    source: str = "trace",
    ways: Sequence[Way] = (Way.NEAR,),
) -> int:
    """Replay, print the report and say on stderr what does not agree; the exit code.

    Args:
        source: what the ids are, in words: a trace or a workload.
        ways: how to reach the service; several are run one after the other and shown side by side.

    Raises:
        CommandFailure: the server cannot be used, or the run was given up.
    """

    async def act(cache: CacheClient) -> Report:
        with _progress_bar(len(ids)) as on_progress:
            return await replay_trace(cache, ids, settings, value_bytes, on_progress)

    try:
        reports = {way: run(server, act, **way.options) for way in ways}
    except TooManyErrors as error:
        raise CommandFailure(f"{server.target}: given up: {error}", ExitCode.UNAVAILABLE) from None
    alone = next(iter(reports.values())) if len(reports) == 1 else None
    if as_json:
        document = (
            report_json(alone) if alone else {way.name.lower(): report_json(report) for way, report in reports.items()}
        )
        click.echo(pretty_json(document))
    else:
        out().print(report_table(alone, plain(title), source) if alone else side_by_side(reports, plain(title)))
    for way, report in reports.items():
        for line in disagreements(report, source):
            click.echo(f"coherd: {line}" if alone else f"coherd: {way.value}: {line}", err=True)
    return ExitCode.OK if all(report.passed for report in reports.values()) else ExitCode.NEGATIVE


@contextmanager
def _progress_bar(total: int) -> Iterator[Callable[[Outcome], None]]:
    """Shows on stderr how far a run of so many requests is, unless that is no terminal; the function it gives is to be
    called after each request."""
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
