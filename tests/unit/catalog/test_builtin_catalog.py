"""The built-in catalog is exactly the one that is specified."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coherd.catalog.catalog import Catalog
from coherd.catalog.declared import DomainSpec
from coherd.catalog.load import builtin_catalog
from coherd.contract.keys import KeyParts, build_key, parse_key
from coherd.contract.reasons import Refusal, reason_name
from coherd.v1 import keys_pb2

HOUR, DAY = 3600, 86400
DOMAINS = {
    # ttl and stale in seconds
    "analytics": (HOUR, "push", 600, "drop", {"user", "content", "date"}),
    "psychology": (DAY, "strict", HOUR, "drop", {"user", "content"}),
    "crisis": (1800, "off", 0, "drop", {"user"}),
    "maintenance": (300, "push", 0, "drop", {"date"}),
    "session": (DAY, "strict", 0, "drop", {"user"}),
    "ai_model": (7 * DAY, "push", DAY, "keep", set()),
    "content": (HOUR, "push", 600, "drop", {"user"}),
    "celery": (DAY, "off", 0, "keep", set()),
}
RESOURCES = {
    "analytics": {
        "daily": ["user", "date"],
        "mood_trends": ["user", "range"],
        "writing_stats": ["user", "days"],
        "content_engagement": ["content"],
    },
    "psychology": {"profile": ["user"], "content_analysis": ["content"], "insights": ["user", "type"]},
    "crisis": {"assessment": ["hash"], "user_risk": ["user"], "trends": ["timeframe"]},
    "maintenance": {
        "system_health": [],
        "component_status": ["component"],
        "performance_metrics": [],
        "cleanup_report": ["date"],
    },
    "session": {"data": ["id"], "activity": ["user"]},
    "ai_model": {"instance": ["name", "version"], "prompt": ["hash", "model"]},
    "content": {"topics": ["user"]},
    "celery": {"task_metrics": ["id"], "worker_status": ["name"]},
}
VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[3] / "docs" / "use" / "key-vectors.json").read_text())


@pytest.fixture(name="catalog")
def _catalog() -> Catalog:
    return builtin_catalog()


def facts(domain: DomainSpec) -> tuple[int, str, int, str, set[str]]:
    """A row of the table."""
    policy = domain.policy
    near, failover = domain.near_cache.value, domain.on_failover.value
    return (policy.ttl_ms // 1000, near, policy.stale_ms // 1000, failover, set(domain.tags))


def test_domains(catalog: Catalog) -> None:
    assert {name: facts(domain) for name, domain in catalog.domains.items()} == DOMAINS
    assert all(domain.open for domain in catalog.domains.values())
    assert {name for name, d in catalog.domains.items() if d.sensitive} == {"psychology", "crisis", "session"}


def test_resources_and_their_identifiers(catalog: Catalog) -> None:
    found = {
        name: {r.name: [i.name for i in r.identifiers] for r in domain.resources.values()}
        for name, domain in catalog.domains.items()
    }
    assert found == RESOURCES


def test_user_is_personal_wherever_it_stands(catalog: Catalog) -> None:
    for domain in catalog.domains.values():
        assert domain.personal == ({"user"} if "user" in domain.tags else set())
        for resource in domain.resources.values():
            assert {i.name for i in resource.identifiers if i.personal} <= {"user"}
            assert all(i.personal for i in resource.identifiers if i.name == "user")


def test_value_types(catalog: Catalog) -> None:
    typed = {r.name: r.value_type for d in catalog.domains.values() for r in d.resources.values()}
    assert typed.pop("task_metrics") == "coherd.domains.celery.v1.TaskMetrics"
    assert typed.pop("worker_status") == "coherd.domains.celery.v1.WorkerStatus"
    assert set(typed.values()) == {"coherd.v1.Json"}


def test_every_policy_is_its_domains(catalog: Catalog) -> None:
    for domain in catalog.domains.values():
        assert {resource.policy for resource in domain.resources.values()} == {domain.policy}


def test_everything_is_documented(catalog: Catalog) -> None:
    for domain in catalog.domains.values():
        assert domain.documentation
        for resource in domain.resources.values():
            assert resource.documentation
            assert all(identifier.documentation for identifier in resource.identifiers)
    assert all(each.summary for each in catalog.invalidations.values())


@pytest.mark.parametrize("vector", VECTORS["keys"], ids=lambda v: v["text"][:40])
def test_key_vectors(vector: dict[str, Any]) -> None:
    identifiers = tuple((each["name"], each["value"]) for each in vector["identifiers"])
    key = KeyParts(vector["domain"], vector["resource"], identifiers, vector["suffix"])
    assert build_key(*key) == vector["text"]
    assert parse_key(vector["text"]) == key


@pytest.mark.parametrize("vector", VECTORS["typed"], ids=lambda v: v["text"][:40])
def test_typed_vectors(vector: dict[str, Any], catalog: Catalog) -> None:
    assert catalog.build(vector["domain"], vector["resource"], vector["values"]) == vector["text"]
    assert catalog.resolve(vector["text"]).text == vector["text"]


def test_typed_vectors_hold_the_keys_of_the_specification_and_every_resource(catalog: Catalog) -> None:
    texts = {vector["text"] for vector in VECTORS["typed"]}
    assert texts >= {
        "analytics:daily:user:user123:date:20250806",
        "psychology:insights:user:user123:type:emotional",
        "crisis:assessment:hash:abc12345",
        "maintenance:system_health",
        "session:data:id:session789",
        "ai_model:instance:name:bert:version:latest",
        "ai_model:prompt:hash:xyz789:model:gpt4",
        "celery:task_metrics:id:task123",
        "celery:worker_status:name:worker1",
        "analytics:writing_stats:user:user123:days:30d",
    }
    covered = {(vector["domain"], vector["resource"]) for vector in VECTORS["typed"]}
    assert covered == {(d.name, r.name) for d in catalog.domains.values() for r in d.resources.values()}


@pytest.mark.parametrize("vector", VECTORS["refused_texts"], ids=lambda v: v["text"][:40])
def test_texts_that_are_refused(vector: dict[str, Any], catalog: Catalog) -> None:
    with pytest.raises(Refusal) as refused:
        catalog.resolve(vector["text"])
    assert (reason_name(refused.value.reason), str(refused.value)) == (vector["reason"], vector["because"])


@pytest.mark.parametrize("vector", VECTORS["refused_parts"], ids=lambda v: str(v["values"])[:40])
def test_parts_that_are_refused(vector: dict[str, Any], catalog: Catalog) -> None:
    with pytest.raises(Refusal) as refused:
        catalog.build(vector["domain"], vector["resource"], vector["values"])
    assert reason_name(refused.value.reason) == vector["reason"]


def test_undeclared_resources_of_an_open_domain(catalog: Catalog) -> None:
    found = catalog.resolve(catalog.build("content", "drafts", {"user": "u1", "n": "0"}, suffix="list"))
    assert found.text == "content:drafts:user:u1:n:0:list"
    assert found.resource is None
    assert [tag for _, tag in found.tags] == ["content", "content:drafts", "content/user:u1"]


def test_selectors_of_the_catalog(catalog: Catalog) -> None:
    domains = catalog.domains
    assert catalog.tags_of_domain("celery") == {"celery": domains["celery"]}
    assert catalog.tags_of_resource("analytics", "daily") == {"analytics:daily": domains["analytics"]}
    everywhere = catalog.tags_of_identifier("user", "a:b")
    assert everywhere == {f"{name}/user:a%3Ab": domains[name] for name, row in DOMAINS.items() if "user" in row[4]}
    assert catalog.tags_of_identifier("date", "*", "maintenance") == {"maintenance/date:*": domains["maintenance"]}
    for identifier, value, domain in (("nobody", "a", ""), ("user", "a", "celery"), ("user", "*", "")):
        with pytest.raises(Refusal, match="declares"):
            catalog.tags_of_identifier(identifier, value, domain)
    with pytest.raises(Refusal, match="known: user, content, date"):
        catalog.invalidation("usr")


def test_what_each_kind_of_selector_selects(catalog: Catalog) -> None:
    text = "analytics:daily:user:u1:date:20250806"
    selected = {
        kind: catalog.select(keys_pb2.Selector(**{kind: message}))  # type: ignore[arg-type]
        for kind, message in {
            "tag": keys_pb2.Tag(domain="analytics", identifier="user", value="u1"),
            "named": keys_pb2.NamedInvalidation(name="content", value="c1"),
            "resource": keys_pb2.ResourceSelector(domain="analytics", resource="daily"),
            "domain": keys_pb2.DomainSelector(domain="celery"),
            "key": keys_pb2.Key(text=text),
        }.items()
    }
    assert {kind: list(selection.tags) for kind, selection in selected.items()} == {
        "tag": ["analytics/user:u1"],
        "named": ["psychology/content:c1", "analytics/content:c1"],
        "resource": ["analytics:daily"],
        "domain": ["celery"],
        "key": [],
    }
    for selection in selected.values():
        assert all(catalog.domain(domain.name) is domain for domain in selection.tags.values())
    assert selected.pop("key").key is catalog.resolve(text)
    assert not any(selection.key for selection in selected.values())
    with pytest.raises(Refusal, match="a selector is required"):
        catalog.select(keys_pb2.Selector())
