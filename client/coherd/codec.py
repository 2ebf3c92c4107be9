"""How values become payload bytes: JSON documents, and Protobuf messages.

A payload is always a serialized value message; JSON travels as `coherd.v1.Json`, whose single field is written and read
here by hand because it stands on every hit.
"""

from __future__ import annotations

from typing import Any, Final, Generic, Protocol, TypeVar

import orjson
from google.protobuf.message import DecodeError, Message

V = TypeVar("V")
M = TypeVar("M", bound=Message)

_TEXT_FIELD: Final = 0x0A
"""Tag byte of field 1, length-delimited: `coherd.v1.Json.text`."""


class ValueDecodeError(ValueError):
    """A stored payload is not a value of the key's type. Holds no payload."""


class ValueEncodeError(TypeError):
    """A value is not of the key's type, or cannot be written as JSON. Holds no value."""


class Codec(Protocol[V]):
    """Turns values of one type into payload bytes and back."""

    type_name: str
    """Full name of the value message on the wire."""

    def encode(self, value: V) -> bytes:
        """Payload bytes.

        Raises:
            ValueEncodeError: the value is not of the type.
        """
        ...

    def decode(self, payload: bytes) -> V:
        """A new value on each call, so that no caller can alter another's.

        Raises:
            ValueDecodeError: the bytes are not a value of the type.
        """
        ...


class JsonCodec(Generic[V]):
    """JSON documents as plain dicts, lists, strings, numbers, bools and None.

    Tuples become lists, `datetime` and `UUID` become strings. Dict keys must be strings; integers beyond 64 bits are
    refused, since readers would round them. JSON has no NaN and no infinities: they become null.
    """

    type_name: str = "coherd.v1.Json"

    def encode(self, value: V) -> bytes:
        try:
            text = orjson.dumps(value)
        except TypeError as error:
            raise ValueEncodeError(f"a value of type {type(value).__name__} cannot be JSON: {_reason(error)}") from None
        size = len(text)
        if size < 0x80:
            return b"\x0a%c%b" % (size, text)
        prefix = bytearray((_TEXT_FIELD,))
        while size >= 0x80:
            prefix.append(size & 0x7F | 0x80)
            size >>= 7
        prefix.append(size)
        return bytes(prefix) + text

    def decode(self, payload: bytes) -> V:
        try:
            # The two lengths that nearly all documents have, then any: this stands on every hit.
            size = payload[1]
            at = 2
            if size >= 0x80:
                more = payload[2]
                if more < 0x80:
                    size += (more << 7) - 0x80
                    at = 3
                else:
                    size, at = _length(payload)
            if payload[0] != _TEXT_FIELD or at + size != len(payload):
                raise ValueDecodeError("the stored value is not a JSON document")
            return _loads(payload[at:])  # type: ignore[no-any-return]
        except (IndexError, orjson.JSONDecodeError):
            raise ValueDecodeError("the stored value is not a JSON document") from None


_loads: Final = orjson.loads


def _length(payload: bytes) -> tuple[int, int]:
    """The varint behind the first byte, and where it ends."""
    size = shift = 0
    at = 1
    while True:
        byte = payload[at]
        at += 1
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            return size, at
        shift += 7


def _reason(error: TypeError) -> str:
    """Why orjson refused, without anything of the value."""
    text = str(error).lower()
    if "integer" in text:
        return "an integer is beyond 64 bits, which readers would round"
    if "key" in text:
        return "the keys of an object must be strings"
    return "it holds something that JSON has not, or is nested too deeply"


class MessageCodec(Generic[M]):
    """Protobuf messages of one type."""

    def __init__(self, message_type: type[M]) -> None:
        self._type = message_type
        self.type_name = message_type.DESCRIPTOR.full_name

    def encode(self, value: M) -> bytes:
        if not isinstance(value, self._type):
            raise ValueEncodeError(f"the value must be a {self.type_name}, not {type(value).__name__}")
        return value.SerializeToString()

    def decode(self, payload: bytes) -> M:
        try:
            return self._type.FromString(payload)
        except DecodeError:
            raise ValueDecodeError(f"the stored value is not a {self.type_name}") from None


JSON: Final[JsonCodec[Any]] = JsonCodec()
"""Any JSON document."""
JSON_OBJECT: Final[JsonCodec[dict[str, Any]]] = JsonCodec()
"""JSON documents declared to be objects (``json_object: true``)."""
