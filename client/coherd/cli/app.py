"""The group of all commands. A command's module is imported when the command is used, so that ``coherd get`` starts
fast.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Any, Final

import click

from coherd.cli import streams
from coherd.cli.output import CommandFailure, ExitCode, show_failure

ENTRY_POINTS: Final = "coherd.commands"
"""Entry-point group of commands that other parts bring, for instance the server: name to `click.Command`."""

_COMMANDS: Final = {
    "get": "coherd.cli.entry_commands:get",
    "set": "coherd.cli.entry_commands:set_",
    "delete": "coherd.cli.entry_commands:delete",
    "touch": "coherd.cli.entry_commands:touch",
    "invalidate": "coherd.cli.invalidate_command:invalidate",
    "metrics": "coherd.cli.metrics_command:metrics",
    "catalog": "coherd.cli.catalog_command:catalog",
    "keys": "coherd.cli.keys_command:keys",
    "replay": "coherd.cli.replay_command:replay",
    "demo": "coherd.cli.demo_command:demo",
}


class CoherdGroup(click.Group):
    """Commands of this package and of the entry-point group, loaded on use; every end of a command is one exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, those of the server first."""
        return [*(name for name in _contributed() if name not in _COMMANDS), *_COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name; one that cannot be loaded explains itself when it is run."""
        where = _COMMANDS.get(cmd_name)
        if where is not None:
            module, _, attribute = where.partition(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        point = _contributed().get(cmd_name)
        return None if point is None else _loaded(point)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's. Results on stdout are what this package's commands are for; those of others may serve."""
        name, command, rest = super().resolve_command(ctx, args)
        if name not in _COMMANDS:
            streams.do_without_output()
        return name, command, rest

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run, and exit with an `ExitCode`: no traceback for bad input or Ctrl-C."""
        code: int
        try:
            result = super().main(
                args, prog_name, complete_var, standalone_mode=False, windows_expand_args=windows_expand_args, **extra
            )
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            code = ExitCode.USAGE
        except click.ClickException as error:
            show_failure(error)
            code = error.code if isinstance(error, CommandFailure) else error.exit_code
        except (click.Abort, KeyboardInterrupt):
            click.echo("coherd: interrupted", err=True)
            code = ExitCode.INTERRUPTED
        else:
            code = result if isinstance(result, int) else ExitCode.OK
        if standalone_mode:
            sys.exit(int(code))
        return int(code)


def _contributed() -> dict[str, EntryPoint]:
    return {point.name: point for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name)}


def _loaded(point: EntryPoint) -> click.Command:
    try:
        command = point.load()
    except ImportError as error:
        return _absent(point.name, error.name or "a package")
    assert isinstance(command, click.Command), f"entry point {point.name!r} is no click command"
    return command


def _absent(name: str, missing: str) -> click.Command:
    def explain() -> None:
        message = f"{name} needs {missing}, which is not installed: install the extra [server]"
        raise CommandFailure(message, ExitCode.USAGE)

    return click.Command(
        name,
        callback=explain,
        short_help="Not available without the extra [server].",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )


def _version() -> str:
    try:
        return version("coherd")
    except PackageNotFoundError:
        return "(not installed: run from its sources)"


@click.group(cls=CoherdGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(_version(), message="coherd %(version)s")
def coherd() -> None:
    """Coherd keeps one coherent cache for all your services.

    What is cached is declared once, in Protobuf: domains, resources, identifiers, TTLs, tags. The server keeps it in
    Redis or Valkey; these commands look into it, change it, and replay load against it.

    \b
    Examples:
      coherd set analytics:daily:user:u1:date:20250806 '{"words": 812}' --ttl 30m
      coherd get analytics:daily:user:u1:date:20250806
      coherd invalidate user=u1
      coherd metrics analytics

    \b
    Exit codes: 0 done, 1 a miss or another "no", 2 wrong usage, 3 refused, 4 unavailable, 130 interrupted.
    """
