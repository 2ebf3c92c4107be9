"""Read a catalog from Protobuf descriptors: services with the `coherd.v1.domain` option (DESIGN section 3).

Options are read from the file descriptors themselves, so loading needs no generated code and leaves the process's
default descriptor pool alone. Every problem of every file is reported at once.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from google.protobuf.descriptor_pb2 import (
    FileDescriptorProto,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

from coherd.contract import options
from coherd.contract.catalog import Catalog
from coherd.contract.declared import (
    JSON_TYPE,
    CatalogError,
    DomainSpec,
    InvalidationSpec,
    NearCacheMode,
    OnFailover,
    ResourceSpec,
    TagPattern,
)
from coherd.contract.descriptor_sets import Source, bare_bytes, checked_pool, link_pool, merge_sets
from coherd.contract.identifier_load import read_identifiers, snake_case
from coherd.contract.keys import is_name
from coherd.contract.policy_load import read_policy
from coherd.contract.source_files import SourceFiles
from coherd.contract.ttl import TtlPolicy
from coherd.v1 import annotations_pb2

__all__ = ["Source", "builtin_catalog", "builtin_source", "link_pool", "load_catalog"]

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
    merged = merge_sets(sources)
    source = SourceFiles(list(merged.files.values()), checked_pool(merged))
    return _Reader(source, partial).catalog()


class _Reader:
    """One pass over the files; collects problems instead of stopping at the first."""

    def __init__(self, source: SourceFiles, partial: bool) -> None:
        self._files = source.files
        self._partial = partial
        self._source = source
        self._problems = self._source.problems

    def catalog(self) -> Catalog:
        domains: dict[str, DomainSpec] = {}
        for file in self._files:
            for index, service in enumerate(file.service):
                option = options.domain_of(service)
                if option is not None:
                    self._domain(file, index, service, option, domains)
                else:
                    self._source.refuse_unknown(service.options, f"{file.name}: service {service.name}")
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

    def _domain(
        self,
        file: FileDescriptorProto,
        index: int,
        service: ServiceDescriptorProto,
        option: annotations_pb2.Domain,
        domains: dict[str, DomainSpec],
    ) -> None:
        where = f"{file.name}: service {service.name}"
        self._source.refuse_unknown(service.options, where)
        name = option.name
        if not is_name(name):
            self._problems.append(f"{where}: name {name!r} must be lower snake case, 1..64 characters")
            return
        if name == _RESERVED:
            self._problems.append(f"{where}: the name {name!r} is reserved")
        if name in domains:
            self._problems.append(f"{where}: domain {name!r} is declared twice, also by {domains[name].service}")
            return
        policy = read_policy(self._problems, where, option, None)
        full_name = f"{file.package}.{service.name}".lstrip(".")
        resources: dict[str, ResourceSpec] = {}
        personal = set(option.personal)
        for number, method in enumerate(service.method):
            documentation = self._source.comment(file, (6, index, 2, number))
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
            documentation=self._source.comment(file, (6, index)),
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
        self._source.refuse_unknown(method.options, where)
        name = option.name or snake_case(method.name)
        if not is_name(name):
            self._problems.append(f"{where}: name {name!r} must be lower snake case, 1..64 characters")
            return None
        unknown = [each for each in (method.input_type, method.output_type) if each not in self._source.messages]
        if unknown:
            self._source.refuse_relative(where, unknown[0])
            return None
        if method.client_streaming or method.server_streaming:
            self._problems.append(f"{where}: a resource is a unary rpc")
        value_type = method.output_type.lstrip(".")
        if option.json_object and value_type != JSON_TYPE:
            self._problems.append(f"{where}: json_object needs {JSON_TYPE} as the value")
        return ResourceSpec(
            domain=domain,
            name=name,
            identifiers=read_identifiers(self._source, method.input_type),
            value_type=value_type,
            policy=read_policy(self._problems, where, option, inherited),
            json_object=option.json_object,
            key_type=method.input_type.lstrip("."),
            method=f"/{service}/{method.name}",
            documentation=documentation,
        )

    def _invalidations(self, domains: dict[str, DomainSpec]) -> dict[str, InvalidationSpec]:
        found: dict[str, InvalidationSpec] = {}
        for file in self._files:
            self._source.refuse_unknown(file.options, file.name)
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
