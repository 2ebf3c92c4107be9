"""Typed keys: what generated code is made of.

A key *is* its canonical text: `Key` is a `str` that also knows its value type, so that equality, hashing and look-ups cost
what they cost for text, and two ways to write one key are one key (ADR 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

from typing_extensions import Self

from coherd.codec import JSON, Codec
from coherd.contract import keys
from coherd.contract.reasons import Refusal
from coherd.v1.errors_pb2 import ErrorReason

V = TypeVar("V")


class Key(str, Generic[V]):
    """Canonical text of one cached item, whose values are of type ``V``. Immutable.

    Subclasses are generated, one per resource; make one with its identifiers: ``Daily(user="u", date=date.today())``.
    """

    __slots__ = ()

    domain: ClassVar[str]
    """Name of the domain."""
    resource: ClassVar[str]
    """Name of the resource."""
    codec: ClassVar[Codec[Any]]
    """How values of the resource become bytes."""

    @classmethod
    def _of(cls, text: str) -> Self:
        """The key of canonical text that the caller vouches for.

        Raises:
            Refusal: KEY_INVALID, if it is too long or not Unicode.
        """
        return str.__new__(cls, keys.check_length(text))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key of canonical text, checked against the grammar and this class's domain and resource.

        Raises:
            Refusal: KEY_INVALID.
        """
        parts = keys.parse_key(text)
        if (parts.domain, parts.resource) != (cls.domain, cls.resource):
            raise Refusal(ErrorReason.ERROR_REASON_KEY_INVALID, f"the key is not one of {cls.domain}:{cls.resource}", field="key")
        return cls._of(text)

    @property
    def identifiers(self) -> dict[str, str]:
        """Identifiers and their decoded texts, in key order."""
        return dict(keys.parse_key(self).identifiers)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {str.__str__(self)}>"

    def __str__(self) -> str:
        return str.__str__(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restore, (type(self), str.__str__(self)))


def _restore(kind: type[Key[Any]], text: str) -> Key[Any]:
    return str.__new__(kind, text)


class OpenKey(Key[Any]):
    """A key of an undeclared resource of an open domain, or any key by its text; values are JSON.

    ``OpenKey("content", "drafts", {"user": "u1"}, suffix="list")``; ``OpenKey.parse("content:drafts:user:u1")``.
    """

    __slots__ = ()
    codec: ClassVar[Codec[Any]] = JSON

    def __new__(
        cls, domain: str, resource: str, identifiers: Mapping[str, str] | None = None, *, suffix: str | None = None
    ) -> Self:
        """Raises:
        Refusal: a name or value is refused; whether the domain is open is known to the server only.
        """
        items = [(name, keys.string_text(value, name)) for name, value in (identifiers or {}).items()]
        return str.__new__(cls, keys.build_key(domain, resource, items, suffix))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key of canonical text.

        Raises:
            Refusal: KEY_INVALID.
        """
        keys.parse_key(text)
        return cls._of(text)
