"""Generated Python as the house writes it: unused imports gone, sorted, formatted."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

_STYLE: Final = (
    "--isolated",
    "--config=line-length=120",
    "--config=target-version='py311'",
)
_FIXES: Final = ("--select=F401,I", "--fix", "--quiet", "--config=lint.isort.known-first-party=['coherd']")


def tidied(text: str) -> str:
    """The module, in the style of this repository.

    Raises:
        CalledProcessError: it is no Python, or has a fault that is not a matter of style.
    """
    for command in (["check", *_FIXES], ["format", "--quiet"]):
        text = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *_STYLE, "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    return text
