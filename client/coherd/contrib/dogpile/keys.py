"""dogpile's keys and values as Coherd's: any text, any bytes."""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar, Final

from google.protobuf.message import DecodeError
from google.protobuf.wrappers_pb2 import BytesValue

from coherd.codec import Codec, ValueDecodeError, ValueEncodeError
from coherd.contract.keys import build_key
from coherd.contract.reasons import Refusal
from coherd.key import Key

IDENTIFIER: Final = "key"
"""The one identifier of the resource that holds a region."""
_HASHED: Final = "sha256."
_LOCK: Final = "lock."


class BytesCodec:
    """Bytes, as `google.protobuf.BytesValue`."""

    type_name: str = "google.protobuf.BytesValue"

    def encode(self, value: bytes) -> bytes:
        if not isinstance(value, bytes):
            raise ValueEncodeError(f"the value must be bytes, not {type(value).__name__}")
        return BytesValue(value=value).SerializeToString()

    def decode(self, payload: bytes) -> bytes:
        try:
            return BytesValue.FromString(payload).value
        except DecodeError:
            raise ValueDecodeError("the stored value is not a google.protobuf.BytesValue") from None


class BytesKey(Key[bytes]):
    """A key whose values are bytes: ``content:dogpile:key:<dogpile's key>``."""

    __slots__ = ()
    codec: ClassVar[Codec[Any]] = BytesCodec()


def value_key(domain: str, resource: str, text: str) -> BytesKey:
    """The key of a value: readable where dogpile's key fits, ``sha256.<hex>`` where not. No two texts share one.

    Raises:
        Refusal: domain or resource is no name.
    """
    if not text.startswith((_HASHED, _LOCK)):
        try:
            return BytesKey._of(build_key(domain, resource, [(IDENTIFIER, text)]))
        except Refusal:
            pass  # empty, too long, or not Unicode; a bad name is refused again below
    return BytesKey._of(build_key(domain, resource, [(IDENTIFIER, _HASHED + _digest(text))]))


def lock_key(domain: str, resource: str, text: str) -> BytesKey:
    """The key under which a lock is leased; nothing is ever stored there.

    Raises:
        Refusal: domain or resource is no name.
    """
    return BytesKey._of(build_key(domain, resource, [(IDENTIFIER, _LOCK + _digest(text))]))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
