"""What is wrong with text that is no key of a catalog: every problem, part by part, and the key it was probably meant
to be. Pure. The contract's own errors stop at the first problem and never show a value; this is for whoever typed it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from coherd.catalog.catalog import Catalog
from coherd.catalog.declared import DomainSpec, IdentifierSpec, Kind, ResourceSpec
from coherd.compat.migration import CacheMigrationHelper
from coherd.contract import keys
from coherd.contract.reasons import Refusal

_DATE_DIGITS: Final = re.compile(r"([0-9]{4})[-./]?([0-9]{2})[-./]?([0-9]{2})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why text is no key."""

    problems: tuple[str, ...]
    """At least one; each is one line."""
    suggestion: str | None
    """A key of the catalog it was probably meant to be."""


def diagnose(text: str, catalog: Catalog) -> Diagnosis | None:
    """The problems of a text; None if it is a key of the catalog."""
    try:
        catalog.resolve(text)
    except Refusal as refusal:
        converted = _converted(text, catalog)
        if converted is not None:
            return Diagnosis(("an older form of a key, from before the catalog",), converted)
        problems, suggestion = _Doctor(catalog).examine(text)
        return Diagnosis(tuple(problems) or (str(refusal),), suggestion)
    return None


def _converted(text: str, catalog: Catalog) -> str | None:
    """The key of a text in one of the older forms that `coherd.compat` knows."""
    try:
        return catalog.resolve(CacheMigrationHelper.convert_legacy_key(text)).text
    except Refusal:
        return None


