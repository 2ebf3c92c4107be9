"""Copies of decoded values: what makes a value safe to give to many callers without decoding it anew.

A *document* is a value of plain parts: `dict` and `list` themselves (no subclass) around leaves of `IMMUTABLE` types,
at most `MAX_DEPTH` deep. That is what JSON decodes to. Of documents a copy is defined, of other values it is not.

`copy_document` is the definition. `prepared_copy` does the same again and again for one document, faster. A native
`copy_document` takes the place of both: it needs no preparation.
"""

from __future__ import annotations

import decimal
import sys
import uuid
from collections.abc import Callable
from types import NoneType
from typing import Any, Final, TypeAlias

IMMUTABLE: Final[frozenset[type]] = frozenset({NoneType, bool, int, float, str, bytes, decimal.Decimal, uuid.UUID})
"""Types, not their subclasses, whose values nobody can alter: they are never copied."""
MAX_DEPTH: Final = 64
"""Most containers within each other: a copy is a recursion."""

COPY_BYTES: Final = 72
"""Reckoned memory of the prepared copy of a container of leaves: a bound method."""
NESTED_COPY_BYTES: Final = 460
"""The same of a container that holds others: a function, its cells, and its list of places."""

Copy: TypeAlias = Callable[[], Any]


class NotADocument(TypeError):
    """A value has a part that a copy is not defined of, or is nested too deeply. Holds no value."""


def copy_document(value: Any) -> Any:
    """An equal value that shares nothing with the original that could be altered.

    Every dict and list in it is made anew, with keys and items in their order; leaves are the same objects. A container
    that stands in two places becomes two.

    Raises:
        NotADocument: it is none.
    """
    return _copied(value, MAX_DEPTH)


def _copied(value: Any, depth: int) -> Any:
    kind = value.__class__
    if kind in IMMUTABLE:
        return value
    if depth == 0:
        raise NotADocument("nested too deeply")
    if kind is dict:
        return {_leaf(key): _copied(item, depth - 1) for key, item in value.items()}
    if kind is list:
        return [_copied(item, depth - 1) for item in value]
    raise NotADocument(f"a {kind.__name__} is not copied")


def _leaf(value: Any) -> Any:
    if value.__class__ in IMMUTABLE:
        return value
    raise NotADocument(f"a {value.__class__.__name__} as key of a dict is not copied")


def prepared_copy(document: Any) -> Copy | None:
    """What makes a copy of a document each time it is called: equal to what `copy_document` returns. None: the document
    is a leaf, which needs no copy. The document must not be altered from then on.

    Raises:
        NotADocument: it is none.
    """
    return _prepared(document, MAX_DEPTH)


def _prepared(value: Any, depth: int) -> Copy | None:
    kind = value.__class__
    if kind in IMMUTABLE:
        return None
    if depth == 0:
        raise NotADocument("nested too deeply")
    if kind is dict:
        for key in value:
            _leaf(key)
        places = value.items()
    elif kind is list:
        places = enumerate(value)
    else:
        raise NotADocument(f"a {kind.__name__} is not copied")
    copy: Callable[[], Any] = value.copy  # the interpreter's own, which copies a dict or list of leaves
    nested = [(place, part) for place, item in places if (part := _prepared(item, depth - 1)) is not None]
    if not nested:
        return copy
    if kind is list and len(nested) == len(value):
        parts = [part for _, part in nested]
        return lambda: [part() for part in parts]

    def copied() -> Any:
        new = copy()
        for place, part in nested:
            new[place] = part()
        return new

    return copied


def memory_bytes(value: Any, most_bytes: int) -> int:
    """Reckoned memory of a document and its prepared copy. Equal keys of its dicts count once, as decoders share them;
    numbers that the interpreter shares count nothing.

    Args:
        value: a document; of something else only the outermost object is counted.
        most_bytes: counting ends above this.
    """
    total, keys = 0, set[Any]()
    left = [value]
    while left and total <= most_bytes:
        part = left.pop()
        kind = part.__class__
        if kind is dict or kind is list:
            items = part
            if kind is dict:
                keys.update(part)
                items = part.values()
            inner = [item for item in items if item is not None and item.__class__ is not bool]
            nested = any(item.__class__ is dict or item.__class__ is list for item in inner)
            total += sys.getsizeof(part) + (NESTED_COPY_BYTES if nested else COPY_BYTES)
            left += inner
        elif kind is not int or not -5 <= part <= 256:
            total += sys.getsizeof(part)
    return total + sum(map(sys.getsizeof, keys))
