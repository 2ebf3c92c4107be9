"""A tag's value is canonical for its identifier wherever a tag can be named: other text would silently hit nothing."""

from __future__ import annotations

import pytest

from coherd.catalog.descriptor_sets import Source
from coherd.catalog.load import builtin_catalog, load_catalog
from coherd.contract.reasons import Refusal
from coherd.v1.errors_pb2 import ErrorReason
from rig.protos import HEAD, compile_text

TEXT = (
    HEAD
    + """
option (coherd.v1.invalidation) = { name: "window" summary: "s" tags: "a/days" };
service ACache {
  option (coherd.v1.domain) = { name: "a" ttl: { seconds: 60 } tags: "days" tags: "colour" tags: "mixed" open: true };
  rpc One(OneKey) returns (coherd.v1.Json) {}
  rpc Two(TwoKey) returns (coherd.v1.Json) {}
}
service BCache {
  option (coherd.v1.domain) = { name: "b" ttl: { seconds: 60 } tags: "days" tags: "free" open: true };
  rpc Three(ThreeKey) returns (coherd.v1.Json) {}
}
message OneKey {
  uint32 days = 1 [(coherd.v1.identifier) = { unit: "d" }];
  Colour colour = 2;
  string mixed = 3 [(coherd.v1.identifier) = { format: DATE }];
}
message TwoKey { bool mixed = 1; }
message ThreeKey { string days = 1; }
enum Colour { COLOUR_UNSPECIFIED = 0; COLOUR_RED = 1; }
"""
)
BAD = [
    ("a", "days", "030d"),
    ("a", "days", "30"),
    ("a", "days", "4294967296d"),
    ("a", "colour", "RED"),
    ("a", "colour", "1"),
    ("a", "mixed", "2025-08-06"),
    ("a", "mixed", "True"),
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return Source("t", compile_text(tmp_path_factory.mktemp("protos"), TEXT))


@pytest.mark.parametrize(("domain", "identifier", "value"), BAD)
def test_a_value_no_entry_can_have_is_refused(source: Source, domain: str, identifier: str, value: str) -> None:
    """As a selector, as an extra tag, and in a key of an undeclared resource: it would carry a tag nobody can name."""
    catalog = load_catalog([source])
    spec = catalog.domain(domain)
    for act in (
        lambda: catalog.tags_of_identifier(identifier, value, domain),
        lambda: catalog.tags_of_identifier(identifier, value),
        lambda: spec.extra_tags({identifier: value}, ()),
        lambda: catalog.build(domain, "own", {identifier: value}),
        lambda: catalog.resolve_uncached(f"{domain}:own:{identifier}:{value}"),
    ):
        with pytest.raises(Refusal) as refused:
            act()
        assert (refused.value.reason, refused.value.field) == (ErrorReason.ERROR_REASON_IDENTIFIER_INVALID, identifier)
        assert value not in str(refused.value).split()


@pytest.mark.parametrize(
    ("domain", "identifier", "value"),
    [
        ("a", "days", "30d"),
        ("a", "colour", "red"),
        ("a", "mixed", "20250806"),
        ("a", "mixed", "true"),
        ("b", "days", "030d"),
        ("b", "free", "any thing"),
    ],
)
def test_canonical_values_of_any_type_the_domain_gives_it(
    source: Source, domain: str, identifier: str, value: str
) -> None:
    catalog = load_catalog([source])
    [tag] = catalog.tags_of_identifier(identifier, value, domain)
    assert tag == f"{domain}/{identifier}:{value.replace(' ', '%20')}"
    assert [one.tag for one in catalog.domain(domain).extra_tags({identifier: value}, ())] == [tag]
    assert tag in [one.tag for one in catalog.resolve(catalog.build(domain, "own", {identifier: value})).tags]


def test_a_named_invalidation_checks_its_value_in_every_domain(source: Source) -> None:
    catalog = load_catalog([source])
    assert catalog.tags_of_invalidation("window", "30d") == {"a/days:30d": catalog.domain("a")}
    with pytest.raises(Refusal, match="without its unit 'd': give an int, or text like '30d'"):
        catalog.tags_of_invalidation("window", "30")


def test_the_date_of_the_built_in_catalog() -> None:
    catalog = builtin_catalog()
    with pytest.raises(Refusal, match="identifier 'date' must be a day that exists, as YYYYMMDD"):
        catalog.tags_of_identifier("date", "2025-08-06")
    with pytest.raises(Refusal, match="as YYYYMMDD"):
        catalog.domain("analytics").extra_tags({"date": "2025-08-06"}, ())
