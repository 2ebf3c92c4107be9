"""What changes between two versions of a catalog, and whether stored entries survive it. Pure.

`buf breaking` sees none of this: a reordered key message, a unit or another tag are compatible Protobuf.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, TypeVar

from coherd.catalog.catalog import Catalog
from coherd.catalog.declared import DomainSpec, IdentifierSpec, InvalidationSpec, Kind, ResourceSpec
from coherd.contract.durations import format_duration
from coherd.contract.ttl import TtlPolicy


class Severity(enum.Enum):
    """What a change does to entries that are stored."""

    BREAKING = "breaking"
    """The text of a key or the type of a value changes: entries are lost, or read as something else."""
    NOTICE = "notice"
    """Keys and values stay; how long they live, what invalidates them or who may use them changes."""


class Change(NamedTuple):
    """One difference."""

    severity: Severity
    element: str
    """``analytics``, ``analytics:daily`` or ``invalidation user``."""
    text: str
    """What changed, from what to what; one line."""


_T = TypeVar("_T")
_DOMAIN_FIELDS: Final = ("near_cache", "on_failover", "sensitive", "wait_replicas")
_DOMAIN_SETS: Final = ("tags", "any_tags", "personal", "readers", "writers", "invalidators")
_DURATIONS: Final = ("ttl_ms", "max_ttl_ms", "stale_ms", "negative_ms")
_FACTORS: Final = ("jitter", "early_refresh")


def compare(old: Catalog, new: Catalog) -> list[Change]:
    """Every difference that matters, breaking ones first, else in the order of the old catalog."""
    return sorted(_changes(old, new), key=lambda change: change.severity is not Severity.BREAKING)


def _changes(old: Catalog, new: Catalog) -> Iterator[Change]:
    for name, domain in old.domains.items():
        if name in new.domains:
            yield from _domain(domain, new.domains[name])
        else:
            yield Change(Severity.BREAKING, name, "domain removed or renamed: its keys are refused")
    for name in _added(old.domains, new.domains):
        yield Change(Severity.NOTICE, name, "domain added")
    for name, invalidation in old.invalidations.items():
        if name in new.invalidations:
            yield from _invalidation(invalidation, new.invalidations[name])
        else:
            yield Change(Severity.NOTICE, f"invalidation {name}", "removed or renamed: calls by this name are refused")
    for name in _added(old.invalidations, new.invalidations):
        yield Change(Severity.NOTICE, f"invalidation {name}", "added")


def _domain(old: DomainSpec, new: DomainSpec) -> Iterator[Change]:
    if old.open and not new.open:
        yield Change(Severity.BREAKING, old.name, "no longer open: undeclared resources and suffixes are refused")
    elif new.open and not old.open:
        yield Change(Severity.NOTICE, old.name, "now open: keys of undeclared resources are allowed")
    for field in _DOMAIN_FIELDS:
        yield from _value(old.name, field, getattr(old, field), getattr(new, field))
    for field in _DOMAIN_SETS:
        yield from _value(old.name, field, _listed(getattr(old, field)), _listed(getattr(new, field)))
    yield from _policy(old.name, old.policy, new.policy)
    for name, resource in old.resources.items():
        if name in new.resources:
            yield from _resource(resource, new.resources[name])
        else:
            fate = "its keys become undeclared ones, with JSON values" if new.open else "its keys are refused"
            yield Change(Severity.BREAKING, f"{old.name}:{name}", f"resource removed or renamed: {fate}")
    for name in _added(old.resources, new.resources):
        element = f"{old.name}:{name}"
        if old.open:
            yield Change(Severity.NOTICE, element, "resource added: its keys must now have its identifiers")
        else:
            yield Change(Severity.NOTICE, element, "resource added")


def _resource(old: ResourceSpec, new: ResourceSpec) -> Iterator[Change]:
    element = f"{old.domain}:{old.name}"
    if old.key_pattern != new.key_pattern:
        yield Change(Severity.BREAKING, element, f"key text {old.key_pattern} -> {new.key_pattern}")
    else:
        for before, after in zip(old.identifiers, new.identifiers, strict=True):
            yield from _identifier(element, before, after)
    if old.value_type != new.value_type:
        yield Change(Severity.BREAKING, element, f"value type {old.value_type} -> {new.value_type}")
    yield from _value(element, "json_object", old.json_object, new.json_object)
    yield from _value(element, "shared", old.shared, new.shared)
    yield from _policy(element, old.policy, new.policy)


def _identifier(element: str, old: IdentifierSpec, new: IdentifierSpec) -> Iterator[Change]:
    for field in ("type_name", "unit"):
        before, after = getattr(old, field), getattr(new, field)
        if before != after:
            what = f"identifier {old.name}: {field.removesuffix('_name')} {before or 'none'} -> {after or 'none'}"
            yield Change(Severity.BREAKING, element, what)
    if old.kind is new.kind is Kind.ENUM and old.type_name == new.type_name and old.texts != new.texts:
        texts = dict(new.texts)
        for number, text in old.texts:
            if texts.get(number) != text:
                now = texts.get(number, "removed")
                yield Change(Severity.BREAKING, element, f"identifier {old.name}: value {number} {text} -> {now}")
        for number in _added(dict(old.texts), texts):
            yield Change(Severity.NOTICE, element, f"identifier {old.name}: value {number} {texts[number]} added")
    yield from _value(f"{element} identifier {old.name}", "personal", old.personal, new.personal)


def _policy(element: str, old: TtlPolicy, new: TtlPolicy) -> Iterator[Change]:
    for field in _DURATIONS:
        before, after = format_duration(getattr(old, field)), format_duration(getattr(new, field))
        yield from _value(element, field.removesuffix("_ms"), before, after)
    for field in _FACTORS:
        yield from _value(element, field, getattr(old, field), getattr(new, field))


def _invalidation(old: InvalidationSpec, new: InvalidationSpec) -> Iterator[Change]:
    element = f"invalidation {old.name}"
    yield from _value(element, "tags", _listed(map(str, old.tags)), _listed(map(str, new.tags)))
    yield from _value(element, "takes a day", old.is_date, new.is_date)


def _value(element: str, name: str, old: object, new: object) -> Iterator[Change]:
    if old != new:
        before, after = (each.value if isinstance(each, enum.Enum) else each for each in (old, new))
        yield Change(Severity.NOTICE, element, f"{name} {before} -> {after}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _added(old: Iterable[_T], new: Iterable[_T]) -> list[_T]:
    known = set(old)
    return [each for each in new if each not in known]
