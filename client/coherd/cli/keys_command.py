"""``coherd keys explain``: what follows from a key, or what is wrong with it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final

import click
from click.core import ParameterSource
from rich import box
from rich.table import Table
from rich.text import Text

from coherd.catalog.load import builtin_catalog
from coherd.cli.catalog_choice import Chosen, catalog_of_file, catalog_of_server, catalog_options
from coherd.cli.connection import ServerOptions, server_options
from coherd.cli.diagnose import Diagnosis, diagnose
from coherd.cli.explain import Explanation, explain, explanation_json, policy_lines
from coherd.cli.output import ExitCode, out, plain, pretty_json
from coherd.cli.undeclared import show_remark

_OF_PREFIXES: Final = "A deployment's --key-prefix stands before every name in Redis, and before the key in braces."


@click.group(short_help="Explain keys.")
def keys() -> None:
    """Explain keys.

    \b
    Examples:
      coherd keys explain analytics:daily:user:user123:date:20250806
    """


@keys.command("explain", short_help="What follows from a key, or what is wrong with it.")
@click.argument("key")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@catalog_options
@functools.partial(server_options, only_asked=True)
@click.pass_context
def explain_command(
    ctx: click.Context, key: str, as_json: bool, catalog_file: Path | None, no_builtin: bool, server: ServerOptions
) -> int:
    """Show what follows from KEY: its parts, tags, TTL and where that comes from, value type, names in Redis.

    Works offline on the built-in catalog; with --server on the command line it asks that server's catalog, so that the
    operator's overrides show. For text that is no key it says what is wrong and what was probably meant: exit code 1.

    \b
    Examples:
      coherd keys explain analytics:daily:user:user123:date:20250806
      coherd keys explain analytics:writing_stats:user:u1:days:30
      coherd keys explain shop:page:product:p1 --catalog shop.binpb
      coherd keys explain psychology:profile:user:u1 --server cache.internal:50051
    """
    asked = ctx.get_parameter_source("target") is ParameterSource.COMMANDLINE
    own = catalog_of_file(catalog_file, no_builtin=no_builtin)
    if asked and own is not None:
        raise click.UsageError("--catalog and --server exclude each other")
    chosen = own or (catalog_of_server(server) if asked else Chosen(builtin_catalog(), "built-in"))
    diagnosis = diagnose(key, chosen.catalog)
    if diagnosis is not None:
        _show_diagnosis(key, diagnosis, chosen.origin, as_json)
        return ExitCode.NEGATIVE
    explanation = explain(key, chosen.catalog)
    if as_json:
        click.echo(pretty_json({**explanation_json(explanation), "catalog": chosen.origin}))
    else:
        out().print(_table(explanation, chosen.origin))
        out().print(Text(_OF_PREFIXES, "dim"))
    if not explanation.declared:
        domain = chosen.catalog.domains[explanation.domain]
        show_remark(domain.name, explanation.resource, domain.resources)
    return ExitCode.OK


def _show_diagnosis(key: str, diagnosis: Diagnosis, origin: str, as_json: bool) -> None:
    if as_json:
        invalid = {"key": key, "valid": False, "problems": list(diagnosis.problems), "suggestion": diagnosis.suggestion}
        click.echo(pretty_json({**invalid, "catalog": origin}))
        return
    click.echo(f"{plain(key)}\nis no key of the catalog ({origin}):")
    for problem in diagnosis.problems:
        click.echo(f"  - {plain(problem)}")
    if diagnosis.suggestion is not None:
        click.echo(f"Probably meant: {plain(diagnosis.suggestion)}")


def _table(explanation: Explanation, origin: str) -> Table:
    table = Table(box=box.SIMPLE, show_header=False, title=Text(plain(explanation.key), "bold"), title_justify="left")
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")

    def row(label: str, *lines: str) -> None:
        table.add_row(label, Text("\n".join(plain(line) for line in lines)))

    row("domain", explanation.domain + (" (sensitive)" if explanation.sensitive else ""))
    declared = "" if explanation.declared else " (undeclared: the domain is open)"
    row("resource", explanation.resource + declared, *explanation.documentation.splitlines())
    row("pattern", explanation.key_pattern)
    for part in explanation.identifiers:
        marks = (
            (part.type_name, True),
            ("not checked: the server does not describe its values", not part.checked),
            ("tag", part.is_tag),
            ("personal", part.personal),
        )
        row(f"  {part.name}", f"{part.value}  ({', '.join(mark for mark, present in marks if present)})")
    if explanation.suffix is not None:
        row("  suffix", explanation.suffix)
    row("tags", *explanation.tags)
    row("removed by", *(f"coherd invalidate {text}" for text in _invalidations(explanation)))
    for label, text in policy_lines(explanation):
        row(label, text)
    row("value type", explanation.value_type)
    row("near cache", explanation.near_cache)
    row("on failover", explanation.on_failover)
    row("redis value", explanation.redis_value)
    row("redis epochs", *explanation.redis_epochs)
    row("redis lease", explanation.redis_lease)
    row("catalog", origin)
    return table


def _invalidations(explanation: Explanation) -> list[str]:
    resource = f"resource {explanation.domain}:{explanation.resource}"
    return [*explanation.invalidations, resource, f"domain {explanation.domain}"]
