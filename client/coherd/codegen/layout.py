"""How generated text is laid out: as ``ruff format`` would, at 120 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

WIDTH: Final = 120
INDENT: Final = "    "


def signature(head: str, parameters: Sequence[str], tail: str) -> list[str]:
    """A ``def`` or call with its parameters, on one line where it fits."""
    line = f"{head}({', '.join(parameters)}){tail}"
    if len(line) <= WIDTH:
        return [line]
    margin = head[: len(head) - len(head.lstrip())]
    inner = f"{margin}{INDENT}{', '.join(parameters)}"
    if len(inner) <= WIDTH:
        return [f"{head}(", inner, f"{margin}){tail}"]
    return [f"{head}(", *(f"{margin}{INDENT}{parameter}," for parameter in parameters), f"{margin}){tail}"]


def collection(head: str, items: Sequence[str], brackets: str) -> list[str]:
    """An assignment of a literal, an import or a subscript: on one line where it fits, else one item a line."""
    opening, closing = brackets[0], brackets[1]
    line = f"{head}{opening}{', '.join(items)}{closing}"
    if len(line) <= WIDTH:
        return [line]
    return [f"{head}{opening}", *(f"{INDENT}{item}," for item in items), closing]


def import_line(module: str, names: Sequence[str]) -> list[str]:
    """``from module import a, b``."""
    line = f"from {module} import {', '.join(names)}"
    return [line] if len(line) <= WIDTH else collection(f"from {module} import ", names, "()")


def docstring(paragraphs: Sequence[str], margin: str = "") -> list[str]:
    """A docstring of paragraphs, each of one or more lines, wrapped and safe for any text."""
    lines: list[str] = []
    for number, paragraph in enumerate(filter(None, paragraphs)):
        if number:
            lines.append("")
        for line in paragraph.splitlines():
            hanging = line[: len(line) - len(line.lstrip())]
            width = WIDTH - len(margin) - (3 if not lines else 0)
            lines += textwrap.wrap(line, width, subsequent_indent=hanging + INDENT if hanging else "") or [""]
    safe = [_safe(line) for line in lines]
    if len(safe) == 1 and len(margin) + len(safe[0]) + 7 <= WIDTH:
        space = " " if safe[0].endswith('"') else ""
        return [f'{margin}"""{safe[0]}{space}"""']
    first, *rest = safe
    return [f'{margin}"""{first}', *(f"{margin}{line}".rstrip() for line in rest), f'{margin}"""']


def _safe(line: str) -> str:
    """Text that stands in a docstring as it is: no escapes, no end of the string, no control characters."""
    printable = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)
    escaped = printable.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return "\\" + escaped if escaped.startswith('"') else escaped