class _Doctor:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def examine(self, text: str) -> tuple[list[str], str | None]:
        try:
            keys.check_length(text)
        except Refusal as refusal:
            return [str(refusal)], None
        problems: list[str] = []
        if text != text.strip():
            problems.append("white space stands around the key")
        domain_text, *rest = text.strip().split(":")
        domain = self._domain(domain_text, problems)
        if not rest:
            known = ", ".join(domain.resources) if domain else ""
            problems.append("there is no resource behind the domain" + (f"; it has: {known}" if known else ""))
            return problems, None
        if domain is None:
            return problems, None
        resource_text, *parts = rest
        meant = domain.resources.get(resource_text) or self._resource(domain, resource_text, problems)
        if meant is not None:
            values = self._declared(meant, parts, problems, open_domain=domain.open)
        elif domain.open and keys.is_name(resource_text):
            values = self._undeclared(parts, problems)
        else:
            values = None
        return problems, self._suggest(text, domain, meant.name if meant else resource_text, values)

    def _domain(self, text: str, problems: list[str]) -> DomainSpec | None:
        domain = self._catalog.domains.get(text)
        if domain is not None:
            return domain
        near = nearest(text, self._catalog.domains)
        known = ", ".join(self._catalog.domains)
        hint = f"did you mean {near!r}?" if near else f"there are: {known}"
        problems.append(f"{text!r} is no domain of the catalog; {hint}")
        return self._catalog.domains[near] if near else None

    def _resource(self, domain: DomainSpec, text: str, problems: list[str]) -> ResourceSpec | None:
        near = nearest(text, domain.resources)
        hint = f"did you mean {near!r}?" if near else f"it has: {', '.join(domain.resources) or 'none'}"
        if not keys.is_name(text):
            problems.append(f"{text!r} cannot name a resource: names are lower snake case, 1..64 characters; {hint}")
        elif not domain.open:
            problems.append(f"domain {domain.name!r} has no resource {text!r}; {hint}")
        else:
            return None
        return domain.resources[near] if near else None

    def _declared(
        self, resource: ResourceSpec, parts: list[str], problems: list[str], *, open_domain: bool
    ) -> dict[str, str] | None:
        declared = {identifier.name: identifier for identifier in resource.identifiers}
        where = f"{resource.domain}:{resource.name}"
        if declared and not set(parts[0::2]) & set(declared) and len(parts) == len(declared):
            problems.append(f"values stand without the names of identifiers; the pattern is {resource.key_pattern}")
            pairs = list(zip(declared, parts, strict=True))
        else:
            if len(parts) % 2:
                tail = parts.pop()
                if tail in declared:
                    problems.append(f"identifier {tail!r} has no value")
                elif not open_domain:
                    problems.append(f"{tail!r} stands behind the identifiers: {resource.domain!r} allows no suffix")
            pairs = list(zip(parts[0::2], parts[1::2], strict=True))
        values: dict[str, str] | None = {}
        for name, encoded in pairs:
            if name not in declared:
                near = nearest(name, declared)
                hint = f"did you mean {near!r}?" if near else f"it has: {', '.join(declared) or 'none'}"
                problems.append(f"{where} has no identifier {name!r}; {hint}")
                if near is None or (values is not None and near in values):
                    values = None
                    continue
                name = near
            fixed = self._typed_value(declared[name], encoded, problems)
            if values is not None and fixed is not None:
                values[name] = fixed
            else:
                values = None
        given = [name for name, _ in pairs if name in declared]
        for name in given:
            if given.count(name) > 1 and f"identifier {name!r} stands twice" not in problems:
                problems.append(f"identifier {name!r} stands twice")
        missing = [name for name in declared if name not in given and (values is None or name not in values)]
        problems.extend(f"identifier {name!r} is missing" for name in missing)
        in_order = [name for name in declared if name in given]
        if len(set(given)) == len(given) and given != in_order:
            problems.append(f"the identifiers stand in the wrong order; the order is {', '.join(declared)}")
        return None if missing else values

    def _undeclared(self, parts: list[str], problems: list[str]) -> dict[str, str] | None:
        suffix = parts.pop() if len(parts) % 2 else None
        values: dict[str, str] | None = {}
        for name, encoded in zip(parts[0::2], parts[1::2], strict=True):
            if not keys.is_name(name):
                problems.append(f"{name!r} cannot name an identifier: names are lower snake case, 1..64 characters")
            elif values is not None and name in values:
                problems.append(f"identifier {name!r} stands twice")
            value = self._decoded(name, encoded, problems)
            values = {**values, name: value} if values is not None and value is not None else None
        if suffix is not None:
            self._decoded("suffix", suffix, problems)
            return None
        return values

    def _typed_value(self, identifier: IdentifierSpec, encoded: str, problems: list[str]) -> str | None:
        value = self._decoded(identifier.name, encoded, problems)
        if value is None:
            return None
        try:
            return identifier.text(value)
        except Refusal as refusal:
            fixed = _repaired(identifier, value)
            problems.append(f"{refusal}, not {value!r}" + (f"; write {fixed!r}" if fixed else ""))
            return fixed

    def _decoded(self, name: str, encoded: str, problems: list[str]) -> str | None:
        if not encoded:
            problems.append(f"identifier {name!r} is empty")
            return None
        try:
            return keys.decode_value(encoded)
        except Refusal as refusal:
            try:
                value = unquote(encoded, errors="strict")
                proper = keys.encode_value(value, name=name)
            except (UnicodeError, Refusal):
                problems.append(f"the value of {name!r}: {refusal}")
                return None
            problems.append(f"the value of {name!r} is not canonical: write {proper!r}, not {encoded!r}")
            return value

    def _suggest(self, text: str, domain: DomainSpec, resource: str, values: dict[str, str] | None) -> str | None:
        if values is None:
            return None
        try:
            key = self._catalog.build(domain.name, resource, values)
        except Refusal:
            return None
        return key if key != text else None


def nearest(text: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant, if there is one."""
    normal = text.lower().replace("-", "_").replace(" ", "_")
    return next(iter(difflib.get_close_matches(normal, list(names), n=1, cutoff=0.7)), None)


def _repaired(identifier: IdentifierSpec, value: str) -> str | None:
    """The canonical text a value was probably meant to be."""
    candidates: list[str] = []
    if identifier.kind is Kind.DATE and (match := _DATE_DIGITS.fullmatch(value)):
        candidates.append("".join(match.groups()))
    elif identifier.kind is Kind.INTEGER and (integer := re.fullmatch(r"([+-]?)([0-9]{1,20})[a-z]*", value, re.ASCII)):
        sign = "-" if integer[1] == "-" else ""
        candidates.append(f"{sign}{int(integer[2])}{identifier.unit}")
    elif identifier.kind in (Kind.BOOL, Kind.ENUM):
        candidates.append(value.lower())
    for candidate in candidates:
        try:
            return identifier.text(candidate)
        except Refusal:
            continue
    return None
