"""Values and arguments of verbs as the messages carry them."""

from __future__ import annotations

import datetime
from typing import Any, Final, TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from coherd._rpc.columns import GetAnswer
from coherd.codec import ValueDecodeError
from coherd.errors import (
    DeadlineExceeded,
    OutcomeUnknown,
    ServerDefect,
    Unavailable,
    UndecodableValue,
)
from coherd.key import Key, ReadKey
from coherd.results import Entry
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1 import keys_pb2

V = TypeVar("V")

NO_READ: Final = (Unavailable, DeadlineExceeded)
"""Errors of a read that the service did not answer."""
NO_WRITE: Final = (Unavailable, DeadlineExceeded, OutcomeUnknown)
"""Errors of a write that the service did not confirm."""

_MS: Final = datetime.timedelta(milliseconds=1)


def key_message(key: ReadKey[Any]) -> keys_pb2.Key:
    """The wire form of a key.

    Raises:
        TypeError: it is no `Key`.
    """
    if not isinstance(key, Key):
        raise not_a_key(key)
    return keys_pb2.Key(text=key)


def not_a_key(key: object) -> TypeError:
    """The error of something that is no key; it does not show it."""
    if isinstance(key, type):
        return TypeError(f"a key is needed, not the class {key.__name__}; a key is made with identifiers")
    return TypeError(f"a key is needed, not {type(key).__name__}; the key of a text is OpenKey.parse(text)")


def encoded(key: Key[Any], value: object) -> bytes:
    """Payload of a value.

    Raises:
        TypeError: it is no `Key`.
        ValueEncodeError: the value is not of the key's type.
    """
    if not isinstance(key, Key):
        raise not_a_key(key)
    payload: bytes = key.codec.encode(value)
    return payload


def hit_of(answer: GetAnswer) -> pb.Hit | None:
    """The value in an answer; None: it is a miss.

    Raises:
        ServerDefect: it is neither.
    """
    if isinstance(answer, bytes):
        return pb.Hit(value=answer)
    if answer.HasField("hit"):
        return answer.hit
    if answer.HasField("miss"):
        return None
    raise ServerDefect("the answer is neither a value nor a miss")


def decoded(key: ReadKey[V], payload: bytes, negative: bool) -> V | None:
    """A stored value, made anew; None for a remembered "there is nothing".

    Args:
        key: of the item.
        payload: the value as it is stored; empty if there is nothing.
        negative: whether the entry remembers that there is nothing.

    Raises:
        UndecodableValue: the payload is not a value of the key's type.
    """
    if negative:
        return None
    try:
        value: V = key.codec.decode(payload)
    except ValueDecodeError as error:
        raise undecodable(key, error) from None
    return value


def entry(key: ReadKey[V], hit: pb.Hit) -> Entry[V]:
    """A hit with all it says.

    Raises:
        UndecodableValue: the payload is not a value of the key's type.
    """
    return Entry(
        value=decoded(key, hit.value, hit.negative),
        age_ms=hit.age_ms,
        remaining_ttl_ms=hit.remaining_ttl_ms,
        stale=hit.stale,
        negative=hit.negative,
        version=hit.version if hit.HasField("version") else None,
        extra_tags=dict(hit.extra_tags),
    )


def undecodable(key: ReadKey[Any], error: ValueDecodeError) -> UndecodableValue:
    """The error of a payload that does not decode; names the resource only."""
    domain, resource = key.split(":", 2)[:2]
    return UndecodableValue(f"{domain}:{resource}: {error}")


def fields_of(message: Message) -> dict[str, Any]:
    """Every field by its name: times as `datetime` in UTC, other messages as dicts, None for one that is not there."""
    fields: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.is_repeated:
            fields[field.name] = [fields_of(item) if isinstance(item, Message) else item for item in value]
        elif not isinstance(value, Message):
            fields[field.name] = value
        elif not message.HasField(field.name):
            fields[field.name] = None
        else:
            fields[field.name] = value.ToDatetime(datetime.UTC) if isinstance(value, Timestamp) else fields_of(value)
    return fields


def ttl_ms(ttl: datetime.timedelta | None, name: str = "ttl") -> int | None:
    """Whole milliseconds of a TTL, which is the argument of this name.

    Raises:
        TypeError: it is no timedelta: a bare number has no unit.
    """
    if ttl is None:
        return None
    if not isinstance(ttl, datetime.timedelta):
        raise TypeError(f"{name} is a datetime.timedelta, which has a unit, not of type {type(ttl).__name__}")
    return ttl // _MS
