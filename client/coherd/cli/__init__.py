"""The command line: ``coherd …`` (docs/use/cli.md). Needs the extra ``coherd[cli]``; the library itself does not."""

from __future__ import annotations

import importlib.util
import sys
from typing import Final, NoReturn

from coherd.cli import hangup, streams

_NEEDED: Final = ("click", "rich")
_OF_THE_SERVER: Final = ("serve", "doctor")
"""Commands that another extra brings, with what the command line needs."""


def main() -> NoReturn:
    """Run the command line with the arguments of the process, and exit with its code."""
    hangup.prepare(sys.argv[1:])
    streams.prepare()
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        extra = "server" if sys.argv[1:2] and sys.argv[1] in _OF_THE_SERVER else "cli"
        print(f"coherd: the command line needs {' and '.join(missing)}: install the extra [{extra}]", file=sys.stderr)
        sys.exit(2)
    try:
        from coherd.cli.app import coherd
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        coherd.main(prog_name="coherd")
    except OSError as error:
        if not streams.is_of_streams(error):
            raise
        streams.show_failed(error)
        sys.exit(2)
    sys.exit(0)
