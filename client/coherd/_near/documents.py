"""Copies of decoded values: what makes a value safe to give to many callers without decoding it anew.

A *document* is a value of plain parts: `dict` and `list` themselves (no subclass) around leaves of `IMMUTABLE` types,
at most `MAX_DEPTH` deep. That is what JSON decodes to. Of documents a copy is defined, of other values it is not.

`copy_document` is the definition. `prepared_copy` does the same again and again for one document, faster; the compiled
twin of `copy_document` is as fast, and needs neither preparation nor memory for it. `kept_copy` chooses.
"""

from __future__ import annotations

import decimal
import functools
import sys
import uuid
from collections.abc import Callable
from types import NoneType
from typing import Any, Final, TypeAlias

from coherd import _native

IMMUTABLE: Final[frozenset[type]] = frozenset({NoneType, bool, int, float, str, bytes, decimal.Decimal, uuid.UUID})
"""Types, not their subclasses, whose values nobody can alter: they are never copied."""
MAX_DEPTH: Final = 64
"""Most containers within each other: a copy is a recursion."""

COPY_BYTES: Final = 72
"""Reckoned memory of the prepared copy of a container of leaves: a bound method."""
NESTED_COPY_BYTES: Final = 460
"""The same of a container that holds others: a function, its cells, and its list of places."""
COMPILED_COPY_BYTES: Final = 150
"""The same of a whole document where the compiled twin copies it."""

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


def memory_bytes(value: Any, most_bytes: int, copy_bytes: int, nested_copy_bytes: int) -> int:
    """Reckoned memory of a document and its copy. Equal keys of its dicts count once, as decoders share them; numbers
    that the interpreter shares count nothing.

    Args:
        value: a document; of something else only the outermost object is counted.
        most_bytes: counting ends above this.
        copy_bytes: what the copy of a container of leaves takes.
        nested_copy_bytes: the same of a container that holds others.
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
            total += sys.getsizeof(part) + (nested_copy_bytes if nested else copy_bytes)
            left += inner
        elif kind is not int or not -5 <= part <= 256:
            total += sys.getsizeof(part)
    return total + sum(map(sys.getsizeof, keys))


def document_bytes(value: Any, most_bytes: int) -> int:
    """Reckoned memory of a document by itself, as `memory_bytes` counts it."""
    count = memory_bytes if _native.loaded is None else _native.loaded.memory_bytes
    size_bytes: int = count(value, most_bytes, 0, 0)
    return size_bytes


def kept_copy(document: Any, most_bytes: int) -> tuple[Copy | None, int]:
    """What makes a copy of a document each time it is called, and the reckoned memory of both. None: the document is a
    leaf. It must not be altered from then on.

    Args:
        document: to be kept.
        most_bytes: counting ends above this.

    Raises:
        NotADocument: it is none.
    """
    compiled = _native.loaded
    if compiled is not None:
        copied = compiled.copy_document(document)
        if copied is document:
            return None, document_bytes(document, most_bytes)
        if copied is not compiled.LEFT:
            flat = compiled.is_flat(document)
            copy = document.copy if flat else functools.partial(compiled.copy_document, document)
            return copy, document_bytes(document, most_bytes) + (COPY_BYTES if flat else COMPILED_COPY_BYTES)
    return prepared_copy(document), memory_bytes(document, most_bytes, COPY_BYTES, NESTED_COPY_BYTES)
