"""What is decoded from a payload, once, and how each hit is given it."""

from __future__ import annotations

import functools
import sys
from typing import Any, Final, Protocol

from coherd._near.documents import IMMUTABLE, Copy, NotADocument, document_bytes, kept_copy

DECODED_BYTES: Final = 72
"""Reckoned memory of a `Decoded` itself."""
ANEW_BYTES: Final = 200
"""Reckoned memory of what decodes a payload anew."""
OPAQUE_FACTOR: Final = 4
OPAQUE_BYTES: Final = 1_000
"""Reckoned memory of a shared value that is no document, a message for instance, whose parts cannot be counted: so many
times its payload, and a round sum."""


class Decoder(Protocol):
    """What is needed of a codec."""

    def decode(self, payload: bytes) -> Any:
        """A new value."""
        ...


class Decoded:
    """A decoded value as hits give it."""

    __slots__ = ("codec", "copy", "memory_bytes", "value")

    def __init__(self, codec: Decoder, value: Any, copy: Copy | None, memory_bytes: int) -> None:
        self.codec: Final = codec
        """Of the key that it was decoded for: keys of one text may differ in it."""
        self.value: Final = value
        self.copy: Final = copy
        """Makes a value for one caller; None: every caller is given `value`."""
        self.memory_bytes: Final = memory_bytes + DECODED_BYTES


def decode(codec: Decoder, payload: bytes, value: Any, shared: bool, room_bytes: int) -> Decoded | None:
    """What is to be kept of a value; None: it takes too much memory to be kept shared.

    A value that nobody can alter is given to all. A document is kept, and copied for each caller; something else, or
    what is too large to be kept beside its payload, is decoded anew for each.

    Args:
        codec: that decoded it.
        payload: what it was decoded from.
        value: nobody else has it, unless it is shared.
        shared: all callers are given the value itself.
        room_bytes: most memory it may take.
    """
    room_bytes -= DECODED_BYTES
    if value.__class__ in IMMUTABLE:
        size_bytes = sys.getsizeof(value)
        return Decoded(codec, value, None, size_bytes) if size_bytes <= room_bytes else None
    if shared:
        size_bytes = _shared_bytes(payload, value, room_bytes)
        return Decoded(codec, value, None, size_bytes) if size_bytes <= room_bytes else None
    try:
        copy, size_bytes = kept_copy(value, room_bytes)
        if copy is not None and size_bytes <= room_bytes:
            return Decoded(codec, value, copy, size_bytes)
    except NotADocument:
        pass
    return Decoded(codec, None, functools.partial(codec.decode, payload), ANEW_BYTES)


def _shared_bytes(payload: bytes, value: Any, most_bytes: int) -> int:
    if value.__class__ is dict or value.__class__ is list:
        return document_bytes(value, most_bytes)
    return sys.getsizeof(value) + OPAQUE_FACTOR * len(payload) + OPAQUE_BYTES
