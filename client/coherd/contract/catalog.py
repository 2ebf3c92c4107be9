"""The catalog: domains, resources, identifiers, policies and named invalidations, and what follows from a key.

Pure data and look-ups. It is read from Protobuf descriptors by `coherd.contract.catalog_load`.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from coherd.contract import keys, tags
from coherd.contract.entry import stamp_start
from coherd.contract.keys import KeyParts
from coherd.contract.reasons import Refusal
from coherd.contract.tags import TagRef
from coherd.contract.ttl import TtlOverride, TtlPolicy
from coherd.v1.errors_pb2 import ErrorReason

JSON_TYPE: Final = "coherd.v1.Json"
"""Value type of schemaless values and of undeclared resources."""
RESOLVED_KEYS: Final = 65_536
"""How many resolved keys a catalog remembers."""


class CatalogError(ValueError):
    """The declarations are not a usable catalog. One line per problem, each naming file and element."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class Kind(enum.Enum):
    """Type of an identifier."""

    STRING = "string"
    BOOL = "bool"
    INTEGER = "integer"
    ENUM = "enum"
    DATE = "date"


class NearCacheMode(enum.Enum):
    """Where clients keep values of a domain in their own process."""

    OFF = "off"
    PUSH = "push"
    STRICT = "strict"


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
                return keys.date_text(value, self.name)


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
    key_type: str = ""
    """Full name of the key message."""
    method: str = ""
    """Path of the typed read method: ``/package.Service/Method``."""
    documentation: str = ""

    @property
    def key_pattern(self) -> str:
        """``analytics:daily:user:{user}:date:{date}``"""
        return ":".join((self.domain, self.name, *(f"{i.name}:{{{i.name}}}" for i in self.identifiers)))

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
        types = {tag: {(one.type_name, one.unit): one for one in declared if one.name == tag} for tag in self.tags}
        object.__setattr__(self, "tag_types", {tag: tuple(specs.values()) for tag, specs in types.items() if specs})

    @property
    def identifier_names(self) -> frozenset[str]:
        """Names of all identifiers that the declaration mentions."""
        return self.tags | {one.name for resource in self.resources.values() for one in resource.identifiers}

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
        found = tags.extra_tags(self.name, extra, self.tags, self.any_tags, derived)
        for name, value in extra.items():
            self.check_tag_value(name, value)
        return found

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
        return keys.date_text(value, self.name) if self.is_date else keys.string_text(value, self.name)


class ResolvedKey(NamedTuple):
    """A key and all that follows from it."""

    text: str
    parts: KeyParts
    domain: DomainSpec
    resource: ResourceSpec | None
    """None for an undeclared resource of an open domain."""
    policy: TtlPolicy
    tags: tuple[TagRef, ...]
    """The tags that follow from the key, in canonical order."""
    stamp_starts: tuple[tuple[bytes, str], ...]
    """Per tag what its stamp begins with (`coherd.contract.entry.stamp_start`), and its text."""


