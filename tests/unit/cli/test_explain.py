"""Explaining keys, and what is wrong with text that is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherd.catalog.describe import catalog_of, describe
from coherd.catalog.descriptor_sets import Source
from coherd.catalog.load import builtin_catalog, load_catalog
from coherd.catalog.overrides import TtlOverride, with_overrides
from coherd.cli.diagnose import diagnose
from coherd.cli.explain import explain, explanation_json, policy_lines, ttl_origin
from coherd.contract.reasons import Refusal
from coherd.v1.cache_service_pb2 import DescribeCatalogResponse
from rig.own_catalog import OwnCatalog

CATALOG = builtin_catalog()


def test_everything_that_follows_from_a_key() -> None:
    found = explain("analytics:writing_stats:user:user123:days:30d", CATALOG)
    assert [(part.name, part.value) for part in found.identifiers] == [("user", "user123"), ("days", "30d")]
    assert found.tags == ("analytics", "analytics:writing_stats", "analytics/user:user123")
    assert found.invalidations == ("user=user123",)
    assert found.redis_epochs[-1] == "coherd:epoch:analytics/user:user123"
    assert found.redis_lease == "coherd:lease:{analytics:writing_stats:user:user123:days:30d}"
    assert ttl_origin(found) == "declared by domain analytics"
    assert ("ttl", "1h, declared by domain analytics") in policy_lines(found)
    assert ("stale", "10m after the ttl") in policy_lines(found)
    assert explanation_json(found)["policy"]["ttl_ms"] == 3_600_000


def test_an_operators_override_shows() -> None:
    catalog = with_overrides(CATALOG, {"analytics:daily": TtlOverride(ttl_ms=60_000)})
    found = explain("analytics:daily:user:u1:date:20250806", catalog)
    assert ("ttl", "1m, the operator's override on the server") in policy_lines(found)


def test_an_enum_that_a_server_does_not_describe_is_said_to_be_unchecked(tmp_path: Path) -> None:
    own = load_catalog([Source("own", OwnCatalog(tmp_path).file.read_bytes())])
    described = catalog_of(DescribeCatalogResponse.FromString(describe(own, ()).SerializeToString()))
    key = "kinds:mixed:who:u1:offset:1:days:3d:day:20250806:colour:crimson:full:true"
    assert diagnose(key, own) is not None
    found = explain(key, described)
    assert [part.name for part in found.identifiers if not part.checked] == ["colour"]
    assert [one["name"] for one in explanation_json(found)["identifiers"] if not one["checked"]] == ["colour"]
    assert all(part.checked for part in explain(key.replace("crimson", "red"), own).identifiers)


def test_a_day_with_hyphens_is_told_in_one_sentence() -> None:
    found = diagnose("analytics:daily:user:user123:date:2025-08-06", CATALOG)
    assert found is not None
    assert found.problems == (
        "identifier 'date' must be a day that exists, as YYYYMMDD, without hyphens, not '2025-08-06'; write '20250806'",
    )


def test_a_caller_of_the_wire_is_told_nothing_of_python() -> None:
    invalidation = CATALOG.invalidations["date"]
    with pytest.raises(Refusal) as refused:
        invalidation.text("2025-08-05")
    assert str(refused.value) == "identifier 'date' must be a day that exists, as YYYYMMDD, without hyphens"


def test_tags_for_any_value() -> None:
    found = explain("maintenance:cleanup_report:date:20250806", CATALOG)
    assert "maintenance/date:*" in found.tags
    assert found.invalidations == ("date=(any)",)


def test_an_undeclared_resource_of_an_open_domain() -> None:
    found = explain("content:drafts:user:u%3A1:list", CATALOG)
    assert not found.declared
    assert found.suffix == "list"
    assert found.identifiers[0].value == "u:1"
    assert found.identifiers[0].is_tag
    assert found.value_type == "coherd.v1.Json"


@pytest.mark.parametrize(
    ("text", "says", "suggestion"),
    [
        ("writing_stats:user123:30d", "older form", "analytics:writing_stats:user:user123:days:30d"),
        ("topics:u1:list", "older form", "content:topics:user:u1"),
        ("task_metrics:t1", "older form", "celery:task_metrics:id:t1"),
        ("analytics:writing_stats:user:u1:days:30", "write '30d'", "analytics:writing_stats:user:u1:days:30d"),
        ("analytics:writing_stats:user:u1:days:030d", "write '30d'", "analytics:writing_stats:user:u1:days:30d"),
        ("analytics:daily:user:u1:date:2025-08-06", "write '20250806'", "analytics:daily:user:u1:date:20250806"),
        ("analytics:daily:date:20250806:user:u1", "wrong order", "analytics:daily:user:u1:date:20250806"),
        ("analytics:daily:u1:20250806", "without the names", "analytics:daily:user:u1:date:20250806"),
        ("analytic:daily:user:u1:date:20250806", "'analytics'", "analytics:daily:user:u1:date:20250806"),
        ("analytics:Daily:user:u1:date:20250806", "'daily'", "analytics:daily:user:u1:date:20250806"),
        ("psychology:profile:usr:u1", "did you mean 'user'", "psychology:profile:user:u1"),
        ("content:topics:user:a%3ab", "write 'a%3Ab'", "content:topics:user:a%3Ab"),
        ("content:topics:user:a b", "write 'a%20b'", "content:topics:user:a%20b"),
        (" content:topics:user:u1", "white space", "content:topics:user:u1"),
        ("analytics:daily:user:u1", "'date' is missing", None),
        ("analytics:daily:user:u1:date", "'date' has no value", None),
        ("analytics:daily:user:u1:user:u2", "stands twice", None),
        ("analytics:daily:user:u1:date:20251345", "a day that exists", None),
        ("content:topics:user:", "'user' is empty", None),
        ("content:topics:user:%ff", "not valid UTF-8", None),
        ("analytics", "no resource", None),
        ("nothing:like:this", "is no domain", None),
        ("", "1..512 bytes", None),
        ("content:topics:user:" + "x" * 600, "1..512 bytes", None),
        ("content:topics:user:\udcff", "lone surrogate", None),
    ],
)
def test_what_is_wrong_and_what_was_meant(text: str, says: str, suggestion: str | None) -> None:
    found = diagnose(text, CATALOG)
    assert found is not None
    assert any(says in problem for problem in found.problems)
    assert found.suggestion == suggestion


@given(
    st.text(max_size=80)
    | st.lists(st.sampled_from(["analytics", "daily", "user", "u1", "date", "", "%"])).map(":".join)
)
def test_any_text_is_a_key_or_has_a_problem_and_suggestions_are_keys(text: str) -> None:
    found = diagnose(text, CATALOG)
    if found is None:
        assert explain(text, CATALOG).key == text
        return
    assert found.problems
    if found.suggestion is not None:
        assert diagnose(found.suggestion, CATALOG) is None
