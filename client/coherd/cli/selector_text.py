"""The arguments of ``coherd invalidate`` as selectors. Pure; the server's catalog decides whether the names exist."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from coherd.contract.keys import decode_value, encode_value, is_name
from coherd.contract.reasons import Refusal
from coherd.key import Key, OpenKey
from coherd.selectors import Domain, NamedInvalidation, Resource, Tag

FORMS: Final = "NAME=VALUE, tag [DOMAIN/]IDENTIFIER:VALUE, resource DOMAIN:RESOURCE, domain DOMAIN, key KEY"

CliSelector = NamedInvalidation | Tag | Resource | Domain | Key[Any]


class SelectorTextError(ValueError):
    """The arguments are not selectors. One line that says how they are written."""


def parse_selectors(words: Sequence[str]) -> list[CliSelector]:
    """The selectors of a command line, in order.

    ``user=user123`` is a named invalidation with its value as it is; after the words ``tag``, ``resource``, ``domain``
    and ``key`` stands what they select, written as Coherd prints it (values percent-encoded as in keys).

    Raises:
        SelectorTextError: a word is none of the forms, or lacks its second half.
        Refusal: the value of a named invalidation is none.
    """
    rest = iter(words)
    selectors: list[CliSelector] = []
    for word in rest:
        kind = _KINDS.get(word)
        if kind is not None:
            selectors.append(kind(_operand(word, rest)))
            continue
        name, equals, value = word.partition("=")
        if not equals:
            meant = f"; did you mean: key {word}?" if _is_key(word) else f": write {FORMS}"
            raise SelectorTextError(f"{word!r} selects nothing{meant}")
        selectors.append(_named(name, value))
    if not selectors:
        raise SelectorTextError(f"nothing to invalidate: write {FORMS}")
    return selectors


def named(name: str, value: str) -> NamedInvalidation:
    """A named invalidation of any catalog, by its name.

    Raises:
        Refusal: the value is not text or is empty.
    """
    kind: type[NamedInvalidation] = type("Named", (NamedInvalidation,), {"__slots__": (), "name": name})
    return kind(value)


def _operand(word: str, rest: Iterator[str]) -> str:
    operand = next(rest, None)
    if operand is None:
        raise SelectorTextError(f"{word!r} needs what it selects behind it: {FORMS}")
    return operand


def _named(name: str, value: str) -> NamedInvalidation:
    if not is_name(name):
        raise SelectorTextError(f"{name!r} cannot name an invalidation: names are lower snake case")
    if not value:
        raise SelectorTextError(f"{name}= needs a value, like {name}=user123")
    return named(name, value)


def _tag(text: str) -> Tag:
    left, colon, encoded = text.partition(":")
    domain, slash, identifier = left.rpartition("/")
    if not colon or not encoded or not is_name(identifier) or (slash and not is_name(domain)):
        raise SelectorTextError(f"{text!r} is no tag: write [DOMAIN/]IDENTIFIER:VALUE, like analytics/user:user123")
    return Tag(identifier, _decoded(encoded), domain or None)


def _decoded(encoded: str) -> str:
    if encoded == "*":
        return encoded
    try:
        return decode_value(encoded)
    except Refusal:
        try:
            hint = f": write {encode_value(encoded)!r}"
        except Refusal as refusal:
            hint = f": {refusal}"
    raise SelectorTextError(f"the value of a tag is percent-encoded as in keys{hint}")


def _resource(text: str) -> Resource:
    domain, colon, resource = text.partition(":")
    if not colon or not is_name(domain) or not is_name(resource):
        raise SelectorTextError(f"{text!r} is no resource: write DOMAIN:RESOURCE, like analytics:daily")
    return Resource(domain, resource)


def _domain(text: str) -> Domain:
    if not is_name(text):
        raise SelectorTextError(f"{text!r} is no domain: names are lower snake case, like analytics")
    return Domain(text)


def _key(text: str) -> OpenKey:
    try:
        return OpenKey.parse(text)
    except Refusal as refusal:
        raise SelectorTextError(f"{refusal}; `coherd keys explain KEY` says what is wrong with it") from None


def _is_key(text: str) -> bool:
    try:
        OpenKey.parse(text)
    except Refusal:
        return False
    return True


_KINDS: Final[dict[str, Callable[[str], CliSelector]]] = {
    "tag": _tag,
    "resource": _resource,
    "domain": _domain,
    "key": _key,
}
