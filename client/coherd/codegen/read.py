"""Read a protoc request into the model of the modules to generate."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Final

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest
from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet

from coherd.catalog.catalog import Catalog
from coherd.catalog.declared import JSON_TYPE, CatalogError, DomainSpec, IdentifierSpec, Kind, ResourceSpec
from coherd.catalog.descriptor_sets import Source
from coherd.catalog.load import load_catalog
from coherd.catalog.options import invalidations_of
from coherd.catalog.source_files import Comments
from coherd.codegen import names
from coherd.codegen.model import EnumType, Facade, Identifier, InvalidationClass, KeyClass, Module, PythonType
from coherd.key import parameter_name

_VERSION: Final = re.compile(r"v[0-9]+(?:(?:alpha|beta)[0-9]*)?")
_SYNTAX_PATHS: Final = ((12,), (14,), (2,))
"""Where a file's own comment stands: at its syntax, edition or package statement."""


def read_modules(request: CodeGeneratorRequest, *, facade: bool) -> list[Module]:
    """The modules to generate, one per requested file that declares a domain or a named invalidation.

    Args:
        request: as protoc sends it.
        facade: whether ``a/shop/v1/shop.proto`` also gets a package ``a/shop/__init__.py`` of its public names.

    Raises:
        CatalogError: the declarations are not a usable catalog, or Python cannot name what they declare.
    """
    files = FileDescriptorSet(file=request.proto_file).SerializeToString()
    catalog = load_catalog([Source("the request", files)], partial=True)
    types = dict(_python_types(request.proto_file))
    wanted = set(request.file_to_generate)
    problems: list[str] = []
    modules: list[Module] = []
    for file in request.proto_file:
        if file.name not in wanted:
            continue
        try:
            module = _module(file, catalog, types, facade)
        except ValueError as error:
            problems.append(str(error))
        else:
            if module is not None:
                modules.append(module)
    owners: dict[str, str] = {}
    for module in modules:
        if module.facade is not None:
            owner = owners.setdefault(module.facade.path, module.proto)
            if owner != module.proto:
                problems.append(f"{module.proto}: {module.facade.path} is also the facade of {owner}; leave facade out")
    if problems:
        raise CatalogError(problems)
    return modules


def _module(
    file: FileDescriptorProto, catalog: Catalog, types: dict[str, PythonType | str], facade: bool
) -> Module | None:
    """The module of a file; None if it declares nothing that is generated."""
    services = {f"{file.package}.{service.name}".lstrip(".") for service in file.service}
    keys = tuple(
        _key_class(file.name, domain, resource, types)
        for domain in catalog.domains.values()
        if domain.service in services
        for resource in domain.resources.values()
    )
    declared = [option.name for option in invalidations_of(file)]
    invalidations = tuple(InvalidationClass(names.class_name(name), catalog.invalidations[name]) for name in declared)
    if not keys and not invalidations:
        return None
    names.module_name(file.name, "_coherd")
    origins = [(key.name, f"resource {key.domain.name}:{key.resource.name}") for key in keys]
    origins += [(each.name, f"invalidation {each.spec.name}") for each in invalidations]
    origins += [
        (i.enum.alias, f"identifier {i.spec.name!r} of {key.domain.name}:{key.resource.name}")
        for key in keys
        for i in key.identifiers
        if i.enum
    ]
    _refuse_twice(f"{file.name}: class", origins)
    comments = Comments(file)
    return Module(
        proto=file.name,
        path=names.module_path(file.name, "_coherd.py"),
        documentation=next(filter(None, map(comments.of, _SYNTAX_PATHS)), ""),
        keys=keys,
        invalidations=invalidations,
        facade=_facade(file.name) if facade else None,
    )


def _key_class(proto: str, domain: DomainSpec, resource: ResourceSpec, types: dict[str, PythonType | str]) -> KeyClass:
    where = f"{proto}: {domain.name}:{resource.name}"
    try:
        name = names.class_name(resource.method.rpartition("/")[2])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    identifiers = tuple(_identifier(name, spec, types) for spec in resource.identifiers)
    _refuse_twice(f"{where}: parameter", [(i.parameter, f"identifier {i.spec.name!r}") for i in identifiers])
    _refuse_twice(f"{where}: property", [(i.property, f"identifier {i.spec.name!r}") for i in identifiers])
    value = None if resource.value_type == JSON_TYPE else _generated(types, resource.value_type)
    return KeyClass(name, domain, resource, identifiers, value)


def _identifier(class_name: str, spec: IdentifierSpec, types: dict[str, PythonType | str]) -> Identifier:
    enum = None
    if spec.kind is Kind.ENUM:
        alias = names.alias_name(class_name, spec.name)
        enum = EnumType(_generated(types, spec.type_name), alias, names.constant_name(alias), spec.texts)
    return Identifier(spec, parameter_name(spec.name), names.property_name(spec.name), enum)


def _refuse_twice(what: str, origins: Iterable[tuple[str, str]]) -> None:
    first: dict[str, str] = {}
    for name, origin in origins:
        if first.setdefault(name, origin) != origin:
            raise ValueError(f"{what} {name} would be generated for {first[name]} and for {origin}; rename one")


def _facade(proto: str) -> Facade | None:
    path = PurePosixPath(names.module_path(proto, ""))
    if len(path.parts) < 3 or not _VERSION.fullmatch(path.parts[-2]) or path.parts[-3] != path.name:
        return None
    return Facade(str(path.parents[1] / "__init__.py"), names.module_name(proto, "_coherd"))


def _generated(types: dict[str, PythonType | str], full_name: str) -> PythonType:
    python_type = types[full_name]
    if isinstance(python_type, str):
        raise ValueError(python_type)
    return python_type


def _python_types(files: Iterable[FileDescriptorProto]) -> Iterator[tuple[str, PythonType | str]]:
    """Full names of all types and what they are in Python, or why Python cannot import them."""
    for file in files:
        prefix = f"{file.package}." if file.package else ""
        for name in _type_names(file.message_type, file.enum_type, ""):
            try:
                package, _, module = names.module_name(file.name, "_pb2").rpartition(".")
            except ValueError as error:
                yield prefix + name, str(error)
                continue
            if any(map(keyword.iskeyword, name.split("."))):
                yield prefix + name, f"{file.name}: Python cannot name the type {name}; rename it"
            else:
                yield prefix + name, PythonType(package, module, name)


def _type_names(
    messages: Iterable[DescriptorProto], enums: Iterable[EnumDescriptorProto], prefix: str
) -> Iterator[str]:
    for enum in enums:
        yield prefix + enum.name
    for message in messages:
        yield prefix + message.name
        yield from _type_names(message.nested_type, message.enum_type, f"{prefix}{message.name}.")
