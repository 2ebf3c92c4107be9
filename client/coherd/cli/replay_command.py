"""``coherd replay``: a recorded trace through the typed client, with counts that must agree."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from coherd.cli import parameters
from coherd.cli.connection import ServerOptions, server_options
from coherd.cli.output import CommandFailure, ExitCode
from coherd.cli.replay.run import replay_and_report
from coherd.cli.replay.session import Settings, Way
from coherd.cli.replay.trace import TraceError, TraceFormat, read_trace


@click.command(short_help="Replay an access trace and check the counts.")
@click.argument("trace", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--workers", type=click.IntRange(1, 4096), default=32, show_default=True, help="Requests in flight.")
@click.option("--load-ms", type=click.FloatRange(0, 60_000), default=5.0, show_default=True, help="Time of one load.")
@click.option(
    "--value-bytes",
    type=click.IntRange(32, 16 << 20),
    default=512,
    show_default=True,
    help="Size of a value, JSON text.",
)
@click.option("--limit", type=click.IntRange(1), help="Replay only the first so many requests.")
@click.option("--ttl", "ttl_ms", type=parameters.ttl_ms, metavar="DURATION", help="TTL of stored values, like 10m.")
@click.option("--keep", is_flag=True, help="Leave the entries, for a warm run after this one.")
@click.option(
    "--format",
    "form",
    type=click.Choice([form.value for form in TraceFormat]),
    default=TraceFormat.AUTO.value,
    show_default=True,
    help="What the trace holds once decompressed.",
)
@click.option("--unary", is_flag=True, help="Unary calls instead of a session; nothing is kept near.")
@click.option("--no-near-cache", is_flag=True, help="A session, but nothing is kept near.")
@click.option("--side-by-side", is_flag=True, help="All three ways, one after the other, in one table.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@server_options
def replay(
    trace: Path,
    workers: int,
    load_ms: float,
    value_bytes: int,
    limit: int | None,
    ttl_ms: int | None,
    keep: bool,
    form: str,
    unary: bool,
    no_near_cache: bool,
    side_by_side: bool,
    as_json: bool,
    server: ServerOptions,
) -> int:
    """Replay TRACE (- for stdin) with concurrent workers: get; on a miss wait as a loader would, then set.

    TRACE holds big-endian 32-bit integers or text, one id a line; plain, .xz or .gz. Each run uses keys of its own,
    starts cold and removes them at the end. It goes over a session, with the near cache as the catalog says. Exit code
    1 if a request failed, or if the hit ratio differs from what follows from the trace or from what the server counted
    (see docs/use/replay.md).

    \b
    Examples:
      coherd replay web12.trace.xz
      coherd replay accesses.txt --workers 100 --load-ms 20 --limit 10000
      cut -d' ' -f7 access.log | coherd replay -
      coherd replay web12.trace.xz --side-by-side
      coherd replay web12.trace.xz --unary --json
    """
    if unary + no_near_cache + side_by_side > 1:
        raise click.UsageError("--unary, --no-near-cache and --side-by-side exclude each other")
    ids = _read(trace, TraceFormat(form), limit)
    settings = Settings(workers, load_ms, parameters.timedelta_of(ttl_ms), keep)
    name = "stdin" if str(trace) == "-" else trace.name
    ways = list(Way) if side_by_side else [Way.UNARY if unary else Way.SESSION if no_near_cache else Way.NEAR]
    return replay_and_report(
        server, ids, settings, lambda item: value_bytes, title=f"Replay of {name}", as_json=as_json, ways=ways
    )


def _read(trace: Path, form: TraceFormat, limit: int | None) -> Sequence[int | str]:
    try:
        if str(trace) == "-":
            return read_trace(sys.stdin.buffer, form=form, limit=limit)
        with trace.open("rb") as source:
            return read_trace(source, form=form, limit=limit)
    except OSError as error:
        raise CommandFailure(f"{trace}: {error.strerror or error}", ExitCode.USAGE) from None
    except TraceError as error:
        raise CommandFailure(f"{trace}: {error}", ExitCode.USAGE) from None
