"""Tags: what can be invalidated in one step, and how an entry refers to its own.

Canonical text of a tag: a domain ``analytics``, a resource ``analytics:daily``, an identifier's
value ``analytics/user:user123``, every value of an identifier ``maintenance/date:*``. Values are encoded as in keys, so
a tag never contains a brace and its epoch never shares a Redis hash tag.

Within an entry a tag is written relative to the key (`coherd_server.core.entry`): ``@`` the domain, ``:`` the resource,
``user`` the key's own user, ``user*`` any user, ``user=user123`` an extra tag with its encoded value.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from coherd.contract.keys import MAX_KEY_BYTES, KeyParts, encode_value
from coherd.contract.reasons import Refusal
from coherd.v1.errors_pb2 import ErrorReason

MAX_EXTRA_TAGS: Final = 16
"""Most extra tags of one entry."""
ANY: Final = "*"
"""Value of the tag that every entry with this identifier carries."""

_TAG: Final = ErrorReason.ERROR_REASON_TAG_INVALID


class TagRef(NamedTuple):
    """A tag of an entry: how the entry writes it, and its canonical text."""

    ref: str
    tag: str


def domain_tag(domain: str) -> str:
    """The tag of every entry of a domain."""
    return domain


def resource_tag(domain: str, resource: str) -> str:
    """The tag of every entry of a resource."""
    return f"{domain}:{resource}"


def identifier_tag(domain: str, identifier: str, value: str) -> str:
    """The tag of every entry of a domain whose identifier has this value (decoded text)."""
    return f"{domain}/{identifier}:{encode_value(value, name=identifier)}"


def any_tag(domain: str, identifier: str) -> str:
    """The tag of every entry of a domain that has this identifier at all."""
    return f"{domain}/{identifier}:{ANY}"


@functools.lru_cache(4096)
def stamp_start(ref: str) -> bytes:
    """How an entry writes a tag, up to the epoch, where the key's own node holds that epoch: the length of the
    reference (2 bytes), the reference, and the number of the node, 0."""
    raw = ref.encode()
    return b"%b%b\0" % (len(raw).to_bytes(2, "big"), raw)


def derived_tags(parts: KeyParts, declared: Collection[str], any_of: Collection[str]) -> tuple[TagRef, ...]:
    """The tags that follow from a key, in canonical order: domain, resource, then by identifier as in the key.

    Args:
        parts: the key.
        declared: identifiers its domain declares as tags.
        any_of: identifiers for which a named invalidation asks for the ``*`` tag.
    """
    domain = parts.domain
    tags = [TagRef("@", domain_tag(domain)), TagRef(":", resource_tag(domain, parts.resource))]
    for name, value in parts.identifiers:
        if name in declared:
            tags.append(TagRef(name, identifier_tag(domain, name, value)))
        if name in any_of:
            tags.append(TagRef(name + ANY, any_tag(domain, name)))
    return tuple(tags)


def derived_texts(key: str, declared: Collection[str], any_of: Collection[str]) -> tuple[str, ...]:
    """Texts of the `derived_tags` of canonical key text.

    Nothing is decoded: values are written alike in keys and in tags.

    Args:
        key: canonical; not checked.
        declared: identifiers its domain declares as tags.
        any_of: identifiers for which a named invalidation asks for the ``*`` tag.

    Raises:
        ValueError: the key has no resource.
    """
    domain, resource, *rest = key.split(":")
    texts = [domain, f"{domain}:{resource}"]
    for name, encoded in zip(rest[0::2], rest[1::2], strict=False):  # a suffix has no partner and is no tag
        if name in declared:
            texts.append(f"{domain}/{name}:{encoded}")
        if name in any_of:
            texts.append(f"{domain}/{name}:{ANY}")
    return tuple(texts)


def extra_tags(
    domain: str,
    extra: Mapping[str, str],
    declared: Collection[str],
    any_of: Collection[str],
    derived: Collection[TagRef],
) -> tuple[TagRef, ...]:
    """The tags a caller adds to those of the key, sorted; ones the key derives already are left out.

    Raises:
        Refusal: TAG_INVALID, if there are more than `MAX_EXTRA_TAGS`, or the domain declares no such tag;
            IDENTIFIER_INVALID, if a value is empty, too long or not Unicode.
    """
    if len(extra) > MAX_EXTRA_TAGS:
        raise Refusal(_TAG, f"at most {MAX_EXTRA_TAGS} extra tags, not {len(extra)}", field="extra_tags")
    known = {tag for _, tag in derived}
    refs: dict[str, str] = {}
    for name, value in extra.items():
        if name not in declared:
            allowed = ", ".join(sorted(declared)) or "none"
            raise Refusal(_TAG, f"domain {domain!r} declares no such tag; it declares: {allowed}", field="extra_tags")
        tag = identifier_tag(domain, name, value)
        if len(tag.encode()) > MAX_KEY_BYTES:
            raise Refusal(_TAG, f"an extra tag is longer than {MAX_KEY_BYTES} bytes", field="extra_tags")
        refs[tag] = f"{name}={encode_value(value, name=name)}"
        if name in any_of:
            refs[any_tag(domain, name)] = name + ANY
    return tuple(sorted(TagRef(ref, tag) for tag, ref in refs.items() if tag not in known))


def tag_of_ref(ref: str, parts: KeyParts) -> str | None:
    """Canonical text of a tag as an entry under this key writes it; None if the key cannot have it."""
    if ref == "@":
        return domain_tag(parts.domain)
    if ref == ":":
        return resource_tag(parts.domain, parts.resource)
    if ref.endswith(ANY):
        return any_tag(parts.domain, ref.removesuffix(ANY))
    name, equals, value = ref.partition("=")
    if equals:
        return f"{parts.domain}/{name}:{value}"
    own = dict(parts.identifiers).get(name)
    return None if own is None else identifier_tag(parts.domain, name, own)
