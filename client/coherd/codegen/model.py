"""What a generated module consists of: plain data between reading descriptors and writing text."""

from __future__ import annotations

from dataclasses import dataclass

from coherd.catalog.declared import DomainSpec, IdentifierSpec, InvalidationSpec, ResourceSpec


@dataclass(frozen=True, slots=True)
class PythonType:
    """A type of a ``_pb2`` module."""

    package: str
    """``shop.v1``; empty for a module without a package."""
    module: str
    """``shop_pb2``."""
    name: str
    """``Product``, ``Order.Line`` of a nested type."""

    @property
    def reference(self) -> str:
        """How generated code names it."""
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class EnumType:
    """The type of an enum identifier."""

    type: PythonType
    alias: str
    """Name of the type alias of its texts: ``CartSize``."""
    constant: str
    """Name of the constant that maps its numbers to its texts."""
    texts: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Identifier:
    """One parameter and property of a key class."""

    spec: IdentifierSpec
    parameter: str
    property: str
    enum: EnumType | None = None


@dataclass(frozen=True, slots=True)
class KeyClass:
    """The key class of one resource."""

    name: str
    domain: DomainSpec
    resource: ResourceSpec
    identifiers: tuple[Identifier, ...]
    value: PythonType | None
    """Type of its values; None for JSON."""


@dataclass(frozen=True, slots=True)
class InvalidationClass:
    """The class of one named invalidation."""

    name: str
    spec: InvalidationSpec


@dataclass(frozen=True, slots=True)
class Facade:
    """A package that re-exports a module's public names."""

    path: str
    module: str


@dataclass(frozen=True, slots=True)
class Module:
    """One generated module."""

    proto: str
    """The file it is generated from."""
    path: str
    documentation: str
    """Comment of the file's syntax statement; empty if there is none."""
    keys: tuple[KeyClass, ...]
    invalidations: tuple[InvalidationClass, ...]
    facade: Facade | None = None

    @property
    def public_names(self) -> list[str]:
        """Everything a user imports, sorted."""
        enums = {i.enum.alias for key in self.keys for i in key.identifiers if i.enum}
        return sorted({key.name for key in self.keys} | {each.name for each in self.invalidations} | enums)
