"""Text on its way to a terminal: one line, no control characters, no markup of ours in it."""

from __future__ import annotations

import json
import sys
from typing import Any, Final

import orjson

_SHOWN_CHARS: Final = 600
_END_CHARS: Final = 200
"""Of these, at the end: there stand the hint and the reason of an error, behind what may be a long list."""


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
