"""``coherd metrics``: counts per domain, as the server keeps them."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import Mapping

import click
from rich.console import Group
from rich.live import Live

from coherd.cli import parameters
from coherd.cli.connection import ServerOptions, run, server_options
from coherd.cli.metrics_view import metrics_json, metrics_view
from coherd.cli.output import out, pretty_json
from coherd.client import CacheClient
from coherd.v1.cache_service_pb2 import DomainMetrics


@click.command(short_help="Hits, misses, sets, latencies per domain.")
@click.argument("domain", type=parameters.unicode_text, required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object; with --watch one a line.")
@click.option("--watch", is_flag=True, help="Show anew until Ctrl-C.")
@click.option(
    "--every",
    "interval_ms",
    type=parameters.interval_ms,
    default="2s",
    show_default=True,
    metavar="DURATION",
    help="How often with --watch.",
)
@server_options
def metrics(domain: str | None, as_json: bool, watch: bool, interval_ms: int, server: ServerOptions) -> int:
    """Show the counts of every domain, or of DOMAIN with its resources.

    Counters are totals over all servers since they were created; latencies are those of the server that answers.

    \b
    Examples:
      coherd metrics
      coherd metrics analytics
      coherd metrics --watch --every 1s
      coherd metrics analytics --json
    """
    names = [domain] if domain else []
    console = out()

    def shown(domains: Mapping[str, DomainMetrics], width: int) -> Group:
        return metrics_view(
            domains, with_resources=domain is not None, width=width, now=datetime.datetime.now(datetime.UTC)
        )

    async def once(cache: CacheClient) -> int:
        domains = await cache.metrics(*names)
        if as_json:
            click.echo(pretty_json(metrics_json(domains)))
        else:
            console.print(shown(domains, console.width))
        return 0

    async def lines(cache: CacheClient) -> int:
        while True:
            click.echo(json.dumps(metrics_json(await cache.metrics(*names))))
            await asyncio.sleep(interval_ms / 1000)

    async def tables(cache: CacheClient) -> int:
        while True:
            await once(cache)
            await asyncio.sleep(interval_ms / 1000)

    async def live(cache: CacheClient) -> int:
        with Live(console=console, auto_refresh=False) as screen:
            while True:
                domains = await cache.metrics(*names)
                screen.update(shown(domains, console.width), refresh=True)
                await asyncio.sleep(interval_ms / 1000)

    if not watch:
        return run(server, once)
    if as_json:
        return run(server, lines)
    return run(server, live if console.is_terminal else tables)
