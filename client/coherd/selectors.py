"""What a caller invalidates: named invalidations (generated from the catalog), tags, resources and domains.

A key is a selector too: ``cache.invalidate(key)`` is ``cache.delete(key)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from coherd.contract.keys import date_text, encode_value, string_text
from coherd.key import Key, KeyClass
from coherd.v1 import keys_pb2


class NamedInvalidation:
    """Base of the generated classes: ``User("user123")`` invalidates all that is kept of a user."""

    __slots__ = ("value",)

    name: ClassVar[str]
    """Name in the catalog."""
    is_date: ClassVar[bool] = False
    """Whether its value is a day."""

    def __init__(self, value: object) -> None:
        """
        Args:
            value: text; of a date a `datetime.date`, or its text as keys have it.

        Raises:
            Refusal: the value is empty, over 512 characters, not valid Unicode, or not a day where one is needed.
        """
        self.value = date_text(value, self.name) if self.is_date else string_text(value, self.name)
        encode_value(self.value, name=self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NamedInvalidation) and (self.name, self.value) == (other.name, other.value)

    def __hash__(self) -> int:
        return hash((self.name, self.value))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"


@dataclass(frozen=True, slots=True)
class Tag:
    """Every entry with this identifier's value; in one domain, or in all that declare the identifier as a tag.

    ``value`` may be ``"*"`` (any value) where a named invalidation of the catalog asks for that.
    """

    identifier: str
    value: str
    domain: str | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """Every entry of a resource: ``Resource.of(analytics.Daily)`` or ``Resource("analytics", "daily")``."""

    domain: str
    resource: str

    @classmethod
    def of(cls, key_class: type[Key[Any]] | KeyClass[..., Any]) -> Resource:
        """The resource of a key class."""
        return cls(key_class.domain, key_class.resource)


@dataclass(frozen=True, slots=True)
class Domain:
    """Every entry of a domain."""

    name: str


Selector: TypeAlias = NamedInvalidation | Tag | Resource | Domain | Key[Any]
"""Anything `CacheClient.invalidate` takes."""


def to_wire(selector: Selector) -> keys_pb2.Selector:
    """The wire form of a selector.

    Raises:
        TypeError: it is none of the kinds above.
    """
    match selector:
        case NamedInvalidation():
            return keys_pb2.Selector(named=keys_pb2.NamedInvalidation(name=selector.name, value=selector.value))
        case Tag():
            tag = keys_pb2.Tag(domain=selector.domain or "", identifier=selector.identifier, value=selector.value)
            return keys_pb2.Selector(tag=tag)
        case Resource():
            resource = keys_pb2.ResourceSelector(domain=selector.domain, resource=selector.resource)
            return keys_pb2.Selector(resource=resource)
        case Domain():
            return keys_pb2.Selector(domain=keys_pb2.DomainSelector(domain=selector.name))
        case Key():
            return keys_pb2.Selector(key=keys_pb2.Key(text=selector))
    raise TypeError(f"not a selector: {type(selector).__name__}")
