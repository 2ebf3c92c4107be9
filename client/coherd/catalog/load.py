"""Read a catalog from Protobuf descriptors: services with the `coherd.v1.domain` option (docs/use/catalog.md).

Options are read from the file descriptors themselves, so loading needs no generated code and leaves the process's
default descriptor pool alone. Every problem of every file is reported at once.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
from collections.abc import Sequence
from typing import Final

from google.protobuf.descriptor_pb2 import (
    FileDescriptorProto,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

from coherd.catalog import options
from coherd.catalog.catalog import Catalog
from coherd.catalog.declared import JSON_TYPE, CatalogError, DomainSpec, OnFailover, ResourceSpec
from coherd.catalog.descriptor_sets import Source, bare_bytes, checked_pool, merge_sets
from coherd.catalog.read_identifiers import read_identifiers, snake_case
from coherd.catalog.read_invalidations import read_invalidations
from coherd.catalog.read_policies import read_policy
from coherd.catalog.source_files import SourceFiles
from coherd.contract.keys import MAX_KEY_BYTES, is_name
from coherd.contract.near_cache import NearCacheMode
from coherd.contract.ttl import TtlPolicy
from coherd.v1 import annotations_pb2

_RESERVED: Final = "coherd"
_OWN_PACKAGES: Final = ("coherd.v1.", "grpc.")
"""Packages, with a dot behind, whose services the server has itself."""


def builtin_source() -> Source:
    """The descriptor set of the built-in catalog."""
    return Source("built-in", importlib.resources.files("coherd.domains").joinpath("builtin.binpb").read_bytes())


@functools.cache
def builtin_catalog() -> Catalog:
    """The built-in catalog (docs/use/catalog-reference.md)."""
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
    return _Reader(source, merged.sets, partial).catalog()


class _Reader:
    """One pass over the files; collects problems instead of stopping at the first."""

    def __init__(self, source: SourceFiles, sets: Sequence[tuple[str, frozenset[str]]], partial: bool) -> None:
        self._files = source.files
        self._sets = sets
        self._partial = partial
        self._source = source
        self._problems = self._source.problems

    def catalog(self) -> Catalog:
        domains: dict[str, DomainSpec] = {}
        for file in self._files:
            for index, service in enumerate(file.service):
                option = options.domain_of(service)
                self._refuse_own(file, service, option)
                if option is not None:
                    self._domain(file, index, service, option, domains)
                else:
                    self._no_domain(f"{file.name}: service {service.name}", service)
        invalidations = read_invalidations(self._source, domains, partial=self._partial)
        if not self._partial:
            self._refuse_idle_sets()
        if self._problems:
            raise CatalogError(self._problems)
        digest = hashlib.blake2b(digest_size=16)
        for file in sorted(self._files, key=lambda f: f.name):
            digest.update(bare_bytes(file))
        files = {file.name: file.SerializeToString() for file in self._files}
        return Catalog(domains, invalidations, files, digest.hexdigest())

    def _refuse_idle_sets(self) -> None:
        """A set without any declaration: most likely the option of its domain was forgotten."""
        declaring = {file.name for file in self._files if options.declares(file)}
        for name, held in self._sets:
            if not held & declaring:
                self._problems.append(f"{name}: no service carries the option (coherd.v1.domain): the catalog is empty")
        if not self._sets:
            self._problems.append("no descriptor set is given: the catalog is empty")

    def _refuse_own(
        self, file: FileDescriptorProto, service: ServiceDescriptorProto, option: annotations_pb2.Domain | None
    ) -> None:
        """Services of the server itself are no domains, and declared nowhere else."""
        package = f"{file.package}."
        elsewhere = not file.name.startswith(package.replace(".", "/"))
        if package.startswith(_OWN_PACKAGES) and (elsewhere or option is not None):
            self._problems.append(
                f"{file.name}: service {service.name}: the package {file.package} is the server's own"
            )

    def _no_domain(self, where: str, service: ServiceDescriptorProto) -> None:
        self._source.refuse_unknown(service.options, where)
        for method in service.method:
            if options.has_resource(method):
                self._problems.append(
                    f"{where}, rpc {method.name}: has the option (coherd.v1.resource), but its service has no"
                    " (coherd.v1.domain)"
                )

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
        for who in sorted(set(option.personal) - tags - known):
            if not option.open or not is_name(who):
                self._problems.append(f"{where}: personal {who!r} is not an identifier of any of its resources")
        for role in ("readers", "writers", "invalidators"):
            if not all(map(str.strip, getattr(option, role))):
                self._problems.append(f"{where}: {role} lists an empty name, which no principal has")
        if option.wait_replicas > 8:
            self._problems.append(f"{where}: wait_replicas must be in 0..8")
        domains[name] = DomainSpec(
            name=name,
            resources=resources,
            policy=policy,
            tags=tags,
            any_tags=frozenset(),
            near_cache=options.NEAR_CACHE_MODES.get(option.near_cache, NearCacheMode.OFF),
            on_failover=options.ON_FAILOVER.get(option.on_failover, OnFailover.DROP),
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
        spec = ResourceSpec(
            domain=domain,
            name=name,
            identifiers=read_identifiers(self._source, method.input_type),
            value_type=value_type,
            policy=read_policy(self._problems, where, option, inherited),
            json_object=option.json_object,
            shared=option.shared,
            key_type=method.input_type.lstrip("."),
            method=f"/{service}/{method.name}",
            documentation=documentation,
        )
        if spec.shortest_key > MAX_KEY_BYTES:
            self._problems.append(
                f"{where}: its shortest key has {spec.shortest_key} bytes, a key has at most {MAX_KEY_BYTES}"
            )
        return spec
