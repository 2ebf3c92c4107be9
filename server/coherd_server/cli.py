"""`coherd serve` and `coherd doctor`; the client's commands live in `coherd.cli`, which finds these by entry point."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import structlog
from pydantic import BeforeValidator
from rich.console import Console
from rich.table import Table

from coherd._native import implementation
from coherd.catalog.catalog import Catalog
from coherd.cli import streams
from coherd.cli.output import CommandFailure, ExitCode
from coherd.contract.durations import format_duration
from coherd_server import log
from coherd_server.core.doctor import Finding, Level, examine
from coherd_server.core.lost import lost_in
from coherd_server.core.store import StoreUnavailable
from coherd_server.redis.connect import open_store
from coherd_server.redis.embedded import EmbeddedError, EmbeddedValkey
from coherd_server.redis.redis_url import RedisUrlError, parse_redis_url
from coherd_server.setting_files import catalog_of, tls_of
from coherd_server.settings import Settings, SettingsError, bind_address, parse_duration, parse_size
from coherd_server.settings_sources import load_settings, unknown_variables
from coherd_server.workers import Supervisor, run_single

_log = structlog.get_logger("coherd")
_CODECS = {
    "native": "native codec: the compiled module is used",
    "pure": "pure codec: all is done in Python; it is correct, and takes more processor time",
}
_METAVARS = ((parse_duration, "TIME"), (parse_size, "SIZE"))


def _with_flags(command: Any) -> Any:
    """Add a flag per setting that is not a table; name, help and default come from `Settings`."""
    for name, setting in reversed(Settings.model_fields.items()):
        flag = "--" + name.replace("_", "-")
        summary = (setting.description or "").replace("``", "")
        if setting.annotation is bool:
            flag = f"{flag}/--no-{flag.removeprefix('--')}"
            option = click.option(flag, name, default=None, help=summary)
        elif setting.default_factory is dict:
            continue
        else:
            parsers = [validator.func for validator in setting.metadata if isinstance(validator, BeforeValidator)]
            metavar = next((text for parse, text in _METAVARS if parse in parsers), None)
            metavar = metavar or ("N" if setting.annotation is int else "TEXT")
            shown = setting.default if isinstance(setting.default, str | int) else None
            if metavar == "TIME" and isinstance(shown, int):
                shown = format_duration(shown)
            elif metavar == "SIZE" and isinstance(shown, int):
                shown = f"{shown >> 20}mb"
            default = f"  [default: {shown}]" if shown not in (None, "") else ""
            option = click.option(flag, name, metavar=metavar, multiple=name == "catalog", help=summary + default)
        command = option(command)
    return command


@click.command()
@click.option("--config", type=click.Path(path_type=Path), envvar="COHERD_CONFIG", help="TOML file with settings.")
@_with_flags
def serve(config: Path | None, **flags: Any) -> None:
    """Serve the cache.

    Settings come from flags, then the environment (COHERD_LISTEN, COHERD_REDIS, ...), then the TOML file. Ctrl-C or
    SIGTERM ends it cleanly.

    \b
    Examples:
      coherd serve
      coherd serve --redis redis://localhost:6379 --workers 2
      coherd serve --redis redis+cluster://10.0.0.1:7000,10.0.0.2:7000 --catalog orders.binpb
    """
    settings, catalog = _settings(config, flags)
    _configure_log(settings)
    embedded: EmbeddedValkey | None = None
    try:
        if settings.redis is None:
            directory = Path(settings.embedded_dir) if settings.embedded_dir else None
            embedded = EmbeddedValkey(
                data_dir=directory, persistent=directory is not None, maxmemory_bytes=settings.embedded_memory
            )
            embedded.start()
            redis_url = embedded.url
        else:
            parse_redis_url(settings.redis)
            redis_url = settings.redis

        def announce(port: int) -> None:
            for line in _banner(settings, catalog, embedded, port):
                streams.say(line)

        def look_after() -> None:
            if embedded is not None:
                embedded.revive()

        if settings.workers == 1:
            problem = run_single(settings, redis_url, announce, look_after)
        else:
            problem = Supervisor(settings, redis_url).run(announce, look_after)
    except (RedisUrlError, SettingsError) as error:
        raise CommandFailure(str(error), ExitCode.USAGE) from None
    except EmbeddedError as error:
        problem = str(error)
    finally:
        if embedded is not None:
            embedded.stop()
    if problem is not None:
        raise CommandFailure(problem, ExitCode.UNAVAILABLE)
    streams.say("coherd stopped")


def _banner(settings: Settings, catalog: Catalog, embedded: EmbeddedValkey | None, port: int) -> Sequence[str]:
    """What is served, where it is stored, and one command to try."""
    address = bind_address(settings.listen, port)
    resources = sum(len(domain.resources) for domain in catalog.domains.values())
    lines = [
        f"coherd {importlib.metadata.version('coherd')} listening on {address}"
        f" ({settings.workers} worker{'s' * (settings.workers > 1)}, {'TLS' if settings.tls_cert else 'no TLS'},"
        f" {implementation()} codec)",
        f"catalog: {len(catalog.domains)} domains, {resources} resources",
    ]
    if embedded is not None:
        kept = f"snapshots in {settings.embedded_dir}" if settings.embedded_dir else "in memory, gone when it stops"
        memory_mib = settings.embedded_memory >> 20
        lines.append(f"store: embedded Valkey at {embedded.url} ({kept}; at most {memory_mib} MiB)")
    else:
        lines.append(f"store: {parse_redis_url(settings.redis or '').describe()}")
    if settings.builtin_catalog:
        key = "analytics:writing_stats:user:user123:days:30d"
        server = "" if address == "127.0.0.1:50051" else f" --server {address}"
        program, options = _program(), server + _credentials(settings)
        lines.append(f"try: {program} set{options} {key} '{{\"words\": 812}}' && {program} get{options} {key}")
    return [*lines, "ready; Ctrl-C ends it"]


def _credentials(settings: Settings) -> str:
    """What a call needs beside the address; capitals stand for what only its caller has."""
    options = ""
    if settings.tls_cert:
        options += " --tls-ca CA.pem"
    if settings.tls_client_ca:
        options += " --tls-cert CERT.pem --tls-key KEY.pem"
    if settings.tokens:
        options += " --token TOKEN"
    return options


def _program() -> str:
    """How to call this program from the current directory."""
    command = shutil.which("coherd")
    if command is not None or Path(sys.argv[0]).name != "coherd":
        return "coherd"
    return os.path.relpath(sys.argv[0])


@click.command()
@click.option("--config", type=click.Path(path_type=Path), envvar="COHERD_CONFIG", help="TOML file with settings.")
@click.option("--redis", metavar="URL", help="URL of the store to examine.")
@click.option("--key-prefix", metavar="TEXT", help="Of the deployment, as for serve.")
def doctor(config: Path | None, redis: str | None, key_prefix: str | None) -> None:
    """Examine the store: versions, eviction, memory, proxies, what is lost. Exits with 1 where a promise does not hold,
    or calls fail.

    \b
    Examples:
      coherd doctor --redis redis://localhost:6379
      coherd doctor --config coherd.toml
    """
    settings, catalog = _settings(config, {"redis": redis, "key_prefix": key_prefix})
    if settings.redis is None:
        raise CommandFailure(
            "give the URL of the store to examine: --redis URL, or redis in the settings; "
            "of an embedded Valkey the one that the server prints at its start, in the line store:",
            ExitCode.USAGE,
        )
    _configure_log(settings)
    try:
        findings = asyncio.run(_examine(settings.redis, settings.key_prefix, catalog))
    except RedisUrlError as error:
        raise CommandFailure(str(error), ExitCode.USAGE) from None
    except StoreUnavailable as error:
        raise CommandFailure(str(error), ExitCode.UNAVAILABLE) from None
    table = Table("", "node", "finding")
    findings.append(Finding(Level.OK, "this process", _CODECS[implementation()]))
    styles = {Level.OK: "green", Level.WARNING: "yellow", Level.LOST: "bold red", Level.UNSAFE: "bold red"}
    for finding in findings:
        table.add_row(f"[{styles[finding.level]}]{finding.level.value}[/]", finding.address, finding.text)
    Console().print(table)
    if any(finding.level in (Level.UNSAFE, Level.LOST) for finding in findings):
        raise SystemExit(1)


async def _examine(url: str, prefix: str, catalog: Catalog) -> list[Finding]:
    store = await open_store(url, prefix=prefix)
    try:
        return examine(await store.inspect(), lost_in(store, catalog))
    finally:
        await store.close()


def _configure_log(settings: Settings) -> None:
    """Begin to log, with what in the environment looks like a setting and is none."""
    log.configure(settings.log_level, settings.log_format)
    for variable, meant in unknown_variables(os.environ):
        _log.warning(
            "no such setting: the variable is ignored", variable=variable, **({"meant": meant} if meant else {})
        )


def _settings(config: Path | None, flags: dict[str, Any]) -> tuple[Settings, Catalog]:
    """Settings and catalog in force, or the end of the command."""
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    try:
        settings = load_settings(given, os.environ, config)
        tls_of(settings)
        return settings, catalog_of(settings)
    except SettingsError as error:
        raise CommandFailure(str(error), ExitCode.USAGE) from None
