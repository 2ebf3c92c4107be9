"""Celery values as the familiar API shows them: plain dicts of the messages' fields."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from coherd.codec import ValueEncodeError

M = TypeVar("M", bound=Message)


def message_of(kind: type[M], value: M | Mapping[str, Any]) -> M:
    """The message itself, or the one with a dict's fields; times may be `datetime` or RFC 3339 text.

    Raises:
        ValueEncodeError: it is neither, has a field the message does not have, or one of another type.
    """
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise ValueEncodeError(f"the value must be a dict or a {kind.DESCRIPTOR.full_name}, not {type(value).__name__}")
    try:
        return json_format.ParseDict({name: _plain(field) for name, field in value.items()}, kind())
    except (json_format.ParseError, TypeError, ValueError):
        names = ", ".join(field.name for field in kind.DESCRIPTOR.fields)
        raise ValueEncodeError(f"not a {kind.DESCRIPTOR.full_name}; its fields: {names}") from None


def dict_of(message: Message) -> dict[str, Any]:
    """Every field by name, unset ones with their defaults; times as RFC 3339 text in UTC, None if unset."""
    return {field.name: _shown(message, field.name) for field in message.DESCRIPTOR.fields}


def _plain(field: object) -> object:
    if not isinstance(field, datetime.datetime):
        return field
    stamp = Timestamp()
    stamp.FromDatetime(field)
    return stamp.ToJsonString()


def _shown(message: Message, name: str) -> Any:
    value = getattr(message, name)
    if isinstance(value, Timestamp):
        return value.ToJsonString() if message.HasField(name) else None
    return value if isinstance(value, str | int | float) else list(value)
