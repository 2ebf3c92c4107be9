"""How values become payload bytes: JSON documents, and Protobuf messages.

A payload is always a serialized value message; JSON travels as `coherd.v1.Json`, whose single field is written and read
here by hand because it stands on every hit.
"""

from __future__ import annotations

import json
import marshal
import math
from typing import Any, Final, Generic, Protocol, TypeVar

import orjson
from google.protobuf.message import DecodeError, EncodeError, Message

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
    """JSON documents as plain dicts, lists, strings, numbers, bools and None: nothing changes its type in silence.

    Refused are values of other types, subclasses of these included (enums, `datetime`, `UUID`, dataclasses), keys that
    are not strings, integers beyond 64 bits, NaN and infinities; `coherd.with_values` says how others are written.
    Tuples become lists. Integers beyond 64 bits that others wrote are read exactly.
    """

    type_name: str = "coherd.v1.Json"

    def encode(self, value: V) -> bytes:
        return framed(json_text(value))

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
                raise ValueDecodeError(_NO_DOCUMENT)
            text = payload[at:]
            value = _loads(text)
        except (IndexError, orjson.JSONDecodeError):
            raise ValueDecodeError(_NO_DOCUMENT) from None
        # orjson rounds integers beyond 64 bits, which have 19 digits or more.
        if size > _LONG_DIGITS and _NINETEEN in text.translate(_DIGITS):
            return _exact(text)  # type: ignore[no-any-return]
        return value  # type: ignore[no-any-return]


class JsonObjectCodec(JsonCodec[V]):
    """JSON documents that are objects."""

    def encode(self, value: V) -> bytes:
        if type(value) is not dict:
            raise ValueEncodeError(f"the value must be a dict, for a JSON object, not {type(value).__name__}")
        return super().encode(value)

    def decode(self, payload: bytes) -> V:
        value = super().decode(payload)
        if type(value) is not dict:
            raise ValueDecodeError("the stored value is not a JSON object")
        return value


_loads: Final = orjson.loads
_NO_DOCUMENT: Final = "the stored value is not a JSON document"
_NINETEEN: Final = b"0" * 19
_LONG_DIGITS: Final = len(_NINETEEN) - 1
_DIGITS: Final = bytes.maketrans(b"123456789", b"000000000")
_STRICT: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


def framed(text: bytes) -> bytes:
    """The payload of JSON text."""
    size = len(text)
    if size < 0x80:
        return b"\x0a%c%b" % (size, text)
    prefix = bytearray((_TEXT_FIELD,))
    while size >= 0x80:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    prefix.append(size)
    return bytes(prefix) + text


def unframed(payload: bytes) -> bytes:
    """The JSON text of a payload.

    Raises:
        ValueDecodeError: it is none.
    """
    try:
        size, at = _length(payload)
        if payload[0] != _TEXT_FIELD or at + size != len(payload):
            raise ValueDecodeError(_NO_DOCUMENT)
    except IndexError:
        raise ValueDecodeError(_NO_DOCUMENT) from None
    return payload[at:]


def json_text(document: Any) -> bytes:
    """JSON text from which the very same document is read again, but for tuples.

    Raises:
        ValueEncodeError: there is none.
    """
    try:
        text = orjson.dumps(document, option=_STRICT)
        # orjson still takes enums and UUIDs. `marshal` takes the interpreter's own types and refuses all others.
        marshal.dumps(document, 2)
    except (TypeError, ValueError) as error:
        raise ValueEncodeError(_refused(document, error)) from None
    if b"null" in text and (reason := unlike_json(document)):  # orjson writes NaN as null
        raise ValueEncodeError(_words(document, reason))
    return text


def _exact(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # more digits than the interpreter takes, or deeper than it goes
        raise ValueDecodeError("the stored JSON document has numbers or nesting that cannot be read exactly") from None


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


def _refused(document: object, error: Exception) -> str:
    """Why orjson or marshal refused, without anything of the value."""
    reason = "it is nested too deeply" if "recursion" in str(error).lower() else unlike_json(document)
    return _words(document, reason or "it is nested too deeply")


def _words(document: object, reason: str) -> str:
    return f"a value of type {type(document).__name__} cannot be JSON: {reason}"


def unlike_json(document: object) -> str | None:
    """What in a document has no form in JSON from which it is read again; None: all has. Shows types only."""
    todo: list[Any] = [document]
    seen: set[int] = set()
    while todo:
        value = todo.pop()
        kind = type(value)
        if kind in (dict, list, tuple):
            if id(value) in seen:
                continue
            seen.add(id(value))
        if kind is dict:
            for key in value:
                if type(key) is not str:
                    return f"the keys of an object must be strings, one is of type {type(key).__name__}"
            todo += value
            todo += value.values()
        elif kind in (list, tuple):
            todo += value
        elif reason := _unlike_json(value):
            return reason
    return None


def _unlike_json(value: Any) -> str | None:
    kind = type(value)
    if kind is str:
        return "a text in it is not valid Unicode" if _is_broken(value) else None
    if kind is int:
        return None if -(2**63) <= value < 2**64 else "an integer is beyond 64 bits, which readers would round"
    if kind is float:
        return None if math.isfinite(value) else "a number is NaN or infinite"
    if kind is bool or value is None:
        return None
    return (
        f"JSON has no {kind.__name__}, it would come back as something else; convert it, "
        "or say how it is written (coherd.with_values, docs/use/values.md)"
    )


def _is_broken(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


class MessageCodec(Generic[M]):
    """Protobuf messages of one type."""

    def __init__(self, message_type: type[M]) -> None:
        self._type = message_type
        self.type_name = message_type.DESCRIPTOR.full_name

    def encode(self, value: M) -> bytes:
        if not isinstance(value, self._type):
            raise ValueEncodeError(f"the value must be a {self.type_name}, not {type(value).__name__}")
        try:
            return value.SerializeToString()
        except EncodeError:  # of proto2
            raise ValueEncodeError(f"the {self.type_name} lacks a required field") from None

    def decode(self, payload: bytes) -> M:
        try:
            return self._type.FromString(payload)
        except DecodeError:
            raise ValueDecodeError(f"the stored value is not a {self.type_name}") from None


JSON: Final[JsonCodec[Any]] = JsonCodec()
"""Any JSON document."""
JSON_OBJECT: Final[JsonCodec[dict[str, Any]]] = JsonObjectCodec()
"""JSON documents declared to be objects (``json_object: true``)."""
