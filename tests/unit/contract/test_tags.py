"""Tags: their texts, how an entry refers to them, and that the two are one to one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherd.catalog.load import builtin_catalog
from coherd.contract import tags
from coherd.contract.keys import KeyParts, build_key, parse_key
from coherd.contract.reasons import Refusal
from coherd.contract.tags import TagRef
from coherd.v1.errors_pb2 import ErrorReason

DAILY = parse_key("analytics:daily:user:user123:date:20250806")
values = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def test_the_tags_of_a_key_in_canonical_order() -> None:
    assert builtin_catalog().resolve("analytics:daily:user:user123:date:20250806").tags == (
        TagRef("@", "analytics"),
        TagRef(":", "analytics:daily"),
        TagRef("user", "analytics/user:user123"),
        TagRef("date", "analytics/date:20250806"),
    )


def test_a_maintenance_item_with_a_date_has_the_tag_of_any_date() -> None:
    found = builtin_catalog().resolve("maintenance:cleanup_report:date:20250806").tags
    assert TagRef("date*", "maintenance/date:*") in found
    assert "maintenance/date:*" not in [tag for _, tag in builtin_catalog().resolve("maintenance:system_health").tags]


@given(values)
def test_a_value_never_makes_a_tag_of_another_kind(value: str) -> None:
    tag = tags.identifier_tag("analytics", "user", value)
    assert tag != tags.any_tag("analytics", "user")
    assert tag.count(":") == 1
    assert tag.startswith("analytics/user:")
    assert not set(tag) & set("{}* ")


@given(values, values)
def test_different_values_have_different_tags(one: str, other: str) -> None:
    same = tags.identifier_tag("d", "i", one) == tags.identifier_tag("d", "i", other)
    assert same == (one == other)


@given(values)
def test_every_reference_leads_back_to_its_tag(value: str) -> None:
    parts = KeyParts("d", "r", (("user", value), ("date", "20250806")))
    derived = tags.derived_tags(parts, {"user", "date"}, {"date"})
    extra = tags.extra_tags("d", {"owner": value}, {"owner"}, {"owner"}, derived)
    for ref, tag in (*derived, *extra):
        assert tags.tag_of_ref(ref, parts) == tag


def test_a_reference_the_key_cannot_have() -> None:
    assert tags.tag_of_ref("nobody", DAILY) is None


def test_extra_tags_are_sorted_and_leave_out_what_the_key_has() -> None:
    derived = tags.derived_tags(DAILY, {"user", "content"}, ())
    given_ = {"user": "user123", "content": "c:1"}
    assert tags.extra_tags("analytics", given_, {"user", "content"}, (), derived) == (
        TagRef("content=c%3A1", "analytics/content:c%3A1"),
    )
    other = {"user": "zoe", "content": "c"}
    assert [ref for ref, _ in tags.extra_tags("analytics", other, {"user", "content"}, (), derived)] == [
        "content=c",
        "user=zoe",
    ]


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"nobody": "a"}, ErrorReason.ERROR_REASON_TAG_INVALID),
        ({"user": "x" * 510}, ErrorReason.ERROR_REASON_TAG_INVALID),
        ({f"i{n}": "a" for n in range(17)}, ErrorReason.ERROR_REASON_TAG_INVALID),
        ({"user": ""}, ErrorReason.ERROR_REASON_IDENTIFIER_INVALID),
        ({"user": "\ud800"}, ErrorReason.ERROR_REASON_IDENTIFIER_INVALID),
    ],
)
def test_extra_tags_that_are_refused(extra: dict[str, str], reason: int) -> None:
    with pytest.raises(Refusal) as refused:
        tags.extra_tags("analytics", extra, {"user", *(f"i{n}" for n in range(17))}, (), ())
    assert refused.value.reason == reason


def test_named_invalidations_of_the_specification() -> None:
    catalog = builtin_catalog()

    def tags_of(name: str, value: str) -> list[str]:
        selected = catalog.tags_of_invalidation(name, value)
        assert [tag.partition("/")[0] for tag in selected] == [domain.name for domain in selected.values()]
        return list(selected)

    assert tags_of("user", "U") == ["analytics/user:U", "psychology/user:U", "crisis/user:U", "session/user:U"]
    assert tags_of("content", "C") == ["psychology/content:C", "analytics/content:C"]
    assert tags_of("date", "20250806") == ["analytics/date:20250806", "maintenance/date:*"]
    assert catalog.invalidations["user"].personal
    assert not catalog.invalidations["date"].personal
    with pytest.raises(Refusal):
        tags_of("date", "20250230")


names = st.sampled_from(["user", "date", "content", "id"])


@given(st.dictionaries(names, values, max_size=3), st.none() | values, st.frozensets(names), st.frozensets(names))
def test_texts_taken_from_the_key_itself_are_those_of_its_parts(
    identifiers: dict[str, str], suffix: str | None, declared: frozenset[str], any_of: frozenset[str]
) -> None:
    key = build_key("analytics", "daily", identifiers.items(), suffix)
    derived = tags.derived_tags(parse_key(key), declared, any_of)
    assert tags.derived_texts(key, declared, any_of) == tuple(tag for _, tag in derived)
