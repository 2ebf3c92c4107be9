"""What a catalog declares: domains, resources, identifiers and named invalidations, with the checks of their values.

Pure data. `coherd.catalog.load` reads it from Protobuf descriptors, `coherd.catalog.catalog` looks it up.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from coherd.contract import keys, tags
from coherd.contract.near_cache import NearCacheMode
from coherd.contract.reasons import Refusal
from coherd.contract.tags import TagRef
from coherd.contract.ttl import TtlPolicy
from coherd.v1.errors_pb2 import ErrorReason

JSON_TYPE: Final = "coherd.v1.Json"
"""Value type of schemaless values and of undeclared resources."""


class CatalogError(ValueError):
    """The declarations are not a usable catalog. One line per problem, each naming file and element."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(map(_on_one_line, problems))
        super().__init__("\n".join(self.problems))


class Kind(enum.Enum):
    """Type of an identifier."""

    STRING = "string"
    BOOL = "bool"
    INTEGER = "integer"
    ENUM = "enum"
    DATE = "date"


class OnFailover(enum.Enum):
    """What becomes of entries when a Redis node is replaced."""

    DROP = "drop"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class IdentifierSpec:
    """One identifier of a resource: a field of its key message."""

    name: str
    kind: Kind
    type_name: str
    """``string``, ``bool``, ``date``, a Protobuf integer type, or the full name of an enum."""
    low: int = 0
    high: int = 0
    """Range of an integer."""
    unit: str = ""
    """Written behind an integer."""
    texts: tuple[tuple[int, str], ...] = ()
    """Number and key text of each value of an enum."""
    personal: bool = False
    documentation: str = ""

    @property
    def shortest_text(self) -> int:
        """Bytes of the shortest text it can have in a key."""
        match self.kind:
            case Kind.STRING:
                return 1
            case Kind.BOOL:
                return len("true")
            case Kind.INTEGER:
                return len(f"0{self.unit}")
            case Kind.ENUM:
                return min((len(text) for _, text in self.texts), default=0)
            case Kind.DATE:
                return len("YYYYMMDD")

    def text(self, value: object) -> str:
        """Decoded key text of a value of the identifier's type, or of its canonical text.

        Raises:
            Refusal: IDENTIFIER_INVALID, naming the identifier and what it must be.
        """
        match self.kind:
            case Kind.STRING:
                return keys.string_text(value, self.name)
            case Kind.BOOL:
                return keys.bool_text(value, self.name)
            case Kind.INTEGER:
                return keys.int_text(value, self.name, self.low, self.high, self.unit)
            case Kind.ENUM:
                by_number = dict(self.texts)
                if isinstance(value, int) and not isinstance(value, bool) and value in by_number:
                    return by_number[value]
                return keys.enum_text(value, self.name, by_number.values())
            case Kind.DATE:
                return keys.day_text(value, self.name)


