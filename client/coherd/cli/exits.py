"""How a command ends: its exit code and, where it failed, one line on stderr."""

from __future__ import annotations

import enum

import click

from coherd.cli.text import plain


class ExitCode(enum.IntEnum):
    """Exit codes of every command (docs/use/cli.md)."""

    OK = 0
    NEGATIVE = 1
    """A miss, or another answer that is "no": `touch` of nothing, a refused conditional set, a changed catalog."""
    USAGE = 2
    """The command line, or a file it names, is not usable: nothing was asked of a server. Or a result could not be
    written.
    """
    REFUSED = 3
    """The server, or the contract on this side, refused the request."""
    UNAVAILABLE = 4
    """The server cannot be reached, does not answer in time, or cannot reach its store."""
    INTERRUPTED = 130
    """Ctrl-C."""


class CommandFailure(click.ClickException):
    """Ends a command with one line on stderr (`show_failure`) and an exit code."""

    def __init__(self, message: str, code: ExitCode) -> None:
        super().__init__(message)
        self.code = code


def show_failure(error: click.ClickException) -> None:
    """Write an error to stderr: one line a problem, for wrong usage with the command whose help tells more."""
    lines = error.format_message().splitlines()
    if isinstance(error, click.UsageError) and error.ctx is not None:
        lines[-1] = f"{lines[-1].rstrip('.')} (see: {error.ctx.command_path} --help)"
    for line in lines:
        click.echo(f"coherd: {plain(line)}", err=True)
