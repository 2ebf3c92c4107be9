"""The catalog of a server or tool, and what follows from a key. Look-ups only; see `coherd.catalog.declared`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from coherd.catalog.declared import DomainSpec, InvalidationSpec, ResourceSpec
from coherd.contract import keys, tags
from coherd.contract.keys import KeyParts
from coherd.contract.reasons import Refusal
from coherd.contract.tags import TagRef, stamp_start
from coherd.contract.ttl import TtlPolicy
from coherd.v1 import keys_pb2
from coherd.v1.errors_pb2 import ErrorReason

RESOLVED_KEYS: Final = 65_536
"""How many resolved keys a catalog remembers."""


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
    """Per tag `coherd.contract.tags.stamp_start` and its text. Kept here because every read of a server needs it."""


class Selection(NamedTuple):
    """What a selector selects: tags to invalidate, or one key to delete."""

    tags: Mapping[str, DomainSpec]
    """Canonical tags, each with its domain."""
    key: ResolvedKey | None = None


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
        raise Refusal(
            ErrorReason.ERROR_REASON_IDENTIFIER_INVALID,
            f"an identifier of an undeclared resource must be text of 1..{keys.MAX_KEY_BYTES} bytes, valid Unicode",
            field="identifiers",
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

    def key_of(self, key: keys_pb2.Key) -> ResolvedKey:
        """What follows from the key of a request, given as text or in parts.

        Raises:
            Refusal: REQUEST_INVALID without a key; otherwise as `resolve`.
        """
        text = key.text
        if text or key.HasField("text"):
            return self.resolve(text)
        if not key.HasField("parts"):
            raise Refusal(ErrorReason.ERROR_REASON_REQUEST_INVALID, "a key is required: text or parts", field="key")
        parts = key.parts
        values: dict[str, object] = {}
        for identifier in parts.identifiers:
            if not keys.is_name(identifier.name):  # before any message could repeat it
                raise Refusal(
                    ErrorReason.ERROR_REASON_IDENTIFIER_INVALID,
                    f"the name of an identifier is lower snake case, 1..{keys.MAX_NAME_CHARS} characters",
                    field="key.parts.identifiers",
                )
            if identifier.name in values:
                raise Refusal(
                    ErrorReason.ERROR_REASON_IDENTIFIER_INVALID,
                    "an identifier is given twice",
                    field="key.parts.identifiers",
                )
            values[identifier.name] = identifier.value
        return self.resolve(self.build(parts.domain, parts.resource, values, parts.suffix or None))

    def select(self, selector: keys_pb2.Selector) -> Selection:
        """What a selector selects.

        Raises:
            Refusal: SELECTOR_INVALID if it is empty; otherwise as `key_of` and the ``tags_of`` methods.
        """
        match selector.WhichOneof("selects"):
            case "tag":
                tag = selector.tag
                return Selection(self.tags_of_identifier(tag.identifier, tag.value, tag.domain))
            case "named":
                return Selection(self.tags_of_invalidation(selector.named.name, selector.named.value))
            case "resource":
                return Selection(self.tags_of_resource(selector.resource.domain, selector.resource.resource))
            case "domain":
                return Selection(self.tags_of_domain(selector.domain.domain))
            case "key":
                return Selection({}, self.key_of(selector.key))
        raise Refusal(ErrorReason.ERROR_REASON_SELECTOR_INVALID, "a selector is required", field="selectors")

    def tags_of_domain(self, domain: str) -> dict[str, DomainSpec]:
        """The tag that selects a whole domain, with that domain."""
        spec = self.domain(domain)
        return {tags.domain_tag(spec.name): spec}

    def tags_of_resource(self, domain: str, resource: str) -> dict[str, DomainSpec]:
        """The tag that selects a whole resource, with its domain."""
        spec = self.domain(domain)
        self._resource(spec, resource)
        if not keys.is_name(resource):
            raise Refusal(ErrorReason.ERROR_REASON_SELECTOR_INVALID, "the resource is not a name", field="resource")
        return {tags.resource_tag(domain, resource): spec}

    def tags_of_identifier(self, identifier: str, value: str, domain: str = "") -> dict[str, DomainSpec]:
        """The tags of an identifier's value, each with its domain: in one domain, or in every one that declares it.

        Raises:
            Refusal: DOMAIN_UNKNOWN; TAG_INVALID where no domain declares the tag; IDENTIFIER_INVALID where one of them
                can have no such value.
        """
        specs = [self.domain(domain)] if domain else list(self.domains.values())
        anything = value == tags.ANY
        declaring = [spec for spec in specs if identifier in (spec.any_tags if anything else spec.tags)]
        if not declaring:
            where = f"domain {domain!r} declares" if domain else "no domain declares"
            raise Refusal(
                ErrorReason.ERROR_REASON_TAG_INVALID,
                f"{where} {'no' if domain else 'a'} tag of this identifier" + (" for any value" if anything else ""),
                field="identifier",
            )
        if anything:
            return {tags.any_tag(spec.name, identifier): spec for spec in declaring}
        return {_value_tag(spec, identifier, value): spec for spec in declaring}

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

    def tags_of_invalidation(self, name: str, value: object) -> dict[str, DomainSpec]:
        """The tags of a named invalidation for a value, each with its domain.

        Raises:
            Refusal: SELECTOR_INVALID, if there is no such invalidation; IDENTIFIER_INVALID, if the value is empty, not
                Unicode, or not canonical for what it names.
        """
        invalidation = self.invalidation(name)
        text = invalidation.text(value)
        selected: dict[str, DomainSpec] = {}
        for domain, identifier, any_value in invalidation.tags:
            spec = self.domains[domain]
            tag = tags.any_tag(domain, identifier) if any_value else _value_tag(spec, identifier, text)
            selected[tag] = spec
        return selected


def _value_tag(domain: DomainSpec, identifier: str, value: str) -> str:
    return tags.identifier_tag(domain.name, identifier, domain.check_tag_value(identifier, value))
