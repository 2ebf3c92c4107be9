"""Runs a replay for a command: progress on stderr, report on stdout, exit code."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from coherd.cli.connection import ServerOptions, run
from coherd.cli.console import out
from coherd.cli.exits import CommandFailure, ExitCode
from coherd.cli.replay.engine import TooManyErrors
from coherd.cli.replay.progress import progress_bar
from coherd.cli.replay.report import disagreements, report_json, report_table
from coherd.cli.replay.session import Report, Settings, replay_trace
from coherd.cli.text import plain, pretty_json
from coherd.client import CacheClient


def replay_and_report(
    server: ServerOptions,
    ids: Sequence[int | str],
    settings: Settings,
    value_bytes: Callable[[int | str], int],
    *,
    title: str,
    as_json: bool,
    source: str = "trace",
) -> int:
    """Replay, print the report and say on stderr what does not agree; the exit code.

    Args:
        source: what the ids are, in words: a trace or a workload.

    Raises:
        CommandFailure: the server cannot be used, or the run was given up.
    """

    async def act(cache: CacheClient) -> Report:
        with progress_bar(len(ids)) as on_progress:
            return await replay_trace(cache, ids, settings, value_bytes, on_progress)

    try:
        report = run(server, act)
    except TooManyErrors as error:
        raise CommandFailure(f"{server.target}: given up: {error}", ExitCode.UNAVAILABLE) from None
    if as_json:
        click.echo(pretty_json(report_json(report)))
    else:
        out().print(report_table(report, plain(title), source))
    for line in disagreements(report, source):
        click.echo(f"coherd: {line}", err=True)
    return ExitCode.OK if report.passed else ExitCode.NEGATIVE
