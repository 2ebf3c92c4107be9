"""Typed keys: what generated code is made of.

A key *is* its canonical text: `Key` is a `str` that also knows its value type, so that equality, hashing and look-ups
cost what they cost for text, and two ways to write one key are one key (ADR 5).
"""

from __future__ import annotations

import datetime
import keyword
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final, Generic, ParamSpec, Protocol, Self, TypeVar

from coherd.codec import JSON, Codec
from coherd.contract import keys
from coherd.contract.reasons import Refusal
from coherd.v1.errors_pb2 import ErrorReason

P = ParamSpec("P")
V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)

_TAKEN: Final = frozenset(keyword.kwlist) | {"cls", "bool_text", "date_text", "enum_part", "int_part", "string_part"}


def parameter_name(identifier: str) -> str:
    """The constructor's parameter for an identifier: its name, or ``class_`` for one that is taken."""
    return identifier + "_" if identifier in _TAKEN else identifier


MAX_REMEMBERED: Final = 8_192
"""Most keys of the process that are remembered by their identifiers; then all are forgotten. Some 4 MB."""
_PLAIN: Final = frozenset({str, int, bool, datetime.date})
"""Types of identifiers that a key is remembered by: immutable, and nothing of the caller hangs on them."""

_remembered: Final[dict[tuple[object, ...], Key[Any]]] = {}
"""Keys by class and identifiers. Keys are immutable, so threads and event loops share them; each step on the map is one
that the interpreter does not interrupt, and what is lost to a race is made anew."""


class ReadKey(str, Generic[V_co]):
    """A key as verbs that only read take it: what yields a ``bool`` yields an ``object``, so that type checkers take
    ``print(await cache.get(key))``. Verbs that write take `Key`, which holds them to its very type.
    """

    __slots__ = ()

    codec: ClassVar[Codec[Any]]
    """How values of the resource become bytes."""
    shared: ClassVar[bool] = False
    """Whether the catalog declares that values of the near cache are shared: nobody may alter them."""


class Key(ReadKey[V]):
    """Canonical text of one cached item, whose values are of type ``V``. Immutable.

    Subclasses are generated, one per resource; make one with its identifiers: ``Daily(user="u", date=date.today())``.
    """

    __slots__ = ()

    domain: ClassVar[str]
    """Name of the domain."""
    resource: ClassVar[str]
    """Name of the resource."""

    _made: ClassVar[Callable[[tuple[object, ...]], Any]] = _remembered.get
    """The key that was made of a class and identifiers, if it is remembered. Of integers, bools and enums the
    identifiers stand with their types, since 1, 1.0 and True are equal and not the same identifier."""

    @classmethod
    def _of(cls, text: str, given: tuple[object, ...] = ()) -> Self:
        """The key of canonical text that the caller vouches for.

        Args:
            text: of the key.
            given: what it is remembered by; empty: it is not.

        Raises:
            Refusal: KEY_INVALID, if it is too long or not Unicode.
        """
        if not (text.isascii() and 0 < len(text) <= keys.MAX_KEY_BYTES):
            text = keys.check_length(text)
        key = str.__new__(cls, text)
        if given and not cls.__dictoffset__ and all(type(one) in _PLAIN or isinstance(one, type) for one in given):
            if len(_remembered) >= MAX_REMEMBERED:
                _remembered.clear()
            _remembered[given] = key
        return key

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key of canonical text: the inverse of ``str(key)``.

        Raises:
            Refusal: KEY_INVALID, if the text is not a key of this resource as its constructor writes it;
                IDENTIFIER_INVALID, if an identifier is not of its type.
        """
        parts = keys.parse_key(text)
        values = {parameter_name(name): value for name, value in parts.identifiers}
        if (parts.domain, parts.resource) == (cls.domain, cls.resource):
            try:
                key: Self = cls(**values)
            except TypeError:
                pass  # other identifiers than the constructor's
            else:
                if key == text:
                    return key
        wanted = f"{cls.domain}:{cls.resource}"
        raise Refusal(ErrorReason.ERROR_REASON_KEY_INVALID, f"the key is not one of {wanted}", field="key")

    @property
    def identifiers(self) -> dict[str, str]:
        """Identifiers and their decoded texts, in key order."""
        return dict(keys.parse_key(self).identifiers)

    def _value(self, position: int) -> str:
        """Decoded text of the identifier at a position, counted from 0."""
        return keys.decode_value(self.split(":")[2 * position + 3])

    def __repr__(self) -> str:
        given = ", ".join(f"{parameter_name(name)}={value!r}" for name, value in self.identifiers.items())
        return f"{type(self).__name__}({given})"

    def __str__(self) -> str:
        return str.__str__(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restore, (type(self), str.__str__(self)))


class KeyClass(Protocol[P, V]):
    """A key class, as what makes its keys: its parameters are the identifiers, its keys' values of type ``V``."""

    domain: str
    """Name of the domain."""
    resource: str
    """Name of the resource."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Key[V]:
        """The key with these identifiers."""
        ...

    def parse(self, text: str, /) -> Key[V]:
        """The key of canonical text, as `Key.parse`."""
        ...


class KeyValues(Protocol[V]):
    """A mapping from keys to values of their types, for instance ``dict[Daily, Any]``."""

    def items(self) -> Iterable[tuple[Key[V], V]]:
        """Key and value of each item."""
        ...


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
        """
        Args:
            domain: name of an open domain.
            resource: name of the resource.
            identifiers: texts by name, in key order.
            suffix: text behind the identifiers.

        Raises:
            Refusal: a name or value is refused; whether the domain is open is known to the server only.
            TypeError: the identifiers are no mapping.
        """
        if identifiers is not None and not isinstance(identifiers, Mapping):
            raise TypeError(f"identifiers is a mapping from names to texts, not of type {type(identifiers).__name__}")
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

    def __repr__(self) -> str:
        return f"OpenKey.parse({str.__str__(self)!r})"
