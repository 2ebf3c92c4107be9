"""Values and requests on their way between verbs and messages."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from coherd._near import Kept
from coherd.codec import ValueDecodeError
from coherd.errors import CacheError, ServerDefect, UndecodableValue, error_of
from coherd.key import Key, ReadKey
from coherd.results import SetOutcome, SetResult
from coherd.v1 import cache_service_pb2 as wire
from coherd.v1 import keys_pb2

V = TypeVar("V")

_MS: Final = datetime.timedelta(milliseconds=1)
_OUTCOMES: Final = {
    wire.SET_OUTCOME_STORED: SetOutcome.STORED,
    wire.SET_OUTCOME_PRESENT: SetOutcome.PRESENT,
    wire.SET_OUTCOME_OLDER_VERSION: SetOutcome.OLDER_VERSION,
}


def key_message(key: ReadKey[Any]) -> keys_pb2.Key:
    """The wire form of a key.

    Raises:
        TypeError: it is no `Key`.
    """
    if not isinstance(key, Key):
        raise not_a_key(key)
    return keys_pb2.Key(text=key)


def not_a_key(key: object) -> TypeError:
    """What to raise for something that is no key; does not show it."""
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


def decoded(key: ReadKey[V], hit: wire.Hit) -> V | None:
    """The value of a hit; None for a remembered "there is nothing".

    Raises:
        UndecodableValue: the payload is not a value of the key's type.
    """
    if hit.negative:
        return None
    try:
        value: V = key.codec.decode(hit.value)
    except ValueDecodeError as error:
        raise undecodable(key, error) from None
    return value


def decoded_near(key: ReadKey[Any], kept: Kept) -> Any:
    """The value of a near-cache hit, made anew; None for a remembered "there is nothing".

    Raises:
        UndecodableValue: the payload is not a value of the key's type.
    """
    if kept.negative:
        return None
    try:
        return key.codec.decode(kept.payload)
    except ValueDecodeError as error:
        raise undecodable(key, error) from None


def undecodable(key: ReadKey[Any], error: ValueDecodeError) -> UndecodableValue:
    """The error of a payload that does not decode; names the resource only."""
    domain, resource = key.split(":", 2)[:2]
    return UndecodableValue(f"{domain}:{resource}: {error}")


def item_error(error: wire.ItemError) -> CacheError:
    """The error of one item of a batch."""
    return error_of(error.reason, error.message, field=error.field, retry_after_ms=error.retry_after_ms)


def set_request(
    key: Key[Any],
    value: bytes,
    *,
    ttl_ms: int | None,
    tags: Mapping[str, str] | None,
    only_if_absent: bool,
    version: int | None,
    negative: bool = False,
) -> wire.SetRequest:
    """Raises:
    TypeError: an argument is not of its type.
    ValueError: the version is out of range.
    """
    return wire.SetRequest(
        key=keys_pb2.Key(text=key),
        value=value,
        ttl_ms=ttl_ms,
        extra_tags=tags,
        only_if_absent=only_if_absent,
        version=version,
        negative=negative,
    )


def set_result(answer: wire.SetResponse) -> SetResult:
    """Raises:
    ServerDefect: the outcome is none this version knows.
    """
    outcome = _OUTCOMES.get(answer.outcome)
    if outcome is None:
        raise ServerDefect("the answer has no known outcome")
    return SetResult(outcome, answer.ttl_ms)


def ttl_ms(ttl: datetime.timedelta | None) -> int | None:
    """Whole milliseconds of a TTL.

    Raises:
        TypeError: it is no timedelta: a bare number has no unit.
    """
    if ttl is None:
        return None
    if not isinstance(ttl, datetime.timedelta):
        raise TypeError(f"a TTL is a datetime.timedelta, not {type(ttl).__name__}")
    return ttl // _MS
