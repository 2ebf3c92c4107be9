"""``coherd catalog``: what is declared, on a server or in a file; and whether a new version changes what is stored."""

from __future__ import annotations

from pathlib import Path

import click

from coherd.catalog.change import Change, Severity
from coherd.catalog.diff import compare
from coherd.catalog.load import builtin_catalog
from coherd.cli.catalog_choice import (
    Chosen,
    catalog_of_file,
    catalog_of_server,
    catalog_options,
    load_file,
    load_own_part,
)
from coherd.cli.catalog_view import catalog_json, catalog_views
from coherd.cli.connection import ServerOptions, server_options
from coherd.cli.output import ExitCode, counted, out, plain, pretty_json


@click.group(invoke_without_command=True, short_help="Show what is declared.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--builtin", is_flag=True, help="The built-in catalog; asks no server.")
@catalog_options
@server_options
@click.pass_context
def catalog(
    ctx: click.Context,
    as_json: bool,
    builtin: bool,
    catalog_file: Path | None,
    no_builtin: bool,
    server: ServerOptions,
) -> int | None:
    """Show domains, resources, TTLs, tags and named invalidations, as a server runs them.

    \b
    Examples:
      coherd catalog
      coherd catalog --builtin --json
      coherd catalog --catalog shop.binpb
      coherd catalog --catalog shop.binpb --no-builtin-catalog
      coherd catalog check --against released.binpb shop.binpb
    """
    if ctx.invoked_subcommand is not None:
        return None
    own = catalog_of_file(catalog_file, no_builtin=no_builtin)
    if builtin and own is not None:
        raise click.UsageError("--builtin and --catalog exclude each other")
    chosen = own or (Chosen(builtin_catalog(), "built-in") if builtin else catalog_of_server(server))
    if as_json:
        click.echo(pretty_json({"origin": chosen.origin, **catalog_json(chosen.catalog)}))
    else:
        console = out()
        for view in catalog_views(chosen.catalog, chosen.origin, console.width):
            console.print(view)
    return ExitCode.OK


@catalog.command(short_help="Does a new version change what is stored?")
@click.option(
    "--against",
    "old_file",
    required=True,
    metavar="OLD.binpb",
    type=click.Path(path_type=Path),
    help="Compiled descriptor set that is in use.",
)
@click.argument("new_file", metavar="[NEW.binpb]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--no-builtin-catalog",
    "no_builtin",
    is_flag=True,
    help="NEW.binpb is in place of the built-in catalog, as with serve --no-builtin-catalog.",
)
@click.option("--strict", is_flag=True, help="Exit code 1 also for what readers of the old version misread.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def check(old_file: Path, new_file: Path | None, no_builtin: bool, strict: bool, as_json: bool) -> int:
    """Report every difference between OLD.binpb and NEW.binpb (default: the built-in catalog), and what to do.

    Keys, and the fields of key and value messages in all depth, are compared by the rules of Protobuf's wire. Exit code
    1 if a change is breaking: entries stored before would be lost, or read as something else. `buf breaking` sees no
    keys. NEW.binpb must be one that a server takes.

    \b
    Examples:
      coherd catalog check --against released.binpb shop.binpb
      coherd catalog check --strict --against released.binpb shop.binpb
    """
    if new_file is None:
        new = builtin_catalog()
    else:
        load_file(new_file, with_builtin=not no_builtin)
        new = load_own_part(new_file)
    changes = compare(load_own_part(old_file), new)
    counts = {severity: sum(change.severity is severity for change in changes) for severity in Severity}
    if as_json:
        listed = [{"severity": c.severity.value, "element": c.element, "text": c.text, "todo": c.todo} for c in changes]
        numbers = {severity.name.lower(): count for severity, count in counts.items()}
        click.echo(pretty_json({**numbers, "changes": listed}))
    else:
        for change in changes:
            _show(change)
        others = counted(counts[Severity.NOTICE], "other change")
        click.echo(f"{counts[Severity.BREAKING]} breaking, {counts[Severity.ONE_WAY]} one-way, {others}", err=True)
    negative = counts[Severity.BREAKING] or (strict and counts[Severity.ONE_WAY])
    return ExitCode.NEGATIVE if negative else ExitCode.OK


def _show(change: Change) -> None:
    click.echo(f"{change.severity.value:8}  {plain(change.element)}: {plain(change.text)}")
    if change.todo:
        click.echo(f"{'':8}  - {change.todo}")
