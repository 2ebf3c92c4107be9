"""Declarations as text, for tests of what a catalog accepts and refuses."""

from __future__ import annotations

TTL = "ttl: {seconds: 60}"
RESOURCE = "\nrpc A(K) returns (coherd.v1.Json) { option (coherd.v1.resource) = { json_object: true }; }"
USER = "message K { string user = 1; } "


def domain(options: str = TTL, rpcs: str = "rpc A(K) returns (coherd.v1.Json) {}", name: str = "shop") -> str:
    """A domain service named after its domain."""
    service = "".join(word.capitalize() for word in name.split("_"))
    return f'service {service}Cache {{ option (coherd.v1.domain) = {{ name: "{name}" {options} }}; {rpcs} }} '


def key_field(field: str, further: str = "") -> str:
    """A domain whose only key message has this field."""
    return f"{further} message K {{ {field} }} " + domain()


def invalidation(tags: str, name: str = "user") -> str:
    """A named invalidation, in front of a domain with the tag user."""
    option = f'option (coherd.v1.invalidation) = {{ name: "{name}" summary: "s" {tags} }}; '
    return option + USER + domain(TTL + ' tags: "user"')