@dataclass(frozen=True, slots=True)
class ResourceSpec:
    """One kind of cached value."""

    domain: str
    name: str
    identifiers: tuple[IdentifierSpec, ...]
    """In the order they stand in the key."""
    value_type: str
    """Full name of the value message."""
    policy: TtlPolicy
    json_object: bool = False
    shared: bool = False
    """Whether clients give away the one value that their near cache holds: nobody may alter it."""
    key_type: str = ""
    """Full name of the key message."""
    method: str = ""
    """Path of the typed read method: ``/package.Service/Method``."""
    documentation: str = ""

    @property
    def key_pattern(self) -> str:
        """``analytics:daily:user:{user}:date:{date}``"""
        return ":".join((self.domain, self.name, *(f"{i.name}:{{{i.name}}}" for i in self.identifiers)))

    @property
    def shortest_key(self) -> int:
        """Bytes of its shortest key."""
        return len(f"{self.domain}:{self.name}") + sum(len(f":{i.name}:") + i.shortest_text for i in self.identifiers)

    def identifier_texts(self, values: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
        """Names and decoded texts in declared order.

        Raises:
            Refusal: IDENTIFIER_INVALID: a value is missing, superfluous or not of its type.
        """
        declared = [identifier.name for identifier in self.identifiers]
        missing = [name for name in declared if name not in values]
        if missing:
            raise _identifier(f"{self.domain}:{self.name} needs identifier {missing[0]!r}", missing[0])
        if len(values) > len(declared):
            expected = ", ".join(declared) or "none"
            raise _identifier(f"{self.domain}:{self.name} has no such identifier; it has: {expected}", "identifiers")
        return tuple((i.name, i.text(values[i.name])) for i in self.identifiers)


@dataclass(frozen=True, slots=True)
class DomainSpec:
    """A functional area with its own policy and access rules."""

    name: str
    resources: Mapping[str, ResourceSpec]
    policy: TtlPolicy
    """Of undeclared resources, and the default of declared ones."""
    tags: frozenset[str]
    """Identifiers by which entries can be invalidated."""
    any_tags: frozenset[str]
    """Identifiers for which a named invalidation asks for the ``*`` tag."""
    near_cache: NearCacheMode = NearCacheMode.OFF
    on_failover: OnFailover = OnFailover.DROP
    open: bool = False
    sensitive: bool = False
    personal: frozenset[str] = frozenset()
    """Identifier names that identify a person."""
    readers: frozenset[str] = frozenset()
    writers: frozenset[str] = frozenset()
    invalidators: frozenset[str] = frozenset()
    wait_replicas: int = 0
    service: str = ""
    """Full name of the declaring service."""
    documentation: str = ""
    tag_types: Mapping[str, tuple[IdentifierSpec, ...]] = field(init=False, repr=False, compare=False)
    """How the domain's resources declare each tag's identifier: the types its values can have."""

    def __post_init__(self) -> None:
        declared = [spec for resource in self.resources.values() for spec in resource.identifiers]
        types = {tag: {(i.type_name, i.unit): i for i in declared if i.name == tag} for tag in self.tags}
        object.__setattr__(self, "tag_types", {tag: tuple(specs.values()) for tag, specs in types.items() if specs})

    @property
    def identifier_names(self) -> frozenset[str]:
        """Names of all identifiers that the declaration mentions."""
        return self.tags | {i.name for resource in self.resources.values() for i in resource.identifiers}

    def check_tag_value(self, identifier: str, value: str) -> str:
        """The value, if entries of this domain can have it: it is canonical text of a type the domain gives this tag.

        Raises:
            Refusal: IDENTIFIER_INVALID: it would name a tag that no entry carries.
        """
        refusals: list[Refusal] = []
        for spec in self.tag_types.get(identifier, ()):
            try:
                return spec.text(value)
            except Refusal as refusal:
                refusals.append(refusal)
        if refusals:
            raise refusals[0]
        return keys.string_text(value, identifier)

    def extra_tags(self, extra: Mapping[str, str], derived: Collection[TagRef]) -> tuple[TagRef, ...]:
        """The tags a caller adds to those of a key, sorted; ones the key derives already are left out.

        Raises:
            Refusal: as `coherd.contract.tags.extra_tags` and `check_tag_value`.
        """
        added = tags.extra_tags(self.name, extra, self.tags, self.any_tags, derived)
        for name, value in extra.items():
            self.check_tag_value(name, value)
        return added

    def has_any_tags(self, derived: Iterable[TagRef], extra: Iterable[TagRef]) -> bool:
        """Whether extra tags come with the ``*`` tags that named invalidations ask for: those of a writer with an older
        catalog may not."""
        if not self.any_tags:
            return True
        needed = {name + tags.ANY for ref, _ in extra if (name := ref.partition("=")[0]) in self.any_tags}
        return needed <= {ref for ref, _ in (*derived, *extra)}


class TagPattern(NamedTuple):
    """One tag of a named invalidation, without its value."""

    domain: str
    identifier: str
    any_value: bool

    def __str__(self) -> str:
        return f"{self.domain}/{self.identifier}" + (":*" if self.any_value else "")


@dataclass(frozen=True, slots=True)
class InvalidationSpec:
    """A named invalidation: tags that are invalidated together."""

    name: str
    summary: str
    tags: tuple[TagPattern, ...]
    is_date: bool = False
    personal: bool = False
    """Whether its value identifies a person."""

    def text(self, value: object) -> str:
        """Canonical text of a value.

        Raises:
            Refusal: IDENTIFIER_INVALID, if it is empty, not Unicode, or not a date where one is needed.
        """
        return keys.day_text(value, self.name) if self.is_date else keys.string_text(value, self.name)


def _identifier(message: str, name: str) -> Refusal:
    return Refusal(ErrorReason.ERROR_REASON_IDENTIFIER_INVALID, message, field=name)


def _on_one_line(problem: str) -> str:
    """The text with escapes for what is not printable: a set that no compiler wrote may have any name."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in problem)
