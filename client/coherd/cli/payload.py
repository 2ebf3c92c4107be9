"""Values as the command line shows and takes them: JSON on the outside, payload bytes of the resource's value message
on the inside. Pure.
"""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Mapping
from typing import Any, Final

import orjson
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import DecodeError, Message

from coherd.codec import ValueDecodeError, ValueEncodeError
from coherd.contract.catalog import Catalog
from coherd.contract.catalog_load import builtin_catalog
from coherd.contract.declared import JSON_TYPE
from coherd.contract.descriptor_sets import link_pool
from coherd.v1.values_pb2 import Json

MAX_NESTING: Final = 100
"""Deepest JSON that becomes a message; Protobuf itself stops there."""
_STANDARD: Final = "google.protobuf."
"""Messages with JSON forms of their own, like a Timestamp's string."""


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
    """The value messages this side can read: the built-in ones, and those of a catalog file."""

    def __init__(self, catalog: Catalog | None = None) -> None:
        """
        Args:
            catalog: whose messages are known besides the built-in ones.

        Raises:
            CatalogError: never; a catalog that was loaded links.
        """
        self._pools = [_pool_of(builtin_catalog())]
        if catalog is not None:
            self._pools.insert(0, _pool_of(catalog))

    def message_type(self, type_name: str) -> type[Message] | None:
        """The class of a message by its full name; None if it is not known here."""
        for pool in self._pools:
            try:
                return message_factory.GetMessageClass(pool.FindMessageTypeByName(type_name))
            except KeyError:
                continue
        return None

    def to_document(self, type_name: str, payload: bytes) -> Any:
        """The value as a JSON document. A message not known here comes as ``{"@type": …, "base64": …}``.

        Raises:
            ValueDecodeError: the payload is not a value of the type.
        """
        if type_name == JSON_TYPE:
            return _stored_document(payload)
        kind = self.message_type(type_name)
        if kind is None:
            return {"@type": type_name, "base64": base64.b64encode(payload).decode()}
        try:
            message = kind.FromString(payload)
            return json_format.MessageToDict(message, preserving_proto_field_name=True)
        except (DecodeError, json_format.Error, ValueError):
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
            json_format.Parse(text, message, max_recursion_depth=MAX_NESTING)
        except (json_format.ParseError, ValueError, RecursionError) as error:
            raise ValueEncodeError(f"not a {type_name}: {str(error).splitlines()[0]}") from None
        return message.SerializeToString()


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
        return json.loads(Json.FromString(payload).text)
    except (DecodeError, ValueError, RecursionError):
        raise ValueDecodeError("the stored value is not a JSON document") from None


@functools.cache
def _builtin_pool() -> Any:
    return _linked(builtin_catalog().files)


def _pool_of(catalog: Catalog) -> Any:
    return _builtin_pool() if catalog is builtin_catalog() else _linked(catalog.files)


def _linked(files: Mapping[str, bytes]) -> Any:
    return link_pool({name: FileDescriptorProto.FromString(data) for name, data in files.items()})
