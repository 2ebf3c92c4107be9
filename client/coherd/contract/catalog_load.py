"""Read a catalog from Protobuf descriptors: services with the `coherd.v1.domain` option (DESIGN section 3).

Options are read from the file descriptors themselves, so loading needs no generated code and leaves the process's
default descriptor pool alone. Every problem of every file is reported at once.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from coherd.contract import options
from coherd.contract.catalog import Catalog
from coherd.contract.comments import Comments
from coherd.contract.declared import (
    JSON_TYPE,
    CatalogError,
    DomainSpec,
    IdentifierSpec,
    InvalidationSpec,
    Kind,
    NearCacheMode,
    OnFailover,
    ResourceSpec,
    TagPattern,
)
from coherd.contract.descriptor_sets import Source, bare_bytes, check_links, link_pool, merge_sets
from coherd.contract.keys import is_name
from coherd.contract.ttl import DEFAULT_MAX_TTL_MS, PolicySource, TtlPolicy
from coherd.v1 import annotations_pb2

__all__ = ["Source", "builtin_catalog", "builtin_source", "link_pool", "load_catalog", "snake_case"]

_Field = FieldDescriptorProto
_INTEGERS: Final[dict[int, tuple[str, int, int]]] = {
    _Field.TYPE_INT32: ("int32", -(2**31), 2**31 - 1),
    _Field.TYPE_SINT32: ("sint32", -(2**31), 2**31 - 1),
    _Field.TYPE_SFIXED32: ("sfixed32", -(2**31), 2**31 - 1),
    _Field.TYPE_UINT32: ("uint32", 0, 2**32 - 1),
    _Field.TYPE_FIXED32: ("fixed32", 0, 2**32 - 1),
    _Field.TYPE_INT64: ("int64", -(2**63), 2**63 - 1),
    _Field.TYPE_SINT64: ("sint64", -(2**63), 2**63 - 1),
    _Field.TYPE_SFIXED64: ("sfixed64", -(2**63), 2**63 - 1),
    _Field.TYPE_UINT64: ("uint64", 0, 2**64 - 1),
    _Field.TYPE_FIXED64: ("fixed64", 0, 2**64 - 1),
}
_NEAR: Final = {0: NearCacheMode.OFF, 1: NearCacheMode.OFF, 2: NearCacheMode.PUSH, 3: NearCacheMode.STRICT}
_FAILOVER: Final = {0: OnFailover.DROP, 1: OnFailover.DROP, 2: OnFailover.KEEP}
_TAG_PATTERN: Final = re.compile(r"([a-z][a-z0-9_]*)/([a-z][a-z0-9_]*)(:\*)?")
_RESERVED: Final = "coherd"


def builtin_source() -> Source:
    """The descriptor set of the built-in catalog."""
    return Source("built-in", importlib.resources.files("coherd.domains").joinpath("builtin.binpb").read_bytes())


@functools.cache
def builtin_catalog() -> Catalog:
    """The built-in catalog (DESIGN section 3)."""
    return load_catalog([builtin_source()])


def load_catalog(sources: Sequence[Source], *, partial: bool = False) -> Catalog:
    """The catalog of one or more compiled descriptor sets (``protoc --include_imports --descriptor_set_out``).

    Comments become documentation where the set has them (``--include_source_info``).

    Args:
        sources: the sets.
        partial: they are part of a catalog, as a protoc plugin sees it: no domain at all is fine, and so is a named
            invalidation of domains that are declared elsewhere.

    Raises:
        CatalogError: with every problem found.
    """
    files = merge_sets(sources)
    check_links(files)
    return _Reader(list(files.values()), partial).catalog()


class _Reader:
    """One pass over the files; collects problems instead of stopping at the first."""

    def __init__(self, files: Sequence[FileDescriptorProto], partial: bool) -> None:
        self._files = files
        self._partial = partial
        self._problems: list[str] = []
        self._messages: dict[str, tuple[DescriptorProto, FileDescriptorProto, tuple[int, ...]]] = {}
        self._enums: dict[str, EnumDescriptorProto] = {}
        self._comments = {file.name: Comments(file) for file in files}

    def catalog(self) -> Catalog:
        for file in self._files:
            prefix = f".{file.package}" if file.package else ""
            self._index(file, file.message_type, file.enum_type, prefix, (4,))
        domains: dict[str, DomainSpec] = {}
        for file in self._files:
            for index, service in enumerate(file.service):
                option = options.domain_of(service)
                if option is not None:
                    self._domain(file, index, service, option, domains)
                else:
                    self._refuse_unknown(service.options, f"{file.name}: service {service.name}")
        invalidations = self._invalidations(domains)
        if not domains and not self._partial and not self._problems:
            self._problems.append("no service carries the option (coherd.v1.domain): the catalog is empty")
        if self._problems:
            raise CatalogError(self._problems)
        digest = hashlib.blake2b(digest_size=16)
        for file in sorted(self._files, key=lambda f: f.name):
            digest.update(bare_bytes(file))
        files = {file.name: file.SerializeToString() for file in self._files}
        return Catalog(domains, invalidations, files, digest.hexdigest())

    def _index(
        self,
        file: FileDescriptorProto,
        messages: Iterable[DescriptorProto],
        enums: Iterable[EnumDescriptorProto],
        prefix: str,
        path: tuple[int, ...],
    ) -> None:
        for enum in enums:
            self._enums[f"{prefix}.{enum.name}"] = enum
        for index, message in enumerate(messages):
            self._messages[f"{prefix}.{message.name}"] = (message, file, (*path, index))
            self._index(file, message.nested_type, message.enum_type, f"{prefix}.{message.name}", (*path, index, 3))

    def _domain(
        self,
        file: FileDescriptorProto,
        index: int,
        service: ServiceDescriptorProto,
        option: annotations_pb2.Domain,
        domains: dict[str, DomainSpec],
    ) -> None:
        where = f"{file.name}: service {service.name}"
        self._refuse_unknown(service.options, where)
        name = option.name
        if not is_name(name):
            self._problems.append(f"{where}: name {name!r} must be lower snake case, 1..64 characters")
            return
        if name == _RESERVED:
            self._problems.append(f"{where}: the name {name!r} is reserved")
        if name in domains:
            self._problems.append(f"{where}: domain {name!r} is declared twice, also by {domains[name].service}")
            return
        policy = self._policy(where, option, None)
        full_name = f"{file.package}.{service.name}".lstrip(".")
        resources: dict[str, ResourceSpec] = {}
        personal = set(option.personal)
        for number, method in enumerate(service.method):
            documentation = self._comment(file, (6, index, 2, number))
            resource = self._resource(where, name, full_name, method, policy, documentation)
            if resource is None:
                continue
            if resource.name in resources:
                self._problems.append(f"{where}: resource {resource.name!r} is declared twice")
            resources[resource.name] = resource
            personal |= {identifier.name for identifier in resource.identifiers if identifier.personal}
        if not resources and not option.open:
            self._problems.append(f"{where}: declares no resource and is not open")
        tags = frozenset(option.tags)
        if len(tags) != len(option.tags):
            self._problems.append(f"{where}: a tag is listed twice")
        known = {identifier.name for resource in resources.values() for identifier in resource.identifiers}
        for tag in sorted(tags - known):
            if not option.open or not is_name(tag):
                self._problems.append(f"{where}: tag {tag!r} is not an identifier of any of its resources")
        if option.wait_replicas > 8:
            self._problems.append(f"{where}: wait_replicas must be in 0..8")
        domains[name] = DomainSpec(
            name=name,
            resources=resources,
            policy=policy,
            tags=tags,
            any_tags=frozenset(),
            near_cache=_NEAR.get(option.near_cache, NearCacheMode.OFF),
            on_failover=_FAILOVER.get(option.on_failover, OnFailover.DROP),
            open=option.open,
            sensitive=option.sensitive,
            personal=frozenset(personal),
            readers=frozenset(option.readers),
            writers=frozenset(option.writers),
            invalidators=frozenset(option.invalidators),
            wait_replicas=option.wait_replicas,
            service=full_name,
            documentation=self._comment(file, (6, index)),
        )

    def _resource(
        self,
        where: str,
        domain: str,
        service: str,
        method: MethodDescriptorProto,
        inherited: TtlPolicy,
        documentation: str,
    ) -> ResourceSpec | None:
        where = f"{where}, rpc {method.name}"
        option = options.resource_of(method)
        self._refuse_unknown(method.options, where)
        name = option.name or snake_case(method.name)
        if not is_name(name):
            self._problems.append(f"{where}: name {name!r} must be lower snake case, 1..64 characters")
            return None
        if method.client_streaming or method.server_streaming:
            self._problems.append(f"{where}: a resource is a unary rpc")
        value_type = method.output_type.lstrip(".")
        if option.json_object and value_type != JSON_TYPE:
            self._problems.append(f"{where}: json_object needs {JSON_TYPE} as the value")
        return ResourceSpec(
            domain=domain,
            name=name,
            identifiers=self._identifiers(where, method.input_type),
            value_type=value_type,
            policy=self._policy(where, option, inherited),
            json_object=option.json_object,
            key_type=method.input_type.lstrip("."),
            method=f"/{service}/{method.name}",
            documentation=documentation,
        )

    def _identifiers(self, where: str, key_type: str) -> tuple[IdentifierSpec, ...]:
        message, file, path = self._messages[key_type]
        found: list[IdentifierSpec] = []
        for index, declared in enumerate(message.field):
            documentation = self._comment(file, (*path, 2, index))
            spec = self._identifier(f"{file.name}: {message.name}.{declared.name}", declared, documentation)
            if spec is not None:
                found.append(spec)
        return tuple(found)

    def _identifier(self, where: str, declared: FieldDescriptorProto, documentation: str) -> IdentifierSpec | None:
        option = options.identifier_of(declared)
        self._refuse_unknown(declared.options, where)
        if not is_name(declared.name):
            self._problems.append(f"{where}: an identifier is named in lower snake case, 1..64 characters")
            return None
        if declared.label == _Field.LABEL_REPEATED or declared.HasField("oneof_index"):
            self._problems.append(f"{where}: an identifier is a plain field, not repeated, optional or in a oneof")
            return None
        is_date = option.format == annotations_pb2.DATE
        if is_date and declared.type != _Field.TYPE_STRING:
            self._problems.append(f"{where}: format DATE needs a string field")
        if option.unit and (declared.type not in _INTEGERS or not re.fullmatch("[a-z]{1,8}", option.unit)):
            self._problems.append(f"{where}: a unit is 1..8 lower-case letters behind an integer")
        common = IdentifierSpec(
            declared.name, Kind.STRING, "string", personal=option.personal, documentation=documentation
        )
        if is_date:
            return replace(common, kind=Kind.DATE, type_name="date")
        if declared.type == _Field.TYPE_STRING:
            return common
        if declared.type == _Field.TYPE_BOOL:
            return replace(common, kind=Kind.BOOL, type_name="bool")
        if declared.type in _INTEGERS:
            type_name, low, high = _INTEGERS[declared.type]
            return replace(common, kind=Kind.INTEGER, type_name=type_name, low=low, high=high, unit=option.unit)
        if declared.type == _Field.TYPE_ENUM:
            texts = self._enum_texts(where, declared.type_name)
            return replace(common, kind=Kind.ENUM, type_name=declared.type_name.lstrip("."), texts=texts)
        self._problems.append(f"{where}: an identifier is a string, bool, integer, enum or date")
        return None

    def _enum_texts(self, where: str, type_name: str) -> tuple[tuple[int, str], ...]:
        enum = self._enums[type_name]
        prefix = snake_case(enum.name).upper() + "_"
        texts: dict[int, str] = {}
        for value in enum.value:
            text = value.name.removeprefix(prefix).lower()
            if value.number == 0 and text in ("unspecified", "unknown"):
                continue
            if not text:
                self._problems.append(f"{where}: enum {enum.name} has a value whose key text would be empty")
            if value.number in texts or text in texts.values():
                self._problems.append(f"{where}: enum {enum.name} has two values for one key text or number")
            texts[value.number] = text
        return tuple(texts.items())

    def _policy(
        self, where: str, option: annotations_pb2.Domain | annotations_pb2.Resource, inherited: TtlPolicy | None
    ) -> TtlPolicy:
        declared = option.policy
        ttl_ms = self._duration_ms(f"{where}: ttl", option.ttl) if option.HasField("ttl") else None
        if inherited is None:
            if ttl_ms is None:
                self._problems.append(f"{where}: a domain needs a ttl")
                ttl_ms = DEFAULT_MAX_TTL_MS
            base = TtlPolicy(ttl_ms, max(DEFAULT_MAX_TTL_MS, ttl_ms))
        elif ttl_ms is not None:
            base = TtlPolicy(
                ttl_ms,
                max(inherited.max_ttl_ms, ttl_ms),
                inherited.stale_ms,
                inherited.negative_ms,
                inherited.jitter,
                inherited.early_refresh,
                PolicySource.RESOURCE,
            )
        else:
            base = inherited

        def pick(name: str, default: int) -> int:
            if not declared.HasField(name):
                return default
            return self._duration_ms(f"{where}: policy.{name}", getattr(declared, name))

        policy = TtlPolicy(
            base.ttl_ms,
            pick("max", base.max_ttl_ms),
            pick("stale", base.stale_ms),
            pick("negative", base.negative_ms),
            declared.jitter or base.jitter,
            declared.early_refresh or base.early_refresh,
            base.source,
        )
        try:
            policy.check()
        except ValueError as error:
            self._problems.append(f"{where}: {error}")
        return policy

    def _duration_ms(self, where: str, duration: Duration) -> int:
        if duration.nanos % 1_000_000:
            self._problems.append(f"{where}: durations are whole milliseconds")
        return duration.seconds * 1000 + duration.nanos // 1_000_000

    def _invalidations(self, domains: dict[str, DomainSpec]) -> dict[str, InvalidationSpec]:
        found: dict[str, InvalidationSpec] = {}
        for file in self._files:
            self._refuse_unknown(file.options, file.name)
            for option in options.invalidations_of(file):
                where = f"{file.name}: invalidation {option.name!r}"
                if not is_name(option.name):
                    self._problems.append(f"{where}: the name must be lower snake case, 1..64 characters")
                if option.name in found:
                    self._problems.append(f"{where}: declared twice")
                if not option.tags:
                    self._problems.append(f"{where}: lists no tags")
                patterns = tuple(p for text in option.tags if (p := self._tag_pattern(where, text, domains)))
                found[option.name] = InvalidationSpec(
                    option.name,
                    option.summary,
                    patterns,
                    is_date=option.format == annotations_pb2.DATE,
                    personal=any(p.domain in domains and p.identifier in domains[p.domain].personal for p in patterns),
                )
        return found

    def _tag_pattern(self, where: str, text: str, domains: dict[str, DomainSpec]) -> TagPattern | None:
        match = _TAG_PATTERN.fullmatch(text)
        if match is None:
            self._problems.append(f'{where}: tag {text!r} must be written "domain/identifier" or "domain/identifier:*"')
            return None
        pattern = TagPattern(match[1], match[2], bool(match[3]))
        domain = domains.get(pattern.domain)
        if domain is None:
            if self._partial:
                return pattern
            self._problems.append(f"{where}: tag {text!r}: no such domain")
            return None
        if pattern.identifier not in domain.tags:
            self._problems.append(f"{where}: tag {text!r}: the domain does not declare {pattern.identifier!r} as a tag")
            return None
        if pattern.any_value:
            domains[pattern.domain] = replace(domain, any_tags=domain.any_tags | {pattern.identifier})
        return pattern

    def _comment(self, file: FileDescriptorProto, path: tuple[int, ...]) -> str:
        try:
            return self._comments[file.name].of(path)
        except CatalogError as error:
            self._problems += error.problems
            return ""

    def _refuse_unknown(self, declared: Message, where: str) -> None:
        self._problems += [f"{where}: {problem}" for problem in options.unknown_options(declared)]


def snake_case(name: str) -> str:
    """``MoodTrends`` -> ``mood_trends``, ``AIModel`` -> ``ai_model``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
