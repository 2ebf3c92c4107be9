"""``coherd demo``: a server, a workload like a large production cache's, the counts, and nothing left behind."""

from __future__ import annotations

import datetime

import click

from coherd.cli.child_server import child_server
from coherd.cli.connection import ServerOptions, run
from coherd.cli.metrics_view import metrics_view
from coherd.cli.output import counted, out
from coherd.cli.replay.run import replay_and_report
from coherd.cli.replay.session import Settings
from coherd.cli.replay.workload import ZipfWorkload
from coherd.client import CacheClient

_DEFAULT = ZipfWorkload()


@click.command(short_help="See it work: server, Zipf workload, counts.")
@click.option("--requests", type=click.IntRange(1, 10_000_000), default=_DEFAULT.requests, show_default=True)
@click.option(
    "--keys",
    "objects",
    type=click.IntRange(1, 10_000_000),
    default=_DEFAULT.objects,
    show_default=True,
    help="Different objects to ask for.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 5),
    default=_DEFAULT.alpha,
    show_default=True,
    help="Skew of the popularity (Zipf).",
)
@click.option("--seed", type=int, default=_DEFAULT.seed, show_default=True, help="Same seed, same requests.")
@click.option("--workers", type=click.IntRange(1, 4096), default=32, show_default=True, help="Requests in flight.")
@click.option("--load-ms", type=click.FloatRange(0, 60_000), default=5.0, show_default=True, help="Time of one load.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def demo(requests: int, objects: int, alpha: float, seed: int, workers: int, load_ms: float, as_json: bool) -> int:
    """Start a server with an embedded Valkey, replay a built-in workload, show the counts, stop the server.

    Popularity and value sizes have the shape measured in large production caches; docs/use/replay.md names the sources.
    Needs no file, but the extra [embedded].

    \b
    Examples:
      coherd demo
      coherd demo --alpha 0.9 --keys 50000 --requests 100000
    """
    workload = ZipfWorkload(requests, objects, alpha, seed)

    def say(line: str) -> None:
        click.echo(line, err=as_json)

    say("Starting a server with an embedded Valkey ...")
    with child_server() as target:
        say(f"It listens on {target}.")
        say(
            f"Replaying {counted(requests, 'request')} for {counted(objects, 'object')}, Zipf alpha {alpha:g}, "
            f"{workers} at a time ..."
        )
        server = ServerOptions(target)
        code = replay_and_report(
            server,
            workload.ids(),
            Settings(workers, load_ms),
            workload.value_bytes,
            title=f"Zipf workload, alpha {alpha:g}",
            as_json=as_json,
            source="workload",
        )
        if not as_json:
            run(server, _show_metrics)
        say("Stopping the server ...")
    say("Done; nothing is left behind.")
    return code


async def _show_metrics(cache: CacheClient) -> None:
    metrics = await cache.metrics()
    used = {name: domain for name, domain in metrics.items() if domain.hits or domain.misses or domain.sets}
    console = out()
    # The census of so young a server is older than the changes.
    now = datetime.datetime.now(datetime.UTC)
    console.print(metrics_view(used, with_resources=True, with_keyspace=False, width=console.width, now=now))
