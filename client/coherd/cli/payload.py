"""Values as the command line shows and takes them: JSON on the outside, payload bytes of the resource's value message
on the inside. Pure.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any, Final

import orjson
from google.protobuf import (
    any_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    json_format,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import DecodeError, Message

from coherd.catalog.declared import JSON_TYPE
from coherd.catalog.descriptor_sets import link_pool
from coherd.catalog.load import builtin_catalog
from coherd.codec import ValueDecodeError, ValueEncodeError
from coherd.v1.values_pb2 import Json

MAX_NESTING: Final = 100
"""Deepest JSON that becomes a message; Protobuf itself stops there."""
_STANDARD: Final = "google.protobuf."
"""Messages with JSON forms of their own, like a Timestamp's string."""
_STANDARD_FILES: Final = (
    any_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
_ANY: Final = "google.protobuf.Any"


class RawCodec:
    """Payload bytes as they are: the command line decodes them itself, once it knows the value's type."""

    type_name: str = "bytes"

    def encode(self, value: bytes) -> bytes:
        """The bytes."""
        return value

    def decode(self, payload: bytes) -> bytes:
        """The bytes."""
        return payload


class ValueTypes:
    """The value messages this side can read: Protobuf's own, those of the built-in catalog, and those of a file."""

    def __init__(self, own: Mapping[str, FileDescriptorProto] | None = None) -> None:
        """
        Args:
            own: files of a compiled descriptor set that link. They come first: where they cannot stand beside the
                built-in catalog, because a server has them in its place, that one's messages are not known.
        """
        own = own or {}
        standard = {module.DESCRIPTOR.name: _copied(module.DESCRIPTOR) for module in _STANDARD_FILES}
        builtin = {name: FileDescriptorProto.FromString(data) for name, data in builtin_catalog().files.items()}
        try:
            self._pool = link_pool({**standard, **builtin, **own})
        except TypeError:
            self._pool = link_pool({**standard, **own})

    def message_type(self, type_name: str) -> type[Message] | None:
        """The class of a message by its full name; None if it is not known here."""
        try:
            return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(type_name))
        except KeyError:
            return None

    def to_document(self, type_name: str, payload: bytes) -> Any:
        """The value as a JSON document. A message not known here comes as ``{"@type": …, "base64": …}``, and so does
        what an Any holds.

        Raises:
            ValueDecodeError: the payload is not a value of the type, or an Any inside of it holds a message not known
                here.
        """
        if type_name == JSON_TYPE:
            return _stored_document(payload)
        kind = self.message_type(type_name)
        if kind is None:
            return _unknown(type_name, payload)
        try:
            message = kind.FromString(payload)
            if type_name == _ANY and self._is_unknown(held := any_pb2.Any.FromString(payload)):
                return _unknown(held.type_url, held.value)
            return json_format.MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=self._pool)
        except TypeError as error:  # json_format's, of an Any
            what = f"the stored {type_name} holds a message that is not known here ({error})"
            raise ValueDecodeError(f"{what}: give --catalog FILE.binpb, or --raw") from None
        except (DecodeError, json_format.Error, ValueError, RecursionError):
            raise ValueDecodeError(f"the stored value is not a {type_name}") from None

    def to_payload(self, type_name: str, text: str) -> bytes:
        """The payload of JSON text.

        Raises:
            ValueEncodeError: it is no JSON, or not a value of the type; the text says where.
        """
        document = json_document(text)
        if type_name == JSON_TYPE:
            return Json(text=text.strip()).SerializeToString()
        kind = self.message_type(type_name)
        if kind is None:
            raise ValueEncodeError(f"values are {type_name}, not known here: give --catalog FILE.binpb, or --raw")
        if not isinstance(document, dict) and not type_name.startswith(_STANDARD):
            raise ValueEncodeError(f"not a {type_name}: a message is written as a JSON object")
        message = kind()
        try:
            json_format.Parse(text, message, descriptor_pool=self._pool, max_recursion_depth=MAX_NESTING)
        except (json_format.ParseError, ValueError, RecursionError) as error:
            raise ValueEncodeError(f"not a {type_name}: {str(error).splitlines()[0]}") from None
        return message.SerializeToString()

    def _is_unknown(self, held: any_pb2.Any) -> bool:
        return bool(held.ListFields()) and self.message_type(held.TypeName()) is None


def json_document(text: str) -> Any:
    """The document of JSON text.

    Raises:
        ValueEncodeError: it is no JSON; the text says where.
    """
    if not text.strip():
        raise ValueEncodeError('not a JSON document: the text is empty (an empty text value is written "")')
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueEncodeError(f"not a JSON document: {error}") from None


def _stored_document(payload: bytes) -> Any:
    try:
        return json.loads(Json.FromString(payload).text, parse_float=_finite, parse_constant=_finite)
    except (DecodeError, ValueError, RecursionError):
        raise ValueDecodeError("the stored value is not a JSON document") from None


def _finite(text: str) -> float:
    """The number; JSON has no NaN and no infinities, which `json` reads all the same."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("not a number of JSON")
    return number


def _unknown(type_name: str, payload: bytes) -> dict[str, str]:
    return {"@type": type_name, "base64": base64.b64encode(payload).decode()}


def _copied(descriptor: Any) -> FileDescriptorProto:
    file = FileDescriptorProto()
    descriptor.CopyToProto(file)
    return file
