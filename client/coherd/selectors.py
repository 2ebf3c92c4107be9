"""What a caller invalidates: named invalidations (generated from the catalog), tags, resources and domains.

A key is a selector too: ``cache.invalidate(key)`` is ``cache.delete(key)``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from coherd.contract.keys import DateLike, date_text, encode_value, is_name, string_text, tag_text
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


@dataclass(frozen=True, slots=True, init=False)
class Tag:
    """Every entry with this identifier's value; in one domain, or in all that declare the identifier as a tag.

    ``value`` may be ``"*"`` (any value) where a named invalidation of the catalog asks for that.
    """

    identifier: str
    value: str
    domain: str | None

    def __init__(self, identifier: str, value: DateLike, domain: str | None = None) -> None:
        """
        Args:
            identifier: its name.
            value: its text as keys have it; of a date also a `datetime.date`.
            domain: name of the domain; None: all.

        Raises:
            TypeError: an argument is of another type.
            Refusal: the value is not valid Unicode.
        """
        object.__setattr__(self, "identifier", _text("the identifier of a Tag", identifier, "user"))
        object.__setattr__(self, "value", tag_text(value, identifier if is_name(identifier) else "value"))
        object.__setattr__(
            self, "domain", None if domain is None else _text("the domain of a Tag", domain, "analytics")
        )


@dataclass(frozen=True, slots=True)
class Resource:
    """Every entry of a resource: ``Resource.of(analytics.Daily)`` or ``Resource("analytics", "daily")``.

    Raises:
        TypeError: a name is no text.
    """

    domain: str
    resource: str

    def __post_init__(self) -> None:
        _text("the domain of a Resource", self.domain, "analytics")
        _text("the name of a Resource", self.resource, "daily")

    @classmethod
    def of(cls, key_class: type[Key[Any]] | KeyClass[..., Any]) -> Resource:
        """The resource of a key class.

        Raises:
            TypeError: it is no key class, or one of many resources, as `coherd.OpenKey` is.
        """
        if not (isinstance(key_class, type) and issubclass(key_class, Key) and hasattr(key_class, "resource")):
            raise TypeError(
                f"Resource.of takes the key class of a resource, such as analytics.Daily, not {_kind(key_class)}"
            )
        return cls(key_class.domain, key_class.resource)


@dataclass(frozen=True, slots=True)
class Domain:
    """Every entry of a domain.

    Raises:
        TypeError: its name is no text.
    """

    name: str

    def __post_init__(self) -> None:
        _text("the name of a Domain", self.name, "analytics")


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
    raise TypeError(f"not a selector: {_kind(selector)}{_meant(selector)}")


def _meant(thing: object) -> str:
    """What somebody meant who gave this as a selector."""
    if isinstance(thing, type) and issubclass(thing, Key):
        return f"; all entries of its resource are Resource.of({thing.__name__}), one is a key with its identifiers"
    if isinstance(thing, type) and issubclass(thing, NamedInvalidation):
        return f"; write {thing.__name__}(value)"
    if isinstance(thing, str):
        return "; a key of its text is OpenKey.parse(text), a tag is Tag(identifier, value)"
    if isinstance(thing, Iterable):
        return "; give selectors one by one: invalidate(*selectors)"
    return "; a selector is a named invalidation such as User(value), a Tag, a Resource, a Domain, or a key"


def _text(what: str, value: object, example: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} is text, such as {example!r}, not {_kind(value)}")
    return value


def _kind(thing: object) -> str:
    return f"the class {thing.__name__}" if isinstance(thing, type) else f"of type {type(thing).__name__}"
