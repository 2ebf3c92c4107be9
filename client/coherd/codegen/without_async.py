"""Python source without ``async`` and ``await``: pure text, so that comments and lines stay as they are."""

from __future__ import annotations

import re
from typing import Final

_DUNDER: Final = re.compile(r"__a(enter|exit)__")
_ASYNC: Final = re.compile(r"\basync (?=def |with |for )")
_PAIRS: Final = {"(": ")", "[": "]", "{": "}"}


def without_async(text: str) -> str:
    """Source or signature, blocking: no ``async``, no ``await``, and for ``Awaitable[X] | X`` just ``X``."""
    text = _DUNDER.sub(r"__\1__", _ASYNC.sub("", text))
    return re.sub(r"\bawait ", "", _without_awaitables(_without_parentheses(text)))


def _without_parentheses(text: str) -> str:
    """``(await x).y`` as ``await x.y``; the parentheses of a call stay."""
    start = 0
    while (found := re.compile(r"(?<![\w\])])\(await ").search(text, start)) is not None:
        end = closing(text, found.start())
        start = found.end()
        if re.match(r"[.\[]", text[end + 1 :]):
            text = text[: found.start()] + text[found.start() + 1 : end] + text[end + 1 :]
    return text


def _without_awaitables(text: str) -> str:
    while (found := re.search(r"\bAwaitable\[", text)) is not None:
        end = closing(text, found.end() - 1)
        alternative = re.match(r"\s*\|\s*", text[end + 1 :])
        if alternative is None:
            raise ValueError("an Awaitable without a plain alternative")
        text = text[: found.start()] + text[end + 1 + alternative.end() :]
    return text


def closing(text: str, opening: int) -> int:
    """Where the bracket closes that opens at a position.

    Raises:
        ValueError: nowhere.
    """
    open_, close = text[opening], _PAIRS[text[opening]]
    depth = 0
    for position in range(opening, len(text)):
        depth += (text[position] == open_) - (text[position] == close)
        if not depth:
            return position
    raise ValueError("a bracket that does not close")
