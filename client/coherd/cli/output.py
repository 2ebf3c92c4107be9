"""What a command writes and how it ends: text safe on a terminal, consoles, exit codes, one line on failure."""

from __future__ import annotations

import enum
import json
import sys
from typing import TYPE_CHECKING, Any, Final

import click
import orjson

if TYPE_CHECKING:
    from rich.console import Console

_SHOWN_CHARS: Final = 600
_END_CHARS: Final = 200
"""Of these, at the end: there stand the hint and the reason of an error, behind what may be a long list."""


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


def plain(text: str) -> str:
    """The text as one safe line: control characters and lone surrogates are written as escapes, an endless one lacks
    its middle.
    """
    if len(text) > _SHOWN_CHARS:
        text = f"{text[: _SHOWN_CHARS - _END_CHARS - 3]} … {text[-_END_CHARS:]}"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def pretty_json(document: Any) -> str:
    """Indented JSON for stdout, with escapes only where it holds what that cannot encode; on one line if it is nested
    too deeply.
    """
    try:
        text = json.dumps(document, indent=2, ensure_ascii=False)
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return json.dumps(document, indent=2)
    except RecursionError:
        return orjson.dumps(document).decode()
    return text


def counted(count: int, noun: str) -> str:
    """``1 key``, ``2 keys``, ``20,000 keys``."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def out() -> Console:
    """The console for results. Wide where it is no terminal, so that no table is cut in a pipe.

    Text of others goes in as `rich.text.Text`, which interprets no markup.
    """
    console = _console()
    return console if console.is_terminal else _console(width=160)


def err() -> Console:
    """The console for progress and remarks: stderr."""
    return _console(stderr=True)


def _console(**options: Any) -> Console:
    from rich.console import Console  # not at the top: most commands start faster without it

    return Console(highlight=False, emoji=False, markup=False, **options)
