"""What follows from a key: parts, tags, policy, value type, names in Redis. Pure; `diagnose` says what is wrong with a
key that is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coherd.catalog.catalog import Catalog
from coherd.catalog.declared import JSON_TYPE, IdentifierSpec, Kind
from coherd.contract.durations import format_duration
from coherd.contract.ttl import PolicySource, TtlPolicy


@dataclass(frozen=True, slots=True)
class ExplainedPart:
    """One identifier of a key."""

    name: str
    value: str
    """Decoded."""
    type_name: str
    """As the catalog declares it; ``string`` in undeclared resources."""
    checked: bool
    """False: an enum of a server's catalog; which values it has, the server does not describe."""
    is_tag: bool
    personal: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """A key and all that follows from it."""

    key: str
    domain: str
    resource: str
    declared: bool
    """False: an undeclared resource of an open domain."""
    key_pattern: str
    identifiers: tuple[ExplainedPart, ...]
    suffix: str | None
    tags: tuple[str, ...]
    invalidations: tuple[str, ...]
    """Named invalidations that remove it, as ``coherd invalidate`` takes them."""
    policy: TtlPolicy
    value_type: str
    near_cache: str
    on_failover: str
    sensitive: bool
    documentation: str

    @property
    def redis_value(self) -> str:
        """Name of the value in Redis, without a deployment's prefix: the text of the key."""
        return self.key

    @property
    def redis_epochs(self) -> tuple[str, ...]:
        """Names of the epochs of its tags."""
        return tuple(f"coherd:epoch:{tag}" for tag in self.tags)

    @property
    def redis_lease(self) -> str:
        """Name of its lease."""
        return f"coherd:lease:{{{self.key}}}"


def explain(text: str, catalog: Catalog) -> Explanation:
    """What follows from canonical key text.

    Raises:
        Refusal: the text is no key of the catalog.
    """
    resolved = catalog.resolve(text)
    domain, resource = resolved.domain, resolved.resource
    types = {identifier.name: identifier for identifier in resource.identifiers} if resource else {}
    values = dict(resolved.parts.identifiers)
    pattern = ":".join((domain.name, resolved.parts.resource, *(f"{name}:{{{name}}}" for name in values)))
    return Explanation(
        key=text,
        domain=domain.name,
        resource=resolved.parts.resource,
        declared=resource is not None,
        key_pattern=resource.key_pattern if resource else pattern,
        identifiers=tuple(
            ExplainedPart(
                name,
                value,
                _type_text(types.get(name)),
                _is_checked(types.get(name)),
                name in domain.tags,
                name in domain.personal,
            )
            for name, value in values.items()
        ),
        suffix=resolved.parts.suffix,
        tags=tuple(tag.tag for tag in resolved.tags),
        invalidations=_named_for(catalog, domain.name, values),
        policy=resolved.policy,
        value_type=resource.value_type if resource else JSON_TYPE,
        near_cache=domain.near_cache.value,
        on_failover=domain.on_failover.value,
        sensitive=domain.sensitive,
        documentation=resource.documentation if resource else "",
    )


def _type_text(identifier: IdentifierSpec | None) -> str:
    if identifier is None:
        return "string"
    return f"{identifier.type_name} with unit {identifier.unit!r}" if identifier.unit else identifier.type_name


def _is_checked(identifier: IdentifierSpec | None) -> bool:
    return identifier is None or identifier.kind is not Kind.STRING or identifier.type_name == "string"


def _named_for(catalog: Catalog, domain: str, values: Mapping[str, str]) -> tuple[str, ...]:
    named: list[str] = []
    for invalidation in catalog.invalidations.values():
        for pattern in invalidation.tags:
            if pattern.domain == domain and pattern.identifier in values:
                value = "(any)" if pattern.any_value else values[pattern.identifier]
                named.append(f"{invalidation.name}={value}")
                break
    return tuple(named)


def ttl_origin(explanation: Explanation) -> str:
    """Where the TTL comes from, in words."""
    match explanation.policy.source:
        case PolicySource.OPERATOR:
            return "the operator's override on the server"
        case PolicySource.RESOURCE:
            return f"declared by resource {explanation.domain}:{explanation.resource}"
        case PolicySource.DOMAIN:
            return f"declared by domain {explanation.domain}"


def policy_json(policy: TtlPolicy) -> dict[str, Any]:
    """A policy for machines, durations in milliseconds."""
    return {
        "ttl_ms": policy.ttl_ms,
        "ttl_source": policy.source.value,
        "max_ttl_ms": policy.max_ttl_ms,
        "stale_ms": policy.stale_ms,
        "negative_ms": policy.negative_ms,
        "jitter": policy.jitter,
        "early_refresh": policy.early_refresh,
    }


def policy_lines(explanation: Explanation) -> list[tuple[str, str]]:
    """A policy for people: label and text."""
    policy = explanation.policy
    lines = [
        ("ttl", f"{format_duration(policy.ttl_ms)}, {ttl_origin(explanation)}"),
        ("longest ttl", f"{format_duration(policy.max_ttl_ms)} per call"),
        ("stale", f"{format_duration(policy.stale_ms)} after the ttl" if policy.stale_ms else "never served stale"),
    ]
    if policy.negative_ms:
        lines.append(("negative", f'"nothing" is remembered for {format_duration(policy.negative_ms)}'))
    if policy.jitter:
        lines.append(("jitter", f"each ttl is shortened by up to {policy.jitter:.0%}"))
    if policy.early_refresh:
        lines.append(("early refresh", f"XFetch, beta {policy.early_refresh:g}"))
    return lines


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """An explanation for machines."""
    return {
        "key": explanation.key,
        "valid": True,
        "domain": explanation.domain,
        "resource": explanation.resource,
        "declared": explanation.declared,
        "key_pattern": explanation.key_pattern,
        "identifiers": [
            {
                "name": p.name,
                "value": p.value,
                "type": p.type_name,
                "checked": p.checked,
                "is_tag": p.is_tag,
                "personal": p.personal,
            }
            for p in explanation.identifiers
        ],
        "suffix": explanation.suffix,
        "tags": list(explanation.tags),
        "invalidations": list(explanation.invalidations),
        "policy": policy_json(explanation.policy),
        "value_type": explanation.value_type,
        "near_cache": explanation.near_cache,
        "on_failover": explanation.on_failover,
        "sensitive": explanation.sensitive,
        "redis": {
            "value": explanation.redis_value,
            "epochs": list(explanation.redis_epochs),
            "lease": explanation.redis_lease,
        },
        "documentation": explanation.documentation,
    }
