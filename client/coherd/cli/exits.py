"""How a command ends: its exit code and, where it failed, one line on stderr."""

from __future__ import annotations

import enum
from typing import IO, Any

import click

from coherd.cli.text import plain


class ExitCode(enum.IntEnum):
    """Exit codes of every command (docs/cli.md)."""

    OK = 0
    NEGATIVE = 1
    """A miss, or another answer that is "no": `touch` of nothing, a refused conditional set, a changed catalog."""
    USAGE = 2
    """The command line, or a file it names, is not usable. Nothing was asked of a server."""
    REFUSED = 3
    """The server, or the contract on this side, refused the request."""
    UNAVAILABLE = 4
    """The server cannot be reached, does not answer in time, or cannot reach its store."""
    INTERRUPTED = 130
    """Ctrl-C."""


class CommandFailure(click.ClickException):
    """Ends a command with one line on stderr and an exit code."""

    def __init__(self, message: str, code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = int(code)

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the line."""
        click.echo(f"coherd: {plain(self.format_message())}", file=file, err=True)