@dataclass(frozen=True)
class Catalog:
    """All domains and named invalidations a server or tool knows. Immutable; look-ups are cached."""

    domains: Mapping[str, DomainSpec]
    invalidations: Mapping[str, InvalidationSpec]
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Serialized FileDescriptorProtos by name, comments included; reflection serves them."""
    fingerprint: str = ""
    """Digest of the declarations and overrides."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "resolve", functools.lru_cache(RESOLVED_KEYS)(self.resolve_uncached))

    def resolve(self, text: str) -> ResolvedKey:
        """What follows from canonical key text.

        Raises:
            Refusal: KEY_INVALID, DOMAIN_UNKNOWN, RESOURCE_UNKNOWN or IDENTIFIER_INVALID.
        """
        raise AssertionError("replaced by the cached look-up")

    def resolve_uncached(self, text: str) -> ResolvedKey:
        """As `resolve`, for walks over all keys, which must not displace those in use."""
        parts = keys.parse_key(text)
        domain = self.domain(parts.domain)
        resource = self._resource(domain, parts.resource)
        if resource is not None:
            canonical = resource.identifier_texts(dict(parts.identifiers))
            if canonical != parts.identifiers:
                raise Refusal(
                    ErrorReason.ERROR_REASON_KEY_INVALID,
                    "the key is not canonical: it must be written as " + resource.key_pattern,
                    field="key",
                )
        if parts.suffix is not None and not domain.open:
            raise Refusal(
                ErrorReason.ERROR_REASON_KEY_INVALID, f"domain {domain.name!r} is not open: no suffix", field="key"
            )
        if resource is None:
            for name, value in parts.identifiers:
                if name in domain.tag_types:  # other text would be a tag that no selector can name
                    domain.check_tag_value(name, value)
        policy = domain.policy if resource is None else resource.policy
        derived = tags.derived_tags(parts, domain.tags, domain.any_tags)
        starts = tuple((stamp_start(ref), tag) for ref, tag in derived)
        return ResolvedKey(text, parts, domain, resource, policy, derived, starts)

    def build(self, domain: str, resource: str, values: Mapping[str, object], suffix: str | None = None) -> str:
        """Canonical text of a key from its parts; values are typed, or canonical text, of an undeclared resource text.

        Raises:
            Refusal: as `resolve`.
        """
        spec = self._resource(self.domain(domain), resource)
        if spec is None:
            return self.resolve(self._build_open(domain, resource, values, suffix)).text
        return self.resolve(keys.build_key(domain, resource, spec.identifier_texts(values), suffix)).text

    def _build_open(self, domain: str, resource: str, values: Mapping[str, object], suffix: str | None) -> str:
        """A key of an undeclared resource. A refusal repeats only names that the catalog knows: where a name belongs, a
        caller may have put a value."""
        try:
            identifiers = [(name, keys.string_text(value, name)) for name, value in values.items()]
            return keys.build_key(domain, resource, identifiers, suffix)
        except Refusal as refusal:
            if refusal.field not in values or refusal.field in self.domain(domain).identifier_names:
                raise
        raise _identifier(
            f"an identifier of an undeclared resource must be text of 1..{keys.MAX_KEY_BYTES} bytes, valid Unicode",
            "identifiers",
        )

    def domain(self, name: str) -> DomainSpec:
        """The domain of a name.

        Raises:
            Refusal: DOMAIN_UNKNOWN, listing the names there are.
        """
        spec = self.domains.get(name)
        if spec is None:
            known = ", ".join(self.domains)
            raise Refusal(ErrorReason.ERROR_REASON_DOMAIN_UNKNOWN, f"unknown domain; known: {known}", field="domain")
        return spec

    def _resource(self, domain: DomainSpec, name: str) -> ResourceSpec | None:
        spec = domain.resources.get(name)
        if spec is None and not domain.open:
            known = ", ".join(domain.resources)
            raise Refusal(
                ErrorReason.ERROR_REASON_RESOURCE_UNKNOWN,
                f"domain {domain.name!r} has no such resource; it has: {known}",
                field="resource",
            )
        return spec

    def tags_of_domain(self, domain: str) -> tuple[str, ...]:
        """The tag that selects a whole domain."""
        return (tags.domain_tag(self.domain(domain).name),)

    def tags_of_resource(self, domain: str, resource: str) -> tuple[str, ...]:
        """The tag that selects a whole resource."""
        spec = self.domain(domain)
        self._resource(spec, resource)
        if not keys.is_name(resource):
            raise Refusal(ErrorReason.ERROR_REASON_SELECTOR_INVALID, "the resource is not a name", field="resource")
        return (tags.resource_tag(domain, resource),)

    def tags_of_identifier(self, identifier: str, value: str, domain: str = "") -> tuple[str, ...]:
        """The tags of an identifier's value: in one domain, or in every domain that declares it.

        Raises:
            Refusal: DOMAIN_UNKNOWN; TAG_INVALID where no domain declares the tag; IDENTIFIER_INVALID where one of them
                can have no such value.
        """
        specs = [self.domain(domain)] if domain else list(self.domains.values())
        anything = value == tags.ANY
        found = [spec.name for spec in specs if identifier in (spec.any_tags if anything else spec.tags)]
        if not found:
            where = f"domain {domain!r} declares" if domain else "no domain declares"
            raise Refusal(
                ErrorReason.ERROR_REASON_TAG_INVALID,
                f"{where} {'no' if domain else 'a'} tag of this identifier" + (" for any value" if anything else ""),
                field="identifier",
            )
        if anything:
            return tuple(tags.any_tag(name, identifier) for name in found)
        return tuple(self._value_tag(name, identifier, value) for name in found)

    def _value_tag(self, domain: str, identifier: str, value: str) -> str:
        return tags.identifier_tag(domain, identifier, self.domains[domain].check_tag_value(identifier, value))

    def invalidation(self, name: str) -> InvalidationSpec:
        """The named invalidation of a name.

        Raises:
            Refusal: SELECTOR_INVALID, listing the names there are.
        """
        spec = self.invalidations.get(name)
        if spec is None:
            known = ", ".join(self.invalidations) or "none"
            raise Refusal(
                ErrorReason.ERROR_REASON_SELECTOR_INVALID, f"unknown named invalidation; known: {known}", field="name"
            )
        return spec

    def tags_of_invalidation(self, name: str, value: object) -> tuple[str, ...]:
        """The tags of a named invalidation for a value.

        Raises:
            Refusal: SELECTOR_INVALID, if there is no such invalidation; IDENTIFIER_INVALID, if the value is empty, not
                Unicode, or not canonical for what it names.
        """
        spec = self.invalidation(name)
        text = spec.text(value)
        return tuple(
            tags.any_tag(p.domain, p.identifier) if p.any_value else self._value_tag(p.domain, p.identifier, text)
            for p in spec.tags
        )

    def with_overrides(self, overrides: Mapping[str, TtlOverride]) -> Catalog:
        """This catalog with an operator's TTL overrides, by ``domain`` or ``domain:resource``.

        Raises:
            CatalogError: an override names nothing, or leads out of range.
        """
        problems: list[str] = []
        domains = dict(self.domains)
        for name, override in sorted(overrides.items(), key=lambda item: item[0].count(":")):
            domain_name, _, resource_name = name.partition(":")
            domain = domains.get(domain_name)
            if domain is None or (resource_name and resource_name not in domain.resources):
                problems.append(f"ttl override {name!r}: no such domain or resource in the catalog")
                continue
            try:
                chosen = [resource_name] if resource_name else list(domain.resources)
                changed = {
                    name: replace(domain.resources[name], policy=override.apply(domain.resources[name].policy))
                    for name in chosen
                }
                policy = domain.policy if resource_name else override.apply(domain.policy)
            except ValueError as error:
                problems.append(f"ttl override {name!r}: {error}")
                continue
            domains[domain_name] = replace(domain, resources={**domain.resources, **changed}, policy=policy)
        if problems:
            raise CatalogError(problems)
        return replace(self, domains=domains)


def _identifier(message: str, name: str) -> Refusal:
    return Refusal(ErrorReason.ERROR_REASON_IDENTIFIER_INVALID, message, field=name)
