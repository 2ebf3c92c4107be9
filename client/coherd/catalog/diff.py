"""What changes between two versions of a catalog, and whether stored entries survive it. Pure.

`buf breaking` sees none of this: a reordered key message, a unit or another tag are compatible Protobuf.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from coherd.catalog.catalog import Catalog
from coherd.catalog.change import NEW_RESOURCE, Change, Severity
from coherd.catalog.declared import DomainSpec, IdentifierSpec, InvalidationSpec, Kind, ResourceSpec
from coherd.catalog.descriptor_sets import link_pool
from coherd.catalog.message_diff import compare_messages
from coherd.contract.durations import format_duration
from coherd.contract.ttl import TtlPolicy

_T = TypeVar("_T")
_STAY: Final = "entries keep the times they were stored with"
_ACCESS: Final = "it holds for each caller once its server has it"
_TAGS: Final = "entries become misses; invalidate by a new tag only when every server knows it"
_DOMAIN_FIELDS: Final = {
    "near_cache": "no near cache serves while servers differ",
    "on_failover": "entries become misses",
    "sensitive": _ACCESS,
    "wait_replicas": "",
}
_DOMAIN_SETS: Final = {
    "tags": _TAGS,
    "any_tags": _TAGS,
    "personal": "",
    "readers": _ACCESS,
    "writers": _ACCESS,
    "invalidators": _ACCESS,
}
_DURATIONS: Final = ("ttl_ms", "max_ttl_ms", "stale_ms", "negative_ms")
_FACTORS: Final = ("jitter", "early_refresh")
_SERVERS_FIRST: Final = "roll out the servers before the clients that use it"
_ORDER: Final = list(Severity)


def compare(old: Catalog, new: Catalog) -> list[Change]:
    """Every difference that matters, the worst first, else in the order of the old catalog."""
    return sorted(_Comparison(old, new).changes(), key=lambda change: _ORDER.index(change.severity))


class _Comparison:
    """Of two catalogs."""

    def __init__(self, old: Catalog, new: Catalog) -> None:
        self._old, self._new = old, new
        self._old_pool, self._new_pool = _pool_of(old), _pool_of(new)

    def changes(self) -> Iterator[Change]:
        old, new = self._old, self._new
        for name, domain in old.domains.items():
            if name in new.domains:
                yield from self._domain(domain, new.domains[name])
            else:
                text = "domain removed or renamed: its keys are refused"
                yield Change(Severity.BREAKING, name, text, "remove it when no caller uses it any more")
        for name in _added(old.domains, new.domains):
            yield Change(Severity.NOTICE, name, "domain added", _SERVERS_FIRST)
        for name, invalidation in old.invalidations.items():
            if name in new.invalidations:
                yield from _invalidation(invalidation, new.invalidations[name])
            else:
                text = "removed or renamed: calls by this name are refused"
                yield Change(Severity.NOTICE, f"invalidation {name}", text, "remove it when no caller uses it any more")
        for name in _added(old.invalidations, new.invalidations):
            yield Change(Severity.NOTICE, f"invalidation {name}", "added", _SERVERS_FIRST)

    def _domain(self, old: DomainSpec, new: DomainSpec) -> Iterator[Change]:
        if old.open and not new.open:
            text = "no longer open: undeclared resources and suffixes are refused"
            yield Change(Severity.BREAKING, old.name, text, "declare the resources that are in use first")
        elif new.open and not old.open:
            yield Change(Severity.NOTICE, old.name, "now open: keys of undeclared resources are allowed")
        for field, todo in _DOMAIN_FIELDS.items():
            yield from _value(old.name, field, getattr(old, field), getattr(new, field), todo)
        for field, todo in _DOMAIN_SETS.items():
            yield from _value(old.name, field, _listed(getattr(old, field)), _listed(getattr(new, field)), todo)
        yield from _policy(old.name, old.policy, new.policy)
        for name, resource in old.resources.items():
            if name in new.resources:
                yield from self._resource(resource, new.resources[name])
            else:
                fate = "its keys become undeclared ones, with JSON values" if new.open else "its keys are refused"
                text = f"resource removed or renamed: {fate}"
                yield Change(Severity.BREAKING, f"{old.name}:{name}", text, "remove it when no caller uses it any more")
        for name in _added(old.resources, new.resources):
            element = f"{old.name}:{name}"
            if old.open:
                text = "resource added: its keys must now have its identifiers"
                yield Change(Severity.NOTICE, element, text, _SERVERS_FIRST)
            else:
                yield Change(Severity.NOTICE, element, "resource added", _SERVERS_FIRST)

    def _resource(self, old: ResourceSpec, new: ResourceSpec) -> Iterator[Change]:
        element = f"{old.domain}:{old.name}"
        if old.key_pattern != new.key_pattern:
            text = f"key text {old.key_pattern} -> {new.key_pattern}"
            yield Change(Severity.BREAKING, element, text, NEW_RESOURCE)
        else:
            pairs = list(zip(old.identifiers, new.identifiers, strict=True))
            for before, after in pairs:
                yield from _identifier(element, before, after)
            if all(before.type_name == after.type_name for before, after in pairs):
                yield from self._messages(element, "key", old.key_type, new.key_type)
        if old.value_type != new.value_type:
            text = f"value type {old.value_type} -> {new.value_type}"
            yield Change(Severity.BREAKING, element, text, NEW_RESOURCE)
        else:
            yield from self._messages(element, "value", old.value_type, new.value_type)
        todo = "documents that are stored are not looked at again"
        yield from _value(element, "json_object", old.json_object, new.json_object, todo)
        todo = "callers that alter what they get must say shared=False before they generate their keys anew"
        yield from _value(element, "shared", old.shared, new.shared, todo if new.shared else "")
        yield from _policy(element, old.policy, new.policy)

    def _messages(self, element: str, what: str, old: str, new: str) -> Iterator[Change]:
        """How the messages differ: of a key what typed reads send, of a value what is stored."""
        if self._old_pool is not None and self._new_pool is not None:
            before, after = self._old_pool.FindMessageTypeByName(old), self._new_pool.FindMessageTypeByName(new)
            yield from compare_messages(element, what, before, after)


def _pool_of(catalog: Catalog) -> DescriptorPool | None:
    """Its messages; None where they are not known, as of a catalog that a server described."""
    files = {name: FileDescriptorProto.FromString(data) for name, data in catalog.files.items()}
    return link_pool(files) if files else None


def _identifier(element: str, old: IdentifierSpec, new: IdentifierSpec) -> Iterator[Change]:
    if old.type_name != new.type_name:
        what = f"identifier {old.name}: type {old.type_name} -> {new.type_name}"
        if old.kind is new.kind is Kind.INTEGER and new.low <= old.low and old.high <= new.high:
            yield Change(Severity.NOTICE, element, f"{what}: the text of every key stays", _SERVERS_FIRST)
        else:
            yield Change(Severity.BREAKING, element, what, NEW_RESOURCE)
    if old.unit != new.unit:
        what = f"identifier {old.name}: unit {old.unit or 'none'} -> {new.unit or 'none'}"
        yield Change(Severity.BREAKING, element, what, NEW_RESOURCE)
    if old.kind is new.kind is Kind.ENUM and old.type_name == new.type_name and old.texts != new.texts:
        texts = dict(new.texts)
        for number, text in old.texts:
            if texts.get(number) != text:
                now = texts.get(number, "removed")
                what = f"identifier {old.name}: value {number} {text} -> {now}"
                yield Change(Severity.BREAKING, element, what, "keep its name; add values with numbers of their own")
        for number in _added(dict(old.texts), texts):
            what = f"identifier {old.name}: value {number} {texts[number]} added"
            yield Change(Severity.NOTICE, element, what, _SERVERS_FIRST)
    yield from _value(f"{element} identifier {old.name}", "personal", old.personal, new.personal)


def _policy(element: str, old: TtlPolicy, new: TtlPolicy) -> Iterator[Change]:
    for field in _DURATIONS:
        before, after = format_duration(getattr(old, field)), format_duration(getattr(new, field))
        yield from _value(element, field.removesuffix("_ms"), before, after, _STAY)
    for field in _FACTORS:
        yield from _value(element, field, getattr(old, field), getattr(new, field))


def _invalidation(old: InvalidationSpec, new: InvalidationSpec) -> Iterator[Change]:
    element = f"invalidation {old.name}"
    todo = "servers of the old version go by the old list until they are gone"
    yield from _value(element, "tags", _listed(map(str, old.tags)), _listed(map(str, new.tags)), todo)
    yield from _value(element, "takes a day", old.is_date, new.is_date)


def _value(element: str, name: str, old: object, new: object, todo: str = "") -> Iterator[Change]:
    if old != new:
        before, after = (each.value if isinstance(each, enum.Enum) else each for each in (old, new))
        yield Change(Severity.NOTICE, element, f"{name} {before} -> {after}", todo)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _added(old: Iterable[_T], new: Iterable[_T]) -> list[_T]:
    known = set(old)
    return [each for each in new if each not in known]
