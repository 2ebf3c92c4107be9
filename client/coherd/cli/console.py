"""Where output goes: results to stdout, everything else to stderr. Text of others goes in as `rich.text.Text`, which
interprets no markup.
"""

from __future__ import annotations

from rich.console import Console


def out() -> Console:
    """For results. Wide where it is no terminal, so that no table is cut in a pipe."""
    console = Console(highlight=False, emoji=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, emoji=False, markup=False, width=160)


def err() -> Console:
    """For progress and remarks."""
    return Console(stderr=True, highlight=False, emoji=False, markup=False)
